"""The encoder of a RETRO: neighbours, each read beside the chunk that retrieved it.

Axes: B batch, L chunks, M tokens a chunk, K neighbours, R tokens a neighbour, D width.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from engine.layers import MLP, Embedding, Part, RelativeAttention, RMSNorm, distances, whole
from engine.presets import Preset, Retrieval


class EncoderBlock(nnx.Module):
    """Bidirectional self-attention, cross-attention to the chunk in some layers, MLP."""

    def __init__(self, s: Retrieval, decoder: int, crosses: bool, eps: float, rngs: nnx.Rngs):
        out = 0.02 / math.sqrt(2 * s.depth)
        self.norm1 = RMSNorm(s.width, eps)
        self.attention = RelativeAttention(
            s.width, s.width, s.heads, s.head_dim, out_scale=out, rngs=rngs
        )
        self.crosses = crosses
        if crosses:
            self.norm_chunk = RMSNorm(decoder, eps)
            self.norm_cross = RMSNorm(s.width, eps)
            self.cross = RelativeAttention(
                s.width, decoder, s.heads, s.head_dim, out_scale=out, rngs=rngs
            )
        self.norm2 = RMSNorm(s.width, eps)
        self.mlp = MLP(s.width, s.ffw, out_scale=out, rngs=rngs)

    def __call__(
        self, e: jax.Array, valid: jax.Array, chunk: jax.Array, chunk_valid: jax.Array
    ) -> jax.Array:
        """e [B L K R D], valid [B L K R], chunk [B L M D'], chunk_valid [B L M]"""
        R, M = e.shape[-2], chunk.shape[-2]
        y = self.norm1(e)
        r = self.attention.position_keys(distances(R, R))
        both = jnp.broadcast_to(valid[..., None, :], (*valid.shape, R))
        e = e + self.attention(y, *self.attention.keys_values(y), r, both)
        if self.crosses:
            k, v = self.cross.keys_values(self.norm_chunk(chunk)[:, :, None])  # [B L 1 M N H]
            r = self.cross.position_keys(distances(R, M))
            seen = jnp.broadcast_to(chunk_valid[:, :, None, None, :], (*valid.shape, M))
            e = e + self.cross(self.norm_cross(e), k, v, r, seen)
        return e + self.mlp(self.norm2(e))


class NeighbourEncoder(nnx.Module):
    """Encodes each neighbour, conditioned on the chunk that retrieved it (RETRO, section 2.3)."""

    def __init__(self, p: Preset, s: Retrieval, *, rngs: nnx.Rngs):
        if not s.shared_embedding:
            self.embedding = Embedding(p.vocab, s.width, rngs=rngs)
        self.blocks = nnx.List(
            [
                EncoderBlock(s, p.width, i + 1 in s.cross, p.norm_eps, rngs)
                for i in range(s.depth)
            ]
        )  # fmt: skip
        self.norm = RMSNorm(s.width, p.norm_eps)

    def __call__(
        self,
        e: jax.Array,
        valid: jax.Array,
        chunk: jax.Array,
        chunk_valid: jax.Array,
        part: Part = whole,
    ) -> jax.Array:
        """Embedded neighbours e [B L K R D], the chunks' stream [B L M D'] -> [B L K R D]"""
        for block in self.blocks:
            e = part(block)(e, valid, chunk, chunk_valid)
        return self.norm(e)
