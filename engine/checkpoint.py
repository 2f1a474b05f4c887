"""Weights on disk: one safetensors file beside a JSON card that names its SHA-256.

A weights directory holds `weights.safetensors`, `tokenizer.model` and `card.json`. Arrays are
named by their path in the model, "decoder.blocks.0.attention.q.kernel".
"""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from engine.card import CheckpointError, read_card
from engine.gopher import Gopher
from engine.presets import Preset, preset
from engine.quantised import BITS, floats_of, gather, shape_of, spread
from engine.retro import Retro

Arrays = dict[str, jax.Array]

# Of a weights file; the library's own loader for numpy knows no bfloat16.
_DTYPES = {"BF16": jnp.bfloat16, "F32": np.float32}
_QUANTISED = {**_DTYPES, "F16": np.float16, "I8": np.int8, "U8": np.uint8}


def build(p: Preset, seed: int = 0) -> Gopher | Retro:
    """A freshly initialised model of a preset."""
    return (Retro if p.retrieval else Gopher)(p, rngs=nnx.Rngs(seed))


def graph_of(p: Preset) -> nnx.GraphDef:
    """The static half of a model, without allocating its weights."""
    return _outline(p)[0]


def shapes_of(p: Preset) -> dict[str, jax.ShapeDtypeStruct]:
    """Names and shapes of a preset's arrays, without allocating them."""
    return flatten(_outline(p)[1])


@cache  # tracing the initialisers takes a quarter of a second
def _outline(p: Preset) -> tuple[nnx.GraphDef, nnx.State]:
    return nnx.split(nnx.eval_shape(lambda: build(p)), nnx.Param)


def flatten(state: nnx.State) -> dict[str, Any]:
    return traverse_util.flatten_dict(_plain(nnx.to_pure_dict(state)), sep=".")


def _plain(tree: Any) -> Any:
    """String keys throughout: blocks are numbered."""
    if isinstance(tree, Mapping):
        return {str(key): _plain(value) for key, value in tree.items()}
    return tree


def nest(arrays: Mapping[str, Any]) -> dict:
    """Flat names -> the nested dict that `nnx.merge` takes."""

    def numbered(tree: Any) -> Any:
        if not isinstance(tree, Mapping):
            return tree
        return {int(k) if k.isdigit() else k: numbered(v) for k, v in tree.items()}

    return numbered(traverse_util.unflatten_dict(dict(arrays), sep="."))


def write_file(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, and durably."""
    temporary = path.with_name(path.name + ".part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def save_arrays(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    """Writes arrays as safetensors; returns the file's SHA-256."""
    # in C order, because the library writes the memory of an array and not its elements
    data = save({k: np.asarray(v, order="C") for k, v in arrays.items()}, dict(metadata))
    write_file(path, data)
    return hashlib.sha256(data).hexdigest()


def save_weights(
    directory: Path, name: str, arrays: Mapping[str, Any], tokenizer: Path, card: Mapping[str, Any]
) -> None:
    """Writes a weights directory; `card` is kept beside what is measured here.

    In bfloat16, or where card["numbers"] is "int8" or "int4" with quantised matrices.
    """
    directory.mkdir(parents=True, exist_ok=True)
    bits = BITS.get(str(card.get("numbers")))
    if bits is None:
        written = {k: jnp.asarray(v, jnp.bfloat16) for k, v in arrays.items()}
    else:
        written = spread(arrays, bits)
    digest = save_arrays(directory / "weights.safetensors", written, {"preset": name})
    model = tokenizer.read_bytes()
    write_file(directory / "tokenizer.model", model)
    described = {
        **card,
        "preset": name,
        "parameters": sum(int(np.prod(shape_of(k, v))) for k, v in arrays.items()),
        "sha256": digest,
        "tokenizer_sha256": hashlib.sha256(model).hexdigest(),
    }
    write_file(directory / "card.json", json.dumps(described, indent=2).encode() + b"\n")


def load_weights(directory: Path, dtype: Any = jnp.float32) -> tuple[dict[str, Any], Arrays]:
    """A weights directory -> its card and arrays by name, every hash, name and shape checked."""
    card, arrays = read_weights(directory)
    return card, {k: jnp.asarray(floats_of(k, v), dtype) for k, v in arrays.items()}


def read_weights(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same as they are on disk: quantised matrices as `engine.quant.Blocks`."""
    card = read_card(directory)
    path = directory / "weights.safetensors"
    data = _read_checked(path, card["sha256"])
    _read_checked(directory / "tokenizer.model", card["tokenizer_sha256"])
    bits = BITS.get(str(card.get("numbers")))
    dtypes = _QUANTISED if bits else _DTYPES
    try:
        arrays: dict[str, Any] = {
            name: np.frombuffer(a["data"], dtypes[a["dtype"]]).reshape(a["shape"])
            for name, a in deserialize(data)
        }
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None
    except KeyError as error:
        known = ", ".join(dtypes)
        raise CheckpointError(f"{path} holds arrays of type {error}, expected {known}") from None
    shapes = shapes_of(preset(card["preset"]))
    if bits:
        arrays = gather(arrays, shapes, bits)
    found = {k: jax.ShapeDtypeStruct(shape_of(k, v), np.float32) for k, v in arrays.items()}
    check_shapes(found, shapes, str(path))
    return card, arrays


def _read_checked(path: Path, expected: str) -> bytes:
    """A file's bytes, if their SHA-256 is what the model card says."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise CheckpointError(
            f"{path} is damaged or was replaced: its SHA-256 is {digest[:12]}..., the model card "
            f"says {expected[:12]}...; restore the file, for instance with git checkout"
        )
    return data


def check_shapes(arrays: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Refuses missing, unknown and mis-shaped arrays by name."""
    wrong = [f"{k} is missing" for k in expected if k not in arrays]
    wrong += [f"{k} is unknown" for k in arrays if k not in expected]
    wrong += [
        f"{k} has shape {tuple(arrays[k].shape)}, expected {tuple(expected[k].shape)}"
        for k in expected
        if k in arrays and tuple(arrays[k].shape) != tuple(expected[k].shape)
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(f"{where} does not fit the preset: {'; '.join(wrong[:5])}{more}")
