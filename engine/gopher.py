"""Gopher: a decoder with RMSNorm and Transformer-XL relative positions (arXiv 2112.11446, 3.1).

Axes: B batch, T tokens, S cache slots, D width, N heads, H head width, V vocabulary.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from engine.layers import MLP, Embedding, RelativeAttention, RMSNorm
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


class Gopher(nnx.Module):
    """A Gopher of any preset. `between` lets RETRO act after a layer's self-attention."""

    def __init__(self, p: Preset, *, rngs: nnx.Rngs):
        self.embedding = Embedding(p.vocab, p.width, rngs=rngs)
        self.blocks = nnx.List([Block(p, rngs=rngs) for _ in range(p.layers)])
        self.norm = RMSNorm(p.width, p.norm_eps)

    def hidden(
        self, tokens: jax.Array, valid: jax.Array | None = None, between: Between | None = None
    ) -> tuple[jax.Array, tuple[KeysValues, ...]]:
        """The full causal pass: tokens [B T] -> normed stream [B T D], keys and values a layer.

        `valid` [B T] is False at padding, which no token attends to.
        """
        T = tokens.shape[1]
        mask = jnp.tril(jnp.ones((T, T), bool))
        if valid is not None:
            mask = mask & valid[:, None, :]
        x = self.embedding(tokens)
        cache = []
        for i, block in enumerate(self.blocks):
            y = block.norm1(x)
            k, v = block.attention.keys_values(y)
            r = block.attention.position_keys(np.arange(T - 1, -1, -1))
            x = x + block.attention(y, k, v, r, mask)
            if between is not None:
                x = between(i, x)
            x = x + block.mlp(block.norm2(x))
            cache.append((k, v))
        return self.norm(x), tuple(cache)

    def __call__(self, tokens: jax.Array, valid: jax.Array | None = None) -> jax.Array:
        """tokens [B T] -> logits float32 [B T V]"""
        return self.embedding.read(self.hidden(tokens, valid)[0])

    def position_tables(self, slots: int) -> tuple[jax.Array, ...]:
        """Projected position keys for cached decoding, one [2S N H] a layer, constant at inference.

        Row c holds distance S-1-c; the negative half is never seen through the mask.
        """
        reach = jnp.arange(slots - 1, -slots - 1, -1)
        return tuple(block.attention.position_keys(reach) for block in self.blocks)

    def step(
        self,
        token: jax.Array,
        at: jax.Array,
        cache: Sequence[KeysValues],
        valid: jax.Array,
        tables: Sequence[jax.Array],
        between: Between | None = None,
    ) -> tuple[jax.Array, tuple[KeysValues, ...]]:
        """One token a sequence: token [B] at slot `at` [] -> normed stream [B D] and the cache.

        `valid` [B S] says which slots hold a real token, `at` among them.
        """
        S = valid.shape[1]
        mask = (valid & (jnp.arange(S) <= at))[:, None, :]  # [B 1 S]
        x = self.embedding(token[:, None])  # [B 1 D]
        new = []
        for i, (block, (k, v), table) in enumerate(zip(self.blocks, cache, tables, strict=True)):
            y = block.norm1(x)
            k1, v1 = block.attention.keys_values(y)
            k = jax.lax.dynamic_update_slice_in_dim(k, k1.astype(k.dtype), at, axis=1)
            v = jax.lax.dynamic_update_slice_in_dim(v, v1.astype(v.dtype), at, axis=1)
            r = jax.lax.dynamic_slice_in_dim(table, S - 1 - at, S)  # distances at .. at-S+1
            x = x + block.attention(y, k, v, r, mask)
            if between is not None:
                x = between(i, x)
            x = x + block.mlp(block.norm2(x))
            new.append((k, v))
        return self.norm(x)[:, 0], tuple(new)
