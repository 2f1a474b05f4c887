"""RETRO: a Gopher that reads the neighbours of each completed chunk (arXiv 2112.04426, 2.2-2.4).

Axes: B batch, T tokens, L chunks, M tokens a chunk, K neighbours, R tokens a neighbour, D width.
Neighbours of chunk u are first read by its last token, which predicts the first of chunk u+1.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from engine.encoder import NeighbourEncoder
from engine.gopher import Gopher, KeysValues
from engine.layers import Part, RelativeAttention, RMSNorm, distances, whole
from engine.presets import Preset, Retrieval


class Passages(NamedTuple):
    """Neighbours of every chunk as token ids; `valid` is False at padding and missing ones."""

    tokens: Any  # [B L K R] int32, NumPy or JAX
    valid: Any  # [B L K R] bool


class Chunks(NamedTuple):
    """The whole chunks of a sequence as the full pass leaves them."""

    rows: jax.Array  # [B L M D], their stream where the encoder reads it
    encoded: jax.Array | None  # [B L K R D'], their neighbours; None without passages
    attention: jax.Array | None = None  # [B L N M K*R], the last cross-attention's weights


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

    def full(self, x: jax.Array, e: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What the neighbours add to x [B T D], given e [B L K R D] and valid [B L K R], and the
        weights with which each attending chunk reads its neighbours [B L N M K*R].

        Rows are shifted M-1 to the left, so that the first row that may read chunk u's
        neighbours, its last token, starts a row of its own, and shifted back afterwards.
        """
        (B, T, D), L, M = x.shape, e.shape[1], self.chunk
        shifted = jnp.pad(x[:, M - 1 :], ((0, 0), (0, L * M - (T - M + 1)), (0, 0)))
        k, v = self.keys_values(e)
        table = self.position_table()
        y, weights = self._attend(shifted.reshape(B, L, M, D), k, v, table, valid)
        return jnp.pad(y.reshape(B, L * M, D), ((0, 0), (M - 1, 0), (0, 0)))[:, :T], weights

    def step(
        self,
        x: jax.Array,
        place: jax.Array,
        encoded: KeysValues,
        valid: jax.Array,
        table: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """The same for consecutive tokens x [B Q D] from `place` [] of their attending chunk on.

        -> [B Q D], and the share of the attention that each neighbour received [B Q K], a mean
        over heads. `table` is the constant `position_table()`, `valid` [B K*R].
        """
        Q = x.shape[1]
        first = self.chunk - Q - place  # of the distances from the last query to the first
        rows = jax.lax.dynamic_slice_in_dim(table, first, Q + self.reach - 1)
        marks = valid.reshape(valid.shape[0], -1, self.reach)
        y, weights = self._attend(x, *encoded, rows, marks)
        *lead, Q, KR = weights.shape
        return y, weights.reshape(*lead, Q, KR // self.reach, self.reach).sum(-1).mean(-3)

    def _attend(
        self, x: jax.Array, k: jax.Array, v: jax.Array, table: jax.Array, valid: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """x [... Q D], k and v [... K*R N H], table [Q+R-1 N H], valid [... K R]

        -> [... Q D], [... N Q K*R]
        """
        Q, K, R = x.shape[-2], *valid.shape[-2:]
        mask = jnp.broadcast_to(
            valid.reshape(*valid.shape[:-2], 1, K * R), (*valid.shape[:-2], Q, K * R)
        )
        weights = self.attention.weights(self.norm(x), k, table, mask, repeats=K)
        return self.attention.read(weights, v), weights


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

    def encode(
        self, x: jax.Array, valid: jax.Array, passages: Passages, part: Part = whole
    ) -> jax.Array:
        """Chunks' stream x [B L M D] and their neighbours -> encoded neighbours [B L K R D']"""
        return self.encoder(self._embed(passages.tokens), passages.valid, x, valid, part)

    def hidden(
        self,
        tokens: jax.Array,
        valid: jax.Array | None,
        passages: Passages | None,
        part: Part = whole,
    ) -> tuple[jax.Array, tuple[KeysValues, ...], Chunks | None]:
        """The full pass: tokens [B T] -> stream [B T D], cache, chunks (None where T < M).

        `passages` holds neighbours for each of the T // M complete chunks; `part` as in Gopher.
        """
        B, T = tokens.shape
        M, L = self.chunk, T // self.chunk
        if L == 0:
            return *self.decoder.hidden(tokens, valid, None, part), None
        if passages is not None and passages.tokens.shape[:2] != (B, L):
            raise ValueError(
                f"{B} sequences of {T} tokens have {L} chunks of {M} each, but the passages are "
                f"for {passages.tokens.shape[1]} chunks of {passages.tokens.shape[0]} sequences"
            )
        marks = jnp.ones((B, T), bool) if valid is None else valid
        rows = encoded = attention = None

        def between(i: int, x: jax.Array) -> jax.Array:
            nonlocal rows, encoded, attention
            if i == self.layers[0]:
                rows = x[:, : L * M].reshape(B, L, M, -1)
                if passages is not None:
                    shown = marks[:, : L * M].reshape(B, L, M)
                    encoded = self.encode(rows, shown, passages, part)
            if passages is None or encoded is None or i not in self.layers:
                return x
            cross = self.cross[self.layers.index(i)]
            added, attention = part(cross.full)(x, encoded, passages.valid)
            return x + added

        x, cache = self.decoder.hidden(tokens, valid, between, part)
        assert rows is not None  # between has been called for every layer
        return x, cache, Chunks(rows, encoded, attention)

    def __call__(
        self,
        tokens: jax.Array,
        valid: jax.Array | None = None,
        passages: Passages | None = None,
    ) -> jax.Array:
        """tokens [B T] -> logits float32 [B T V]"""
        return self.read(self.hidden(tokens, valid, passages)[0])

    def read(self, x: jax.Array) -> jax.Array:
        """Normed stream [... D] -> logits float32 [... V]"""
        return self.decoder.read(x)

    def project(self, encoded: jax.Array, valid: jax.Array) -> Encoded:
        """Encoded neighbours of one chunk [B K R D'], valid [B K R] -> what decoding keeps."""
        pairs = tuple(cross.keys_values(encoded) for cross in self.cross)
        return Encoded(pairs, valid.reshape(valid.shape[0], -1))

    def step(
        self,
        tokens: jax.Array,
        cache: Cache,
        tables: Tables,
        passages: Passages | None = None,
        picks: jax.Array | None = None,
        marks: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array, Cache]:
        """Consecutive tokens [B Q] of one attending chunk (RETRO, section 2.4).

        -> stream [B Q D], the share of the attention that each neighbour received [B Q K] (a mean
        over heads and layers), and the cache.

        The last token of a chunk completes it and already reads its neighbours. `passages`
        [B 1 K R] must be given where that is the first of the tokens, and only then; all invalid
        where there are none. With `picks` [B' K] one sequence is read under each of B' choices
        of its passages [1 1 P R]: row numbers from 0, -1 for none. Nothing is computed twice that
        is the same for all choices, and what comes back has a batch of B'. `marks` [B Q] are
        False at padding, which nothing attends to.
        """
        at, M, Q = cache.at, self.chunk, tokens.shape[1]
        marks = jnp.ones(tokens.shape, bool) if marks is None else marks
        valid = jax.lax.dynamic_update_slice_in_dim(cache.valid, marks, at, axis=1)
        rows, encoded = cache.rows, cache.encoded
        shares = []

        def between(i: int, x: jax.Array) -> jax.Array:
            nonlocal rows, encoded
            if i not in self.layers:
                return x
            if i == self.layers[0]:
                rows = jax.lax.dynamic_update_slice_in_dim(
                    rows, x[:, :1].astype(rows.dtype), at % M, 1
                )
                if passages is not None:
                    real = jax.lax.dynamic_slice_in_dim(valid, at + 1 - M, M, axis=1)
                    e = self.encode(rows[:, None], real[:, None], passages)
                    encoded = self.project(e[:, 0], passages.valid[:, 0])
                    encoded = (
                        encoded
                        if picks is None
                        else pick(encoded, picks, passages.tokens.shape[-1])
                    )
                if Q > 1:
                    rest = x[:, 1:].astype(rows.dtype)
                    rows = jax.lax.dynamic_update_slice_in_dim(rows, rest, (at + 1) % M, 1)
            n = self.layers.index(i)
            y, share = self.cross[n].step(
                x, (at + 1) % M, encoded.keys_values[n], encoded.valid, tables.cross[n]
            )
            shares.append(share)
            return x + y

        x, layers = self.decoder.step(tokens, at, cache.layers, valid, tables.decoder, between)
        attention = jnp.stack(shares).mean(0)
        return x, attention, Cache(layers, valid, at + Q, rows, encoded)


def pick(encoded: Encoded, picks: jax.Array, reach: int) -> Encoded:
    """Choices [B K] among the P passages of one sequence, each of `reach` tokens; -1 is none."""
    B, K = picks.shape

    def choose(a: jax.Array) -> jax.Array:  # [1 P*R ...] -> [B K*R ...]
        rows = a.reshape(-1, reach, *a.shape[2:])[picks]
        return rows.reshape(B, K * reach, *a.shape[2:])

    pairs = tuple((choose(k), choose(v)) for k, v in encoded.keys_values)
    return Encoded(pairs, choose(encoded.valid) & jnp.repeat(picks >= 0, reach, axis=1))
