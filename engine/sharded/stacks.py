"""The arrays of a model with its layers stacked, so that one compiled layer serves them all.

"decoder.blocks.7.mlp.up.kernel" becomes row 7 of "decoder.blocks.mlp.up.kernel"; those of the
cross-attentions likewise. The encoder is two layers deep and stays as it is. Axes: L layers.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from engine.checkpoint import nest, shapes_of
from engine.presets import Preset
from engine.sharding import stack_sharding, weight_sharding, whole

_STACKED = re.compile(r"(decoder\.blocks|cross)\.(\d+)\.(.+)")


class Int8(NamedTuple):
    """Whole numbers with a scale for each output (weights) or each token and head (keys)."""

    values: Any  # int8 [... I O]
    scale: Any  # float32 [... O]


def decoder_name(p: Preset, name: str) -> str:
    """A Gopher's own names have no "decoder." in front."""
    return name if p.retrieval else f"decoder.{name}"


@cache
def members(p: Preset) -> dict[str, tuple[str, ...]]:
    """Each array by its stacked name -> the checkpoint's names of its rows, one where unstacked."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in shapes_of(p):
        match = _STACKED.fullmatch(decoder_name(p, name))
        short = f"{match[1]}.{match[3]}" if match else decoder_name(p, name)
        found.setdefault(short, []).append((int(match[2]) if match else 0, name))
    return {short: tuple(name for _, name in sorted(rows)) for short, rows in found.items()}


def is_stacked(name: str) -> bool:
    return name.startswith(("decoder.blocks.", "cross."))


def is_narrow(name: str) -> bool:
    """Whether the array is stored as Int8 if that is asked for."""
    return is_stacked(name) and name.endswith(".kernel")


def placement(mesh: Mesh | AbstractMesh, name: str, shape: tuple[int, ...]) -> NamedSharding:
    """Where an array by its stacked name lies. The encoder's layers are small: on all devices."""
    if is_stacked(name):
        return stack_sharding(mesh, name, shape)
    if name.startswith("encoder.blocks."):
        return whole(mesh)
    return weight_sharding(mesh, name, shape)


def scale_placement(kernel: NamedSharding) -> NamedSharding:
    """That of the scale [L O] of a kernel [L I O]."""
    layers, _, outputs = kernel.spec
    return NamedSharding(kernel.mesh, PartitionSpec(layers, outputs))


def stacked_shapes(
    p: Preset, mesh: Mesh | AbstractMesh, dtype: Any, narrow: bool = False
) -> dict[str, Any]:
    """Shapes, types and places of a model's arrays; with `narrow` its kernels are Int8."""
    shapes = shapes_of(p)
    found: dict[str, Any] = {}
    for name, rows in members(p).items():
        one = tuple(shapes[rows[0]].shape)
        shape = (len(rows), *one) if is_stacked(name) else one
        at = placement(mesh, name, shape)
        if narrow and is_narrow(name):
            values = jax.ShapeDtypeStruct(shape, jnp.int8, sharding=at)
            scale = jax.ShapeDtypeStruct(
                (shape[0], shape[2]), jnp.float32, sharding=scale_placement(at)
            )
            found[name] = Int8(values, scale)
        else:
            found[name] = jax.ShapeDtypeStruct(shape, dtype, sharding=at)
    return found


def unstack(p: Preset, weights: Mapping[str, Any], dtype: Any) -> dict:
    """Stacked arrays -> the nested dict that `nnx.merge` takes. Copies what was stacked."""
    arrays = {}
    for name, rows in members(p).items():
        value = weights[name]
        if isinstance(value, Int8):
            value = (value.values * value.scale[:, None]).astype(dtype)
        arrays |= {row: value[i] if is_stacked(name) else value for i, row in enumerate(rows)}
    return nest(arrays)
