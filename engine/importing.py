"""Weights that others made, from plain safetensors files and a JSON configuration.

The layout is described in docs/tpu.md: `config.json` with the fields of `engine.presets.Preset`,
and files `*.safetensors` whose matrices are [outputs inputs], as PyTorch keeps them. Arrays are
read, checked and written one after the other, so that a model need not fit into memory.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from math import prod
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from engine.card import CheckpointError
from engine.checkpoint import check_shapes, shapes_of, write_file
from engine.presets import PRESETS, Preset, Retrieval
from engine.sharded.loading import File
from engine.tokenizer import Tokenizer


class Plain:
    """A folder in the plain layout. Raises CheckpointError."""

    def __init__(self, folder: Path):
        self.folder = folder
        paths = sorted(folder.glob("*.safetensors"))
        if not paths:
            raise CheckpointError(
                f"{folder} holds no *.safetensors files; docs/tpu.md says what to"
            )
        self.preset = _preset_of(folder / "config.json")
        self._files: dict[str, File] = {}
        for path in paths:
            file = File(path)
            twice = sorted(self._files.keys() & file.shapes().keys())
            if twice:
                raise CheckpointError(
                    f"{twice[0]} is in {self._files[twice[0]].path.name} and in {path.name}"
                )
            self._files |= dict.fromkeys(file.shapes(), file)
        found = {name: file.shapes()[name] for name, file in self._files.items()}
        expected = {}
        for name, array in shapes_of(self.preset).items():
            plain, turned = plain_name(name)
            shape = array.shape[::-1] if turned else array.shape
            expected[plain] = jax.ShapeDtypeStruct(shape, array.dtype)
        check_shapes(found, expected, str(folder))

    def array(self, name: str) -> np.ndarray:
        """An array by our name, in bfloat16."""
        plain, turned = plain_name(name)
        file = self._files[plain]
        rank = len(file.shapes()[plain].shape)
        wide = file.part(plain, (slice(None),) * rank)
        array = np.asarray(wide.T if turned else wide, jnp.bfloat16, order="C")
        if not np.isfinite(array.astype(np.float32)).all():
            raise CheckpointError(
                f"{plain} in {file.path} holds values that are not finite in bfloat16; mend the "
                "model before it is imported"
            )
        return array


def plain_name(name: str) -> tuple[str, bool]:
    """Our name of an array -> its name in the plain layout, and whether it lies transposed."""
    *where, kind = name.split(".")
    plain = ".".join("layers" if part == "blocks" else part for part in where)
    if kind in ("kernel", "table", "scale"):
        return f"{plain}.weight", kind == "kernel"
    return (f"{plain}.{kind}" if plain else kind), False


def import_weights(
    folder: Path, directory: Path, tokenizer: Path, card: Mapping[str, Any]
) -> Preset:
    """Makes a weights directory of a folder in the plain layout; `card` is kept in its card.

    Raises CheckpointError and TokenizerError, before anything is written where it can.
    """
    plain = Plain(folder)
    p, shapes = plain.preset, shapes_of(plain.preset)
    pieces = Tokenizer(tokenizer).size
    if pieces > p.vocab:
        raise CheckpointError(
            f"the tokenizer {tokenizer} has {pieces} pieces, the model {p.vocab}; give the one "
            "that the model was trained with"
        )
    if directory.exists() and any(directory.iterdir()):
        raise CheckpointError(f"{directory} is not empty; name a new directory")
    directory.mkdir(parents=True, exist_ok=True)
    arrays = ((name, plain.array(name)) for name in shapes)
    digest = write_arrays(directory / "weights.safetensors", shapes, arrays, {"preset": p.name})
    model = tokenizer.read_bytes()
    write_file(directory / "tokenizer.model", model)
    described = {
        **card,
        "preset": p.name,
        "parameters": sum(prod(a.shape) for a in shapes.values()),
        "sha256": digest,
        "tokenizer_sha256": hashlib.sha256(model).hexdigest(),
    }
    write_file(directory / "card.json", json.dumps(described, indent=2).encode() + b"\n")
    return p


def write_arrays(
    path: Path, shapes: Mapping[str, Any], arrays: Iterator[tuple[str, np.ndarray]],
    metadata: Mapping[str, str],
) -> str:  # fmt: skip
    """Writes bfloat16 arrays, given in the order of `shapes`, as a safetensors file.

    Returns its SHA-256. The file is there whole or not at all.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in shapes.items():
        start, end = end, end + 2 * prod(array.shape)
        header[name] = {
            "dtype": "BF16", "shape": list(array.shape), "data_offsets": [start, end],
        }  # fmt: skip
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)  # the format has arrays begin at a multiple of 8
    digest, part = hashlib.sha256(), path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:

            def write(data: bytes) -> None:
                digest.update(data)
                file.write(data)

            write(len(head).to_bytes(8, "little") + head)
            for (name, array), wanted in zip(arrays, shapes, strict=True):
                assert name == wanted
                write(array.tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return digest.hexdigest()


def _preset_of(path: Path) -> Preset:
    """The preset whose shape a configuration has."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        given = dict(config)
        inside = given.pop("retrieval", None)
        retrieval = None if inside is None else Retrieval(**_fields(inside, Retrieval))
        p = Preset(name="", retrieval=retrieval, **_fields(given, Preset))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} does not describe a model: {error}") from None
    for known in PRESETS.values():
        if replace(known, name="") == p:
            return known
    nearest = min(PRESETS.values(), key=lambda known: len(_differing(known, p)))
    told = ", ".join(f"{name} {a!r} instead of {b!r}" for name, a, b in _differing(nearest, p))
    raise CheckpointError(
        f"{path} describes no preset; the nearest, {nearest.name}, differs: {told}. "
        "Change the configuration, or add the preset to engine/presets.py"
    )


def _fields(given: Any, of: type) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise TypeError(f"expected an object of fields, not {given!r}")
    known = {field.name for field in fields(of)} - {"name", "retrieval"}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise ValueError(f"{unknown[0]} is no field; there are {', '.join(sorted(known))}")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}


def _differing(known: Preset, given: Preset) -> list[tuple[str, Any, Any]]:
    """Fields by which a configuration is not a preset: name, given, wanted."""

    def flat(p: Preset) -> dict[str, Any]:
        outer = {k: v for k, v in asdict(p).items() if k not in ("name", "retrieval")}
        inner = asdict(p.retrieval) if p.retrieval else {}
        return outer | {f"retrieval.{k}": v for k, v in inner.items()}

    a, b = flat(given), flat(known)
    return [(k, a.get(k), b.get(k)) for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
