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
    choose(logits, draw) -> Choice.
    """

    empty: Callable[[int], Cache]
    prefill: Callable[..., tuple[Logits, Cache]]
    step: Callable[..., tuple[Logits, Cache]]
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
            (x, pairs), embedding = model.hidden(tokens, valid), model.embedding
            encoded = cache.encoded
        else:
            x, pairs, e = model.hidden(tokens, valid, passages)
            embedding, encoded = model.decoder.embedding, cache.encoded
            if e is not None and passages is not None:
                encoded = model.project(e[:, -1], passages.valid[:, -1])
        layers = tuple(
            (k.at[:, :T].set(k1), v.at[:, :T].set(v1))
            for (k, v), (k1, v1) in zip(cache.layers, pairs, strict=True)
        )
        marks = cache.valid.at[:, :T].set(valid)
        return embedding.read(x[:, -1]), Cache(layers, marks, jnp.int32(T), cache.rows, encoded)

    @partial(jax.jit, donate_argnames="cache")
    def step(
        weights: Any, tables: Tables, cache: Cache, token: jax.Array, passages: Passages | None
    ) -> tuple[Logits, Cache]:
        model = merge(weights)
        if isinstance(model, Gopher):
            valid = cache.valid.at[:, cache.at].set(True)
            x, layers = model.step(token, cache.at, cache.layers, valid, tables.decoder)
            moved = Cache(layers, valid, cache.at + 1, cache.rows, cache.encoded)
            return model.embedding.read(x), moved
        x, cache = model.step(token, cache, tables, passages)
        return model.decoder.embedding.read(x), cache

    return Decoding(empty, prefill, step, jax.jit(sample), tables)


def freeze(arrays: Arrays) -> dict:
    """Arrays by flat name -> the plain nested dict that compiled functions walk fast."""
    return nest(arrays)
