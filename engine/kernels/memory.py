"""The arrays that the kernels work on: what never changes, and what they remember of sequences.

Axes: L layers, C cross-attentions, B slots, S tokens a slot holds, D width, N heads, H head width,
K neighbours, R tokens a neighbour, M tokens a chunk.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from engine.presets import Preset
from engine.retro import Cache, Encoded

TILE = 32  # keys in a tile
HIDDEN = -1e30  # added to the score of what is not attended to


class Constants(NamedTuple):
    """What decoding reads and never changes; see engine/kernels/decoder.h."""

    values: jax.Array  # uint8
    scales: jax.Array  # uint16, bits of float16
    plan: jax.Array  # int32 [4 L + 2 C + 1, 2], in lines of values and in tiles of scales
    floats: jax.Array  # float32
    places: jax.Array  # float16 [L N S/32 H 32]
    cross_places: jax.Array  # float16 [C N W H 32]


class Memory(NamedTuple):
    """Keys and values of every token, and the encoded neighbours of each slot's last chunk."""

    keys: jax.Array  # float16 [L B N S/32 H 32]
    values: jax.Array  # float16 [L B N S H]
    mask: jax.Array  # float32 [B S], 0 or HIDDEN
    stream: jax.Array  # float32 [B S D] where the encoder reads it; [B 0 D] without retrieval
    cross_keys: jax.Array  # float16 [C B N K*R/32 H 32]
    cross_values: jax.Array  # float16 [C B N K*R H]
    cross_mask: jax.Array  # float32 [B K*R]


def empty(p: Preset, count: int, length: int) -> Memory:
    r = p.retrieval
    C, seen = (len(r.layers), r.neighbours * r.neighbour_tokens) if r else (0, 0)
    lead = (p.layers, count, p.heads)
    cross = (C, count, p.heads)
    return Memory(
        jnp.zeros((*lead, length // TILE, p.head_dim, TILE), jnp.float16),
        jnp.zeros((*lead, length, p.head_dim), jnp.float16),
        jnp.zeros((count, length), jnp.float32),
        jnp.zeros((count, length if r else 0, p.width), jnp.float32),
        jnp.zeros((*cross, seen // TILE, p.head_dim, TILE), jnp.float16),
        jnp.zeros((*cross, seen, p.head_dim), jnp.float16),
        jnp.full((count, seen), HIDDEN, jnp.float32),
    )


def show(memory: Memory, slot: jax.Array, encoded: Encoded) -> Memory:
    """Puts encoded neighbours of one chunk [1 K*R N H] into a slot."""
    keys = jnp.stack([k[0] for k, _ in encoded.keys_values])  # [C K*R N H]
    values = jnp.stack([v[0] for _, v in encoded.keys_values])
    C, _, N, H = keys.shape
    tiles = keys.reshape(C, -1, TILE, N, H).transpose(0, 3, 1, 4, 2)
    mask = jnp.where(encoded.valid[0], 0.0, HIDDEN)

    def put(into: jax.Array, new: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(into, new[:, None].astype(into.dtype), slot, 1)

    return memory._replace(
        cross_keys=put(memory.cross_keys, tiles),
        cross_values=put(memory.cross_values, values.transpose(0, 2, 1, 3)),
        cross_mask=memory.cross_mask.at[slot].set(mask),
    )


def hide(memory: Memory, slot: jax.Array) -> Memory:
    """Shows a slot no neighbours."""
    return memory._replace(cross_mask=memory.cross_mask.at[slot].set(HIDDEN))


def recall(p: Preset, memory: Memory, slot: jax.Array, tokens: jax.Array, slots: int) -> Cache:
    """The first `tokens` of a slot as a cache of the definition, with room for `slots`."""
    L, _, N, _, H, _ = memory.keys.shape
    keys = memory.keys[:, slot, :, : slots // TILE]  # [L N s/32 H 32]
    keys = keys.transpose(0, 2, 4, 1, 3).reshape(L, slots, N, H).astype(jnp.float32)
    values = memory.values[:, slot, :, :slots].transpose(0, 2, 1, 3).astype(jnp.float32)
    layers = tuple((keys[i][None], values[i][None]) for i in range(L))
    valid = (memory.mask[slot, :slots] == 0) & (jnp.arange(slots) < tokens)
    rows = jnp.zeros((1, p.chunk, p.width), jnp.float32)
    pairs = ()
    if p.retrieval is not None:
        start = tokens // p.chunk * p.chunk
        rows = jax.lax.dynamic_slice_in_dim(memory.stream[slot], start, p.chunk)[None]
        C, _, _, _, _, _ = memory.cross_keys.shape
        k = memory.cross_keys[:, slot].transpose(0, 2, 4, 1, 3).reshape(C, -1, N, H)
        v = memory.cross_values[:, slot].transpose(0, 2, 1, 3)
        pairs = tuple(
            (k[i][None].astype(jnp.float32), v[i][None].astype(jnp.float32)) for i in range(C)
        )
    shown = Encoded(pairs, memory.cross_mask[slot][None] == 0)
    return Cache(layers, valid[None], jnp.asarray(tokens, jnp.int32), rows, shown)


def slot_bytes(p: Preset, length: int) -> int:
    """Of one slot."""
    shapes = jax.eval_shape(lambda: empty(p, 1, length))
    return sum(int(np.prod(a.shape)) * a.dtype.itemsize for a in shapes)
