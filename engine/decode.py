"""Compiled decoding: prefill and step as pure functions of plain dicts.

A Gopher decodes as a RETRO whose neighbours are never valid would, by its own shorter path.
Axes: B batch, T tokens, S cache slots, M tokens a chunk, K neighbours, R tokens a neighbour.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from engine.checkpoint import Arrays, graph_of, nest
from engine.gopher import Gopher
from engine.presets import Preset
from engine.retro import Cache, Encoded, Passages, Retro, Tables
from engine.sampling import Choice, Draw, sample

Logits = jax.Array  # [B V] float32


@dataclass(frozen=True)
class Decoding:
    """The compiled functions of one model.

    prefill(weights, tables, tokens [B T], valid [B T], passages [B L K R] or None): whole chunks
        only (T a multiple of M); -> logits after the last token, cache.
    step(weights, tables, cache, token [B], passages [B 1 K R] or None) -> logits, cache.
        The cache is donated. RETRO needs passages at the last token of each chunk.
    extend(weights, tables, cache of one sequence, tokens [1 Q], targets [1 Q], count [],
        passages [1 1 P R] or None, picks [B K] or None): feeds the last token of a chunk and the
        next Q - 1 under each choice of the passages, see `Retro.step`; -> log-probabilities of the
        targets [B Q], attention [B K] as a mean over the first `count` tokens, cache of the first
        choice. Those after `count` are padding and change nothing before them.
    choose(logits, draw) -> Choice.
    """

    empty: Callable[[int], Cache]
    prefill: Callable[..., tuple[Logits, Cache]]
    step: Callable[..., tuple[Logits, Cache]]
    extend: Callable[..., tuple[jax.Array, jax.Array, Cache]]
    choose: Callable[[Logits, Draw], Choice]
    tables: Callable[[Any], Tables]


def compile_decoding(p: Preset, slots: int) -> Decoding:
    """Decoding functions for a preset with a cache of `slots` tokens.

    Each compiles on first use, once for every batch size, prompt bucket and kind of step.
    """
    graph = graph_of(p)
    s = p.retrieval

    def merge(weights: Any) -> Gopher | Retro:
        return nnx.merge(graph, weights)

    def empty(batch: int, dtype: Any = jnp.float32) -> Cache:
        pair = jnp.zeros((2, batch, slots, p.heads, p.head_dim), dtype)
        layers = tuple((pair[0], pair[1]) for _ in range(p.layers))
        keys = s.neighbours * s.neighbour_tokens if s else 0
        shape = (batch, keys, p.heads, p.head_dim)
        # buffers of their own, because a step donates each
        crosses = tuple(
            (jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in (s.layers if s else ())
        )
        return Cache(
            layers,
            jnp.zeros((batch, slots), bool),
            jnp.int32(0),
            jnp.zeros((batch, p.chunk, p.width), dtype),
            Encoded(crosses, jnp.zeros((batch, keys), bool)),
        )

    @jax.jit
    def tables(weights: Any) -> Tables:
        model = merge(weights)
        if isinstance(model, Gopher):
            return Tables(model.position_tables(slots), ())
        return Tables(
            model.decoder.position_tables(slots), tuple(c.position_table() for c in model.cross)
        )

    @jax.jit
    def prefill(
        weights: Any, tokens: jax.Array, valid: jax.Array, passages: Passages | None
    ) -> tuple[Logits, Cache]:
        B, T = tokens.shape
        model = merge(weights)
        cache = empty(B, jax.tree.leaves(weights)[0].dtype)
        if isinstance(model, Gopher):
            x, pairs = model.hidden(tokens, valid)
        else:
            x, pairs, chunks = model.hidden(tokens, valid, passages)
            assert chunks is not None  # the prompt has at least one
            cache = cache._replace(rows=chunks.rows[:, -1])
            if chunks.encoded is not None and passages is not None:
                encoded = model.project(chunks.encoded[:, -1], passages.valid[:, -1])
                cache = cache._replace(encoded=encoded)
        layers = tuple(
            (k.at[:, :T].set(k1), v.at[:, :T].set(v1))
            for (k, v), (k1, v1) in zip(cache.layers, pairs, strict=True)
        )
        marks = cache.valid.at[:, :T].set(valid)
        moved = cache._replace(layers=layers, valid=marks, at=jnp.int32(T))
        return model.read(x[:, -1]), moved

    @partial(jax.jit, donate_argnames="cache")
    def step(
        weights: Any, tables: Tables, cache: Cache, token: jax.Array, passages: Passages | None
    ) -> tuple[Logits, Cache]:
        model = merge(weights)
        x, _, cache = feed(model, tables, cache, token[:, None], passages)
        return model.read(x[:, 0]), cache

    @jax.jit
    def extend(
        weights: Any, tables: Tables, cache: Cache, tokens: jax.Array, targets: jax.Array,
        count: jax.Array, passages: Passages | None, picks: jax.Array | None,
    ) -> tuple[jax.Array, jax.Array, Cache]:  # fmt: skip
        model = merge(weights)
        x, shares, cache = feed(model, tables, cache, tokens, passages, picks)
        logits = model.read(x)
        wanted = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        logprobs = wanted - jax.nn.logsumexp(logits, axis=-1)
        real = jnp.arange(tokens.shape[1]) < count
        attention = jnp.where(real[:, None], shares, 0).sum(1) / count
        return logprobs, attention, first_of(cache)

    return Decoding(empty, prefill, step, extend, jax.jit(sample), tables)


def feed(
    model: Gopher | Retro, tables: Tables, cache: Cache, tokens: jax.Array,
    passages: Passages | None, picks: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, Cache]:  # fmt: skip
    """`Retro.step`, and the same for a Gopher: its stream and cache, with K = 0 neighbours."""
    if isinstance(model, Retro):
        return model.step(tokens, cache, tables, passages, picks)
    marks = jnp.ones(tokens.shape, bool)
    valid = jax.lax.dynamic_update_slice_in_dim(cache.valid, marks, cache.at, axis=1)
    x, layers = model.step(tokens, cache.at, cache.layers, valid, tables.decoder)
    moved = cache._replace(layers=layers, valid=valid, at=cache.at + tokens.shape[1])
    return x, jnp.zeros((*tokens.shape, 0)), moved


def first_of(cache: Cache) -> Cache:
    """The first sequence of a cache."""
    return jax.tree.map(lambda a: a[:1] if a.ndim else a, cache)


def freeze(arrays: Arrays) -> dict:
    """Arrays by flat name -> the plain nested dict that compiled functions walk fast."""
    return nest(arrays)
