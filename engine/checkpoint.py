"""Weights on disk: one safetensors file beside a JSON card that names its SHA-256.

A weights directory holds `weights.safetensors`, `tokenizer.model` and `card.json`. Arrays are
named by their path in the model, "decoder.blocks.0.attention.q.kernel".
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.gopher import Gopher
from engine.presets import Preset, preset
from engine.retro import Retro

Arrays = dict[str, jax.Array]


class CheckpointError(ValueError):
    """Weights that cannot be used; the message says what was found, expected, and what to do."""


def build(p: Preset, seed: int = 0) -> Gopher | Retro:
    """A freshly initialised model of a preset."""
    return (Retro if p.retrieval else Gopher)(p, rngs=nnx.Rngs(seed))


def graph_of(p: Preset) -> nnx.GraphDef:
    """The static half of a model, without allocating its weights."""
    return nnx.split(nnx.eval_shape(lambda: build(p)), nnx.Param)[0]


def shapes_of(p: Preset) -> dict[str, jax.ShapeDtypeStruct]:
    """Names and shapes of a preset's arrays, without allocating them."""
    return flatten(nnx.state(nnx.eval_shape(lambda: build(p)), nnx.Param))


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
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def save_arrays(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    """Writes arrays as safetensors; returns the file's SHA-256."""
    data = save({k: np.asarray(v) for k, v in arrays.items()}, dict(metadata))
    write_file(path, data)
    return hashlib.sha256(data).hexdigest()


def save_weights(
    directory: Path, name: str, arrays: Mapping[str, Any], tokenizer: Path, card: Mapping[str, Any]
) -> None:
    """Writes a weights directory in bfloat16; `card` is kept beside what is measured here."""
    directory.mkdir(parents=True, exist_ok=True)
    narrow = {k: jnp.asarray(v, jnp.bfloat16) for k, v in arrays.items()}
    digest = save_arrays(directory / "weights.safetensors", narrow, {"preset": name})
    model = tokenizer.read_bytes()
    write_file(directory / "tokenizer.model", model)
    described = {
        "preset": name,
        "parameters": sum(int(np.prod(v.shape)) for v in arrays.values()),
        "sha256": digest,
        "tokenizer_sha256": hashlib.sha256(model).hexdigest(),
        **card,
    }
    write_file(directory / "card.json", json.dumps(described, indent=2).encode() + b"\n")


def read_card(directory: Path) -> dict[str, Any]:
    path = directory / "card.json"
    try:
        card = json.loads(path.read_text())
        return {**card, "preset": str(card["preset"]), "sha256": str(card["sha256"])}
    except OSError as error:
        raise CheckpointError(f"no model card at {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the model card {path} is damaged: {error!r}") from None


def load_weights(directory: Path, dtype: Any = jnp.float32) -> tuple[dict[str, Any], Arrays]:
    """A weights directory -> its card and arrays by name, every hash, name and shape checked."""
    card = read_card(directory)
    path = directory / "weights.safetensors"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the weights {path}: {error.strerror}") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != card["sha256"]:
        raise CheckpointError(
            f"{path} is damaged or was replaced: its SHA-256 is {digest[:12]}..., the model card "
            f"says {card['sha256'][:12]}...; restore the file, for instance with git checkout"
        )
    try:
        arrays = load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None
    check_shapes(arrays, shapes_of(preset(card["preset"])), str(path))
    return card, {k: jnp.asarray(v, dtype) for k, v in arrays.items()}


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
