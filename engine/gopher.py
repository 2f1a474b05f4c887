"""Gopher: a decoder with RMSNorm and Transformer-XL relative positions (arXiv 2112.11446, 3.1).

Axes: B batch, T tokens, S cache slots, D width, N heads, H head width, V vocabulary.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from engine.layers import MLP, Embedding, Part, RelativeAttention, RMSNorm, whole
from engine.presets import Preset

# Called after the self-attention of layer i (from 0) with the stream x; returns the stream.
Between = Callable[[int, jax.Array], jax.Array]
KeysValues = tuple[jax.Array, jax.Array]  # [B S N H] each


class Block(nnx.Module):
    """x += attention(norm(x)); x += mlp(norm(x))."""

    def __init__(self, p: Preset, *, rngs: nnx.Rngs):
        out = 0.02 / math.sqrt(2 * p.layers)
        self.norm1 = RMSNorm(p.width, p.norm_eps)
        self.attention = RelativeAttention(
            p.width, p.width, p.heads, p.head_dim, out_scale=out, rngs=rngs
        )
        self.norm2 = RMSNorm(p.width, p.norm_eps)
        self.mlp = MLP(p.width, p.ffw, out_scale=out, rngs=rngs)

    def attend(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, KeysValues]:
        """The attention half of a full causal pass: x [B T D], mask [... T T]"""
        y = self.norm1(x)
        k, v = self.attention.keys_values(y)
        r = self.attention.position_keys(np.arange(x.shape[1] - 1, -1, -1))
        return x + self.attention(y, k, v, r, mask), (k, v)

    def feed(self, x: jax.Array) -> jax.Array:
        """The other half, x [... D]"""
        return x + self.mlp(self.norm2(x))


class Gopher(nnx.Module):
    """A Gopher of any preset. `between` lets RETRO act after a layer's self-attention."""

    def __init__(self, p: Preset, *, rngs: nnx.Rngs):
        self.embedding = Embedding(p.vocab, p.width, rngs=rngs)
        self.blocks = nnx.List([Block(p, rngs=rngs) for _ in range(p.layers)])
        self.norm = RMSNorm(p.width, p.norm_eps)

    def hidden(
        self,
        tokens: jax.Array,
        valid: jax.Array | None = None,
        between: Between | None = None,
        part: Part = whole,
    ) -> tuple[jax.Array, tuple[KeysValues, ...]]:
        """The full causal pass: tokens [B T] -> normed stream [B T D], keys and values a layer.

        `valid` [B T] is False at padding, which no token attends to. `part` wraps each half of a
        layer; with `jax.checkpoint` their insides are computed anew in the backward pass.
        """
        T = tokens.shape[1]
        mask = jnp.tril(jnp.ones((T, T), bool))
        if valid is not None:
            mask = mask & valid[:, None, :]
        x = self.embedding(tokens)
        cache = []
        for i, block in enumerate(self.blocks):
            x, pair = part(block.attend)(x, mask)
            if between is not None:
                x = between(i, x)
            x = part(block.feed)(x)
            cache.append(pair)
        return self.norm(x), tuple(cache)

    def __call__(self, tokens: jax.Array, valid: jax.Array | None = None) -> jax.Array:
        """tokens [B T] -> logits float32 [B T V]"""
        return self.read(self.hidden(tokens, valid)[0])

    def read(self, x: jax.Array) -> jax.Array:
        """Normed stream [... D] -> logits float32 [... V]"""
        return self.embedding.read(x)

    def position_tables(self, slots: int) -> tuple[jax.Array, ...]:
        """Projected position keys for cached decoding, one [2S N H] a layer, constant at inference.

        Row c holds distance S-1-c; the negative half is never seen through the mask.
        """
        reach = jnp.arange(slots - 1, -slots - 1, -1)
        return tuple(block.attention.position_keys(reach) for block in self.blocks)

    def step(
        self,
        tokens: jax.Array,
        at: jax.Array,
        cache: Sequence[KeysValues],
        valid: jax.Array,
        tables: Sequence[jax.Array],
        between: Between | None = None,
    ) -> tuple[jax.Array, tuple[KeysValues, ...]]:
        """Consecutive tokens [B Q] at slots `at` [] and on -> normed stream [B Q D] and the cache.

        `valid` [B S] says which slots hold a real token, the new ones among them. S may be less
        than the slots that the tables were made for. Where `between` makes the stream a larger
        batch, a cache of one sequence is shared by all of them.
        """
        Q, S = tokens.shape[1], valid.shape[1]
        mask = valid[:, None, :] & (jnp.arange(S) <= at + jnp.arange(Q)[:, None])  # [B Q S]
        x = self.embedding(tokens)
        new = []
        for i, (block, (k, v), table) in enumerate(zip(self.blocks, cache, tables, strict=True)):
            y = block.norm1(x)
            k1, v1 = block.attention.keys_values(y)
            k, v = _put(k, k1, at), _put(v, v1, at)
            first = table.shape[0] // 2 - Q - at  # of the distances at+Q-1 .. at-S+1
            r = jax.lax.dynamic_slice_in_dim(table, first, Q + S - 1)
            x = x + block.attention(y, k, v, r, mask)
            if between is not None:
                x = between(i, x)
            x = block.feed(x)
            new.append((k, v))
        return self.norm(x), tuple(new)


def _put(slots: jax.Array, new: jax.Array, at: jax.Array) -> jax.Array:
    """slots [B S N H] with new [B' Q N H] from slot `at` on, B 1 or B' -> [B' S N H]"""
    slots = jnp.broadcast_to(slots, (new.shape[0], *slots.shape[1:]))
    return jax.lax.dynamic_update_slice_in_dim(slots, new.astype(slots.dtype), at, axis=1)
