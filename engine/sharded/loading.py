"""Weights onto a mesh: each device's part is read from the files, none of it held twice.

The host holds one device's part of one array at a time, all layers of it. Where kernels are kept
as int8, the scale of an output needs every input: that array is read once more, in strips.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from engine.card import CheckpointError, read_card
from engine.checkpoint import check_hash, check_shapes, hashes_of, shapes_of
from engine.pieces import in_order
from engine.presets import preset
from engine.quantised import BITS
from engine.sharded.programs import Form
from engine.sharded.stacks import Int8, is_stacked, members

_STRIP = 4096  # inputs of a kernel looked at together


class Source(Protocol):
    """Arrays by the checkpoint's names, read in parts."""

    def shapes(self) -> Mapping[str, Any]: ...

    def part(self, name: str, index: tuple[slice, ...]) -> np.ndarray: ...


class File:
    """A safetensors file. Raises CheckpointError where it is none."""

    def __init__(self, path: Path):
        self.path = path
        try:
            opened = safe_open(path, "numpy")
            self._slices = {name: opened.get_slice(name) for name in opened.offset_keys()}
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} is not a safetensors file: {error}") from None

    def shapes(self) -> Mapping[str, Any]:
        return {
            name: jax.ShapeDtypeStruct(tuple(s.get_shape()), _dtype(s.get_dtype(), self.path))
            for name, s in self._slices.items()
        }

    def part(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        return np.asarray(self._slices[name][index])


def _dtype(name: str, path: Path) -> Any:
    known = {"BF16": jnp.bfloat16, "F16": jnp.float16, "F32": jnp.float32}
    if name not in known:
        raise CheckpointError(
            f"{path} holds arrays of type {name}, expected one of {', '.join(known)}"
        )
    return known[name]


class _Part(NamedTuple):
    file: File
    name: str
    shape: tuple[int, ...]
    dtype: Any


class Pieces:
    """Files that `engine.pieces` divided the arrays of a model into. Raises CheckpointError."""

    def __init__(self, paths: Iterable[Path]):
        self._parts: dict[str, list[_Part]] = in_order(
            (name, _Part(file, name, array.shape, array.dtype))
            for file in map(File, paths)
            for name, array in file.shapes().items()
        )
        self._shapes = {name: _together(parts) for name, parts in self._parts.items()}

    def shapes(self) -> Mapping[str, Any]:
        return self._shapes

    def part(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        parts = self._parts[name]
        if len(parts) == 1:
            return parts[0].file.part(parts[0].name, index)
        start, end, _ = index[0].indices(self._shapes[name].shape[0])
        found = []
        for part in parts:
            rows = slice(max(start, 0), min(end, part.shape[0]))
            if rows.start < rows.stop:
                found.append(part.file.part(part.name, (rows, *index[1:])))
            start, end = start - part.shape[0], end - part.shape[0]
        return np.concatenate(found)


def _together(parts: list[_Part]) -> Any:
    shape = parts[0].shape
    if len(parts) > 1:
        shape = (sum(part.shape[0] for part in parts), *shape[1:])
    return jax.ShapeDtypeStruct(shape, parts[0].dtype)


class Arrays:
    """Arrays in memory, as a source."""

    def __init__(self, arrays: Mapping[str, Any]):
        self._arrays = arrays

    def shapes(self) -> Mapping[str, Any]:
        return self._arrays

    def part(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        return np.asarray(self._arrays[name][index])


def open_weights(directory: Path) -> tuple[dict[str, Any], Source]:
    """A weights directory -> its card and arrays, every hash, name and shape checked."""
    card = read_card(directory)
    if card.get("numbers") in BITS:
        raise CheckpointError(
            f"{directory} holds weights of {card['numbers']} in blocks, for one CPU; over a mesh "
            "serve the float weights they come from; --numbers int8 rounds those as they are read"
        )
    files = hashes_of(directory, card)
    tokenizer = {directory / "tokenizer.model": card["tokenizer_sha256"]}
    for path, expected in {**files, **tokenizer}.items():
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
        check_hash(path, digest.hexdigest(), expected)
    source = Pieces(files)
    check_shapes(source.shapes(), shapes_of(preset(card["preset"])), str(directory))
    return card, source


def place(form: Form, source: Source) -> dict[str, Any]:
    """The weights of a form, by stacked name, every device's part read for that device."""
    check_shapes(source.shapes(), shapes_of(form.preset), "what was given")
    rows = members(form.preset)
    return {
        name: _place(form.weights[name], source, rows[name], is_stacked(name))
        for name in form.weights
    }


def _place(wanted: Any, source: Source, rows: tuple[str, ...], layers: bool) -> Any:
    if not isinstance(wanted, Int8):
        return _make(wanted, lambda index: _read(source, rows, index, layers))
    scale = np.stack([_scale(source, name) for name in rows])  # [L O]

    def whole_numbers(index: tuple[slice, ...]) -> np.ndarray:
        exact = _read(source, rows, index, True).astype(np.float32)
        return np.round(exact / scale[index[0], None, index[2]]).astype(np.int8)

    return Int8(
        _make(wanted.values, whole_numbers), _make(wanted.scale, lambda index: scale[index])
    )


def _make(wanted: Any, part: Callable[[tuple[slice, ...]], np.ndarray]) -> jax.Array:
    """An array whose parts are read once each, although several devices may hold the same."""
    held: dict[str, np.ndarray] = {}

    def of(index: Any) -> np.ndarray:
        if str(index) not in held:
            held.clear()
            held[str(index)] = part(index).astype(wanted.dtype)
        return held[str(index)]

    return jax.make_array_from_callback(wanted.shape, wanted.sharding, of)


def _read(source: Source, rows: tuple[str, ...], index: tuple[slice, ...], layers: bool) -> Any:
    """A part of an array, stacked from its rows where it is one of several layers."""
    if not layers:
        return source.part(rows[0], index)
    return np.stack([source.part(name, index[1:]) for name in rows[index[0]]])


def _scale(source: Source, name: str) -> np.ndarray:
    """The scale of every output of a kernel [I O], so that its largest weight is 127."""
    inputs, outputs = source.shapes()[name].shape
    largest = np.full(outputs, 1e-30, np.float32)
    for start in range(0, inputs, _STRIP):
        strip = source.part(name, (slice(start, min(start + _STRIP, inputs)), slice(None)))
        largest = np.maximum(largest, np.abs(strip.astype(np.float32)).max(0))
    return largest / 127
