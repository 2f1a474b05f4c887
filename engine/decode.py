"""Compiled decoding by the models' own definition: blocks and steps as pure functions.

A Gopher decodes as a RETRO whose neighbours are never valid would, by its own shorter path.
Axes: B batch, Q tokens fed together, S cache slots, M tokens a chunk, K neighbours, R tokens a
neighbour.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from engine.checkpoint import Arrays, graph_of, nest
from engine.gopher import Gopher
from engine.layout import passages_of
from engine.presets import Preset
from engine.retro import Cache, Encoded, Passages, Retro, Tables
from engine.sampling import ALTERNATIVES, Choice, drawn_of, draws_of, sample_rows
from engine.sampling import Draw as Draws
from engine.slots import Block, Draw, Drawn, Step
from engine.tokenizer import PAD
from retrieval.protocol import Neighbour

Logits = jax.Array  # [B V] float32


@dataclass(frozen=True)
class Extended:
    """What reading a chunk under B choices of its neighbours gives; Q places predict its tokens."""

    logprobs: jax.Array  # [B Q], of the targets
    attention: jax.Array  # [B K], the neighbours' shares, as a mean over the real tokens
    cache: Cache  # after the first choice
    top: tuple[jax.Array, jax.Array] | None  # [Q ALTERNATIVES], the likeliest ids and theirs


jax.tree_util.register_dataclass(Extended)


@dataclass(frozen=True)
class Decoding:
    """The compiled functions of one preset; each compiles on first use, once for every shape.

    tables(weights, S) -> position keys for a cache of S slots.
    read(weights, tables, cache, tokens [B Q], marks [B Q], count [], hide [], passages [B 1 K R] or
        None) -> logits after token `count` - 1 [B V], cache. The tokens are of one attending chunk;
        those after `count` are padding and change nothing before them. `hide` forgets the
        neighbours that were shown. RETRO needs passages, or to hide, at the last token of each
        chunk. The cache is donated; its `rows` are those of all slots [B S D].
    extend(weights, tables, cache of one sequence, tokens [1 Q], targets [1 Q], count [],
        passages [1 1 P R] or None, picks [B K] or None, alternatives) -> Extended: feeds the last
        token of a chunk and the next Q - 1 under each choice of the passages, see `Retro.step`.
    cut(cache of `read`, tokens, S) -> the first tokens as a cache of S slots for `extend`.
    """

    tables: Callable[[Any, int], Tables]
    read: Callable[..., tuple[Logits, Cache]]
    extend: Callable[..., Extended]
    cut: Callable[[Cache, Any, int], Cache]


@cache
def compile_decoding(p: Preset) -> Decoding:
    """The decoding functions of a preset, which all its engines share."""
    graph, M = graph_of(p), p.chunk

    def merge(weights: Any) -> Gopher | Retro:
        return nnx.merge(graph, weights)

    @partial(jax.jit, static_argnums=1)
    def tables(weights: Any, slots: int) -> Tables:
        model = merge(weights)
        if isinstance(model, Gopher):
            return Tables(model.position_tables(slots), ())
        crosses = tuple(cross.position_table() for cross in model.cross)
        return Tables(model.decoder.position_tables(slots), crosses)

    @partial(jax.jit, donate_argnames="cache")
    def read(
        weights: Any, tables: Tables, cache: Cache, tokens: jax.Array, marks: jax.Array,
        count: jax.Array, hide: jax.Array, passages: Passages | None,
    ) -> tuple[Logits, Cache]:  # fmt: skip
        model, (at, stream) = merge(weights), (cache.at, cache.rows)
        shown = cache.encoded._replace(valid=cache.encoded.valid & ~hide)
        chunk = jax.lax.dynamic_slice_in_dim(stream, at // M * M, M, axis=1)
        cache = cache._replace(rows=chunk, encoded=shown)
        x, _, cache = feed(model, tables, cache, tokens, passages, marks=marks)
        new = cache.rows[:, (at + jnp.arange(tokens.shape[1])) % M]
        rows = jax.lax.dynamic_update_slice_in_dim(stream, new, at, axis=1)
        last = jax.lax.dynamic_index_in_dim(x, count - 1, axis=1, keepdims=False)
        return model.read(last), cache._replace(rows=rows, at=at + count)

    @partial(jax.jit, static_argnames="alternatives")
    def extend(
        weights: Any, tables: Tables, cache: Cache, tokens: jax.Array, targets: jax.Array,
        count: jax.Array, passages: Passages | None, picks: jax.Array | None,
        alternatives: bool = False,
    ) -> Extended:  # fmt: skip
        model = merge(weights)
        x, shares, cache = feed(model, tables, cache, tokens, passages, picks)
        logits = model.read(x)
        whole = jax.nn.logsumexp(logits, axis=-1)
        wanted = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        real = jnp.arange(tokens.shape[1]) < count
        attention = jnp.where(real[:, None], shares, 0).sum(1) / count
        top = None
        if alternatives:
            best, ids = jax.lax.top_k(logits[0], ALTERNATIVES)
            top = ids, best - whole[0, :, None]
        return Extended(wanted - whole, attention, first_of(cache), top)

    @partial(jax.jit, static_argnums=2)
    def cut(cache: Cache, tokens: jax.Array, slots: int) -> Cache:
        layers = tuple((k[:, :slots], v[:, :slots]) for k, v in cache.layers)
        valid = cache.valid[:, :slots] & (jnp.arange(slots) < tokens)
        rows = jax.lax.dynamic_slice_in_dim(cache.rows, tokens // M * M, M, axis=1)
        shown = cache.encoded._replace(valid=cache.encoded.valid & (tokens >= M))
        return Cache(layers, valid, jnp.int32(tokens), rows, shown)

    return Decoding(tables, read, extend, cut)


def feed(
    model: Gopher | Retro, tables: Tables, cache: Cache, tokens: jax.Array,
    passages: Passages | None, picks: jax.Array | None = None, marks: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, Cache]:  # fmt: skip
    """`Retro.step`, and the same for a Gopher: its stream and cache, with K = 0 neighbours."""
    if isinstance(model, Retro):
        return model.step(tokens, cache, tables, passages, picks, marks)
    marks = jnp.ones(tokens.shape, bool) if marks is None else marks
    valid = jax.lax.dynamic_update_slice_in_dim(cache.valid, marks, cache.at, axis=1)
    x, layers = model.step(tokens, cache.at, cache.layers, valid, tables.decoder)
    moved = cache._replace(layers=layers, valid=valid, at=cache.at + tokens.shape[1])
    return x, jnp.zeros((*tokens.shape, 0)), moved


def empty(p: Preset, slots: int, dtype: Any = jnp.float32, batch: int = 1) -> Cache:
    """A cache for `Decoding.read`, without a token."""
    s, head = p.retrieval, (p.heads, p.head_dim)
    keys = s.neighbours * s.neighbour_tokens if s else 0

    def pairs(count: int, length: int) -> tuple[tuple[jax.Array, jax.Array], ...]:
        shape = (batch, length, *head)  # buffers of their own, because a step donates each
        return tuple((jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(count))

    return Cache(
        pairs(p.layers, slots),
        jnp.zeros((batch, slots), bool),
        jnp.int32(0),
        jnp.zeros((batch, slots if s else p.chunk, p.width), dtype),
        Encoded(pairs(len(s.layers) if s else 0, keys), jnp.zeros((batch, keys), bool)),
    )


def first_of(cache: Cache) -> Cache:
    """The first sequence of a cache."""
    return jax.tree.map(lambda a: a[:1] if a.ndim else a, cache)


def freeze(arrays: Arrays) -> dict:
    """Arrays by flat name -> the plain nested dict that compiled functions walk fast."""
    return nest(arrays)


_choose = jax.jit(sample_rows)


class PlainSlots:
    """`engine.slots.Slots` by the definition itself, one sequence after the other.

    A slot's memory is taken when it is first used. A block is filled up to M tokens.
    """

    uniform = False  # one row of a product differs in its last bits from the same among many

    def __init__(self, p: Preset, arrays: Mapping[str, Any], count: int = 8):
        self.count, self.length = count, p.context
        self.weights = jax.tree.map(jnp.asarray, freeze(dict(arrays)))
        self._preset, self._decoding = p, compile_decoding(p)
        self._room = p.context + p.chunk  # a block at the end is filled up too
        self._caches: dict[int, Cache] = {}

    @cached_property
    def _tables(self) -> Tables:
        return self._decoding.tables(self.weights, self._room)

    @property
    def _dtype(self) -> Any:
        return jax.tree.leaves(self.weights)[0].dtype

    @property
    def slot_bytes(self) -> int:
        shapes = jax.eval_shape(partial(empty, self._preset, self._room, self._dtype))
        return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(shapes))

    @property
    def device(self) -> str:
        array = jax.tree.leaves(self.weights)[0]
        return f"{min(array.devices(), key=str).device_kind}, {array.dtype}"

    def read(self, slot: int, block: Block, draw: Draw | None = None) -> Drawn | None:
        """See `Slots.read`."""
        M, count = self._preset.chunk, len(block.tokens)
        if not 0 < count <= M or block.at + count > self.length:
            raise ValueError(
                f"a block of {count} tokens from {block.at} on cannot be read; it takes 1 to {M} "
                f"tokens, up to position {self.length - 1}"
            )
        if block.at == 0 or block.shown is not None:
            tokens, marks = np.full((1, M), PAD, np.int32), np.zeros((1, M), bool)
            tokens[0, :count], marks[0, :count] = block.tokens, block.valid
            logits = self._feed(slot, block.at, tokens, marks, count, block.shown)
        else:  # the definition takes no padding that reaches into the next attending chunk
            logits = [
                self._feed(slot, block.at + i, block.tokens[one], block.valid[one])
                for i in range(count)
                for one in [np.s_[None, i : i + 1]]
            ][-1]
        return None if draw is None else drawn_of(self.choose(logits, draws_of([draw], 1)), 1)[0]

    def step(self, steps: Sequence[Step]) -> list[Drawn]:
        """See `Slots.step`."""
        real, choices = np.ones((1, 1), bool), []
        for step in steps:
            token = np.array([[step.token]], np.int32)
            logits = self._feed(step.slot, step.at, token, real)
            choices.append(self.choose(logits, draws_of([step.draw], 1)))
        return [drawn_of(choice, 1)[0] for choice in choices]

    def choose(self, logits: Logits, draws: Draws) -> Choice:
        """The next token of one sequence."""
        return _choose(logits, draws, np.int32(1))

    def cache(self, slot: int, tokens: int, slots: int) -> Cache:
        """See `Slots.cache`. Its neighbours are right where `tokens` is all that was read, or where
        the next token completes a chunk."""
        held = self._caches.get(slot) or self._empty()
        return self._decoding.cut(held, np.int32(tokens), slots)

    def warm_up(self) -> None:
        """See `Slots.warm_up`. What the slots hold stays as it is."""
        M, r = self._preset.chunk, self._preset.retrieval
        kinds: list[tuple[int, Passages | None]] = [(M, None), (1, None)]
        if r:
            kinds.append((M, passages_of({}, 1, r.neighbours, r.neighbour_tokens)))
        for size, passages in kinds:
            tokens, marks = np.full((1, size), PAD, np.int32), np.ones((1, size), bool)
            cache = self._empty()._replace(at=np.int32(M - 1))  # type: ignore[arg-type]
            logits, _ = self._decoding.read(
                self.weights, self._tables, cache, tokens, marks, np.int32(1), np.bool_(True),
                passages,
            )  # fmt: skip
            self.choose(logits, draws_of([], 1))

    def _empty(self) -> Cache:
        return empty(self._preset, self._room, self._dtype)

    def _feed(
        self, slot: int, at: int, tokens: np.ndarray, marks: np.ndarray, count: int = 1,
        shown: Sequence[Neighbour] | None = None,
    ) -> Logits:  # fmt: skip
        """Feeds tokens [1 Q], the first `count` of which are real -> logits [1 V]"""
        r, passages = self._preset.retrieval, None
        if shown and r is not None:
            passages = passages_of({0: shown}, 1, r.neighbours, r.neighbour_tokens)
        hide = at == 0 or (shown is not None and passages is None)
        # taken out meanwhile: what a failed call leaves behind is no cache any more
        cache = self._caches.pop(slot, None) or self._empty()
        logits, self._caches[slot] = self._decoding.read(
            self.weights, self._tables, cache._replace(at=np.int32(at)),  # type: ignore[arg-type]
            tokens, marks, np.int32(count), np.bool_(hide), passages,
        )  # fmt: skip
        return logits
