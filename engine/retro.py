"""RETRO: a Gopher that reads the neighbours of each completed chunk (arXiv 2112.04426, 2.2-2.4).

Axes: B batch, T tokens, L chunks, M tokens a chunk, K neighbours, R tokens a neighbour, D width.
Neighbours of chunk u are first read by its last token, which predicts the first of chunk u+1.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from engine.gopher import Gopher, KeysValues
from engine.layers import MLP, Embedding, RelativeAttention, RMSNorm, distances
from engine.presets import Preset, Retrieval


class Passages(NamedTuple):
    """Neighbours of every chunk as token ids; `valid` is False at padding and missing ones."""

    tokens: Any  # [B L K R] int32, NumPy or JAX
    valid: Any  # [B L K R] bool


class Encoded(NamedTuple):
    """Encoded neighbours of one chunk a sequence, as keys and values of each cross-attention."""

    keys_values: tuple[KeysValues, ...]  # [B K*R N H] each
    valid: jax.Array  # [B K*R] bool


class Tables(NamedTuple):
    """Projected position keys, constant at inference."""

    decoder: tuple[jax.Array, ...]  # [2S N H] a layer
    cross: tuple[jax.Array, ...]  # [M+R-1 N H] a cross-attention


class Cache(NamedTuple):
    """Everything that changes while decoding. S slots; keys carry no position."""

    layers: tuple[KeysValues, ...]  # [B S N H] each
    valid: jax.Array  # [B S] bool
    at: jax.Array  # [] int32, the next slot
    rows: jax.Array  # [B M D] the current chunk's stream where the encoder reads it
    encoded: Encoded  # neighbours of the last complete chunk


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
        self, e: jax.Array, valid: jax.Array, chunk: jax.Array, chunk_valid: jax.Array
    ) -> jax.Array:
        """Embedded neighbours e [B L K R D], the chunks' stream [B L M D'] -> [B L K R D]"""
        for block in self.blocks:
            e = block(e, valid, chunk, chunk_valid)
        return self.norm(e)


class ChunkedCrossAttention(nnx.Module):
    """Tokens read the encoded neighbours of the chunk before them (RETRO, section 2.4).

    A token at place i of its attending chunk and a neighbour's token j are i - j + M - 1 apart
    (equation 6), the same for every neighbour: their order cannot matter.
    """

    def __init__(self, p: Preset, s: Retrieval, *, rngs: nnx.Rngs):
        self.norm = RMSNorm(p.width, p.norm_eps)
        self.attention = RelativeAttention(
            p.width, s.width, p.heads, p.head_dim,
            out_scale=0.02 / math.sqrt(2 * p.layers), rngs=rngs,
        )  # fmt: skip
        self.chunk, self.reach = p.chunk, s.neighbour_tokens

    def keys_values(self, e: jax.Array) -> KeysValues:
        """e [... K R D] -> keys, values [... K*R N H]"""
        *lead, K, R, D = e.shape
        return self.attention.keys_values(e.reshape(*lead, K * R, D))

    def position_table(self) -> jax.Array:
        """[M+R-1 N H], in the order of `distances`"""
        return self.attention.position_keys(distances(self.chunk, self.reach, self.chunk - 1))

    def full(self, x: jax.Array, e: jax.Array, valid: jax.Array) -> jax.Array:
        """What the neighbours add to x [B T D], given e [B L K R D] and valid [B L K R].

        Rows are shifted M-1 to the left, so that the first row that may read chunk u's
        neighbours, its last token, starts a row of its own, and shifted back afterwards.
        """
        (B, T, D), L, M = x.shape, e.shape[1], self.chunk
        shifted = jnp.pad(x[:, M - 1 :], ((0, 0), (0, L * M - (T - M + 1)), (0, 0)))
        k, v = self.keys_values(e)
        y = self._attend(shifted.reshape(B, L, M, D), k, v, self.position_table(), valid)
        return jnp.pad(y.reshape(B, L * M, D), ((0, 0), (M - 1, 0), (0, 0)))[:, :T]

    def step(
        self,
        x: jax.Array,
        place: jax.Array,
        encoded: KeysValues,
        valid: jax.Array,
        table: jax.Array,
    ) -> jax.Array:
        """The same for one token: x [B 1 D] at `place` [] of its attending chunk -> [B 1 D]

        `table` is the constant `position_table()`, `valid` [B K*R].
        """
        row = jax.lax.dynamic_slice_in_dim(table, self.chunk - 1 - place, self.reach)
        marks = valid.reshape(valid.shape[0], -1, self.reach)
        return self._attend(x, *encoded, row, marks)

    def _attend(
        self, x: jax.Array, k: jax.Array, v: jax.Array, table: jax.Array, valid: jax.Array
    ) -> jax.Array:
        """x [... Q D], k and v [... K*R N H], table [Q+R-1 N H], valid [... K R] -> [... Q D]"""
        Q, K, R = x.shape[-2], *valid.shape[-2:]
        mask = jnp.broadcast_to(
            valid.reshape(*valid.shape[:-2], 1, K * R), (*valid.shape[:-2], Q, K * R)
        )
        return self.attention(self.norm(x), k, v, table, mask, repeats=K)


class Retro(nnx.Module):
    """A RETRO of any preset. With no passages, or none valid, it is exactly its decoder."""

    def __init__(self, p: Preset, *, rngs: nnx.Rngs):
        if p.retrieval is None:
            raise ValueError(f"preset {p.name!r} has no retrieval; use Gopher")
        if not 0 < min(p.retrieval.layers) <= max(p.retrieval.layers) <= p.layers:
            raise ValueError(
                f"preset {p.name!r} has {p.layers} layers but reads neighbours in layers "
                f"{p.retrieval.layers}"
            )
        self.decoder = Gopher(p, rngs=rngs)
        self.encoder = NeighbourEncoder(p, p.retrieval, rngs=rngs)
        self.cross = nnx.List(
            [ChunkedCrossAttention(p, p.retrieval, rngs=rngs) for _ in p.retrieval.layers]
        )
        self.layers = tuple(layer - 1 for layer in p.retrieval.layers)
        self.chunk = p.chunk

    def _embed(self, tokens: jax.Array) -> jax.Array:
        shared = not hasattr(self.encoder, "embedding")
        return (self.decoder if shared else self.encoder).embedding(tokens)

    def encode(self, x: jax.Array, valid: jax.Array, passages: Passages) -> jax.Array:
        """Chunks' stream x [B L M D] and their neighbours -> encoded neighbours [B L K R D']"""
        return self.encoder(self._embed(passages.tokens), passages.valid, x, valid)

    def hidden(
        self, tokens: jax.Array, valid: jax.Array | None, passages: Passages | None
    ) -> tuple[jax.Array, tuple[KeysValues, ...], jax.Array | None]:
        """The full pass: tokens [B T] -> stream [B T D], cache, encoded [B L K R D'] or None.

        `passages` holds neighbours for each of the T // M complete chunks.
        """
        B, T = tokens.shape
        M, L = self.chunk, T // self.chunk
        if passages is None or L == 0:
            return *self.decoder.hidden(tokens, valid), None
        if passages.tokens.shape[:2] != (B, L):
            raise ValueError(
                f"{B} sequences of {T} tokens have {L} chunks of {M} each, but the passages are "
                f"for {passages.tokens.shape[1]} chunks of {passages.tokens.shape[0]} sequences"
            )
        marks = jnp.ones((B, T), bool) if valid is None else valid
        encoded = None

        def between(i: int, x: jax.Array) -> jax.Array:
            nonlocal encoded
            if i not in self.layers:
                return x
            if encoded is None:
                rows = x[:, : L * M].reshape(B, L, M, -1)
                encoded = self.encode(rows, marks[:, : L * M].reshape(B, L, M), passages)
            return x + self.cross[self.layers.index(i)].full(x, encoded, passages.valid)

        x, cache = self.decoder.hidden(tokens, valid, between)
        return x, cache, encoded

    def __call__(
        self,
        tokens: jax.Array,
        valid: jax.Array | None = None,
        passages: Passages | None = None,
    ) -> jax.Array:
        """tokens [B T] -> logits float32 [B T V]"""
        return self.decoder.embedding.read(self.hidden(tokens, valid, passages)[0])

    def project(self, encoded: jax.Array, valid: jax.Array) -> Encoded:
        """Encoded neighbours of one chunk [B K R D'], valid [B K R] -> what decoding keeps."""
        pairs = tuple(cross.keys_values(encoded) for cross in self.cross)
        return Encoded(pairs, valid.reshape(valid.shape[0], -1))

    def step(
        self,
        token: jax.Array,
        cache: Cache,
        tables: Tables,
        passages: Passages | None = None,
    ) -> tuple[jax.Array, Cache]:
        """One token a sequence: token [B] -> stream [B D] and the cache (RETRO, section 2.4).

        The last token of a chunk completes it and already reads its neighbours.

        `passages` [B 1 K R] must be given for the last token of every chunk, and only then; all
        invalid where there are none.
        """
        at, M = cache.at, self.chunk
        valid = cache.valid.at[:, at].set(True)
        rows, encoded = cache.rows, cache.encoded

        def between(i: int, x: jax.Array) -> jax.Array:
            nonlocal rows, encoded
            if i not in self.layers:
                return x
            if i == self.layers[0]:
                rows = jax.lax.dynamic_update_slice_in_dim(rows, x.astype(rows.dtype), at % M, 1)
                if passages is not None:
                    marks = jax.lax.dynamic_slice_in_dim(valid, at + 1 - M, M, axis=1)
                    e = self.encode(rows[:, None], marks[:, None], passages)
                    encoded = self.project(e[:, 0], passages.valid[:, 0])
            n = self.layers.index(i)
            pair, table = encoded.keys_values[n], tables.cross[n]
            return x + self.cross[n].step(x, (at + 1) % M, pair, encoded.valid, table)

        x, layers = self.decoder.step(token, at, cache.layers, valid, tables.decoder, between)
        return x, Cache(layers, valid, at + 1, rows, encoded)
