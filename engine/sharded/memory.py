"""What slots remember, as arrays over a mesh: slot b is slot j of group a, groups over "data".

Axes: A groups, J slots a group, L layers, C cross-attentions, S tokens a slot, M tokens a chunk,
K neighbours, R tokens a neighbour, Q tokens fed at once, N heads, H head width, D width.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from engine.presets import Preset
from engine.sharded.stacks import Int8
from engine.sharding import DATA, MODEL, slot_sharding


class Neighbours(NamedTuple):
    """What a RETRO remembers beside its decoder."""

    rows: Any  # [A J S D] the stream where the encoder reads it; D divided over "model"
    keys: Any  # [A C J K*R N H] the encoded neighbours of the last complete chunk
    values: Any
    valid: Any  # [A J K*R] bool


class Memory(NamedTuple):
    """Everything that changes while decoding. Keys carry no position."""

    keys: Any  # [A L J S N H], or Int8 with scales [A L J S N]
    values: Any
    valid: Any  # [A J S] bool
    neighbours: Neighbours | None


def memory_shapes(
    p: Preset, mesh: Mesh, slots: int, length: int, dtype: Any, narrow: bool = False
) -> Memory:
    """Shapes, types and places of what so many slots of so many tokens remember."""
    A = mesh.shape[DATA]
    if slots % A:
        raise ValueError(f"{slots} slots cannot be divided over data={A}; give a multiple of it")
    J, N, H, r = slots // A, p.heads, p.head_dim, p.retrieval

    def array(shape: tuple[int, ...], heads: int | None, of: Any) -> Any:
        at = slot_sharding(mesh, heads, len(shape))
        return jax.ShapeDtypeStruct(shape, of, sharding=at)

    def pair() -> Any:
        shape = (A, p.layers, J, length, N, H)
        if not narrow:
            return array(shape, 4, dtype)
        return Int8(array(shape, 4, jnp.int8), array(shape[:-1], 4, jnp.float32))

    held = None
    if r is not None:
        keys = r.neighbours * r.neighbour_tokens
        shape = (A, len(r.layers), J, keys, N, H)
        held = Neighbours(
            array((A, J, length, p.width), None if p.width % mesh.shape[MODEL] else 3, dtype),
            array(shape, 4, dtype),
            array(shape, 4, dtype),
            array((A, J, keys), None, jnp.bool_),
        )
    return Memory(pair(), pair(), array((A, J, length), None, jnp.bool_), held)


def empty(shapes: Memory) -> Memory:
    """A memory of nothing, made in place on every device."""
    places = jax.tree.map(lambda s: s.sharding, shapes)
    zeros = jax.jit(
        lambda: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes), out_shardings=places
    )
    return zeros()


class Place(NamedTuple):
    """Where tokens [A J' Q] lie: in slots `first` .. first+J'-1 of every group."""

    first: Any  # [] int32
    at: Any  # [A J' Q] int32, their positions
    written: Any  # [A J' Q] int32, the same, and S for those that are not to be remembered


def put(held: jax.Array, new: jax.Array, place: Place, layer: jax.Array) -> jax.Array:
    """held [A L J S ...] with new [A J' Q ...] in a layer; in place where held is donated."""
    slots = place.first + jnp.arange(new.shape[1])[:, None]  # [J' 1]

    def one(held: jax.Array, new: jax.Array, at: jax.Array) -> jax.Array:  # of a group
        return held.at[layer, slots, at].set(new.astype(held.dtype), mode="drop")

    return jax.vmap(one)(held, new, place.written)


def put_narrow(held: Any, new: jax.Array, place: Place, layer: jax.Array) -> Any:
    """`put` for keys or values [A J' Q N H], as Int8 where those are held so."""
    if not isinstance(held, Int8):
        return put(held, new, place, layer)
    wide = new.astype(jnp.float32)
    scale = jnp.maximum(jnp.abs(wide).max(-1), 1e-30) / 127
    values = jnp.round(wide / scale[..., None]).astype(jnp.int8)
    return Int8(put(held.values, values, place, layer), put(held.scale, scale, place, layer))


def view(held: Any, place: Place, layer: jax.Array) -> Any:
    """held [A L J ...] -> [A J' ...] of one layer."""
    J = place.at.shape[1]

    def one(array: jax.Array) -> jax.Array:
        rest = array.shape[3:]
        start = (0, layer, place.first, *[0] * len(rest))
        return jax.lax.dynamic_slice(array, start, (array.shape[0], 1, J, *rest))[:, 0]

    return jax.tree.map(one, held)
