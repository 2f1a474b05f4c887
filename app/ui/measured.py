"""What was measured on a finished reply, for the inspector: effects and tokens as JSON. Pure.

Effects and log-probabilities are in nats, rounded; None stands for a number that is not finite.
"""

import math
from collections.abc import Iterable
from typing import Any

from app.failures.loops import Words
from app.records import Turn
from app.shared import longest_run
from engine.attribution import Attribution, ChunkEffect, NeighbourEffect, Thresholds, word_for
from engine.protocol import ReplyChunk

NOT_CALIBRATED = "not calibrated"


def effects(
    turn: Turn, attribution: Attribution, thresholds: Thresholds | None = None
) -> dict[str, Any]:
    """What the passages changed.

    {"gain", "seconds", "chunks": [{"on", "off", "gain", "random", "cards"} or None],
     "tokens": what the passages of its chunk changed in each token}; see `_card`. A chunk is None
    where it has no tokens. `random` are the least and the most that one random passage changed.
    """
    chunks: list[dict[str, Any] | None] = []
    gains: list[float | None] = []
    words = Words.of(turn.reply.text)
    measured = iter(attribution.chunks)  # those that have tokens
    for chunk in turn.reply.chunks:
        if chunk.last == chunk.first:
            chunks.append(None)
            continue
        effect = next(measured)
        gains += [_nats([on, -off]) for on, off in zip(effect.on, effect.off, strict=True)]
        chunks.append(_chunk(chunk, effect, words, thresholds))
    bare = [-p for p in attribution.bare]
    return {
        "gain": _nats([p for chunk in attribution.chunks for p in chunk.on] + bare),
        "seconds": attribution.seconds,
        "chunks": chunks,
        "tokens": gains,
    }


def tokens(turn: Turn) -> dict[str, Any]:
    """The reply token by token, in columns: {"ids", "texts", "logprobs", "top", "chunks"}.

    `top` are the likeliest (text, log-probability) at each place, `chunks` are [first, last) of
    the tokens of each chunk.
    """
    reply = turn.reply
    return {
        "ids": [token.id for token in reply.tokens],
        "texts": [token.text for token in reply.tokens],
        "logprobs": [_nats([token.logprob]) for token in reply.tokens],
        "top": [[[text, _nats([p])] for text, p in token.top] for token in reply.tokens],
        "chunks": [[chunk.first, chunk.last] for chunk in reply.chunks],
    }


def _chunk(
    chunk: ReplyChunk, effect: ChunkEffect, words: Words, thresholds: Thresholds | None
) -> dict[str, Any]:
    within = (chunk.start, chunk.end)
    cards = []
    for neighbour, found in zip(chunk.neighbours, effect.neighbours, strict=True):
        passage = Words.of(neighbour.text + neighbour.continuation)
        shared = longest_run(passage, words, within) if thresholds else 0
        cards.append(_card(found, shared, thresholds))
    controls = [c for c in map(_nats, ([c] for c in effect.controls)) if c is not None]
    return {
        "on": _nats(effect.on),
        "off": _nats(effect.off),
        "gain": _nats([*effect.on, *(-p for p in effect.off)]),
        "random": [min(controls), max(controls)] if controls else None,
        "cards": cards,
    }


def _card(effect: NeighbourEffect, shared: int, thresholds: Thresholds | None) -> dict[str, Any]:
    word = word_for(effect, shared, thresholds) if thresholds else NOT_CALIBRATED
    return {
        "shapley": _nats([effect.shapley]),
        "left_out": _nats([effect.left_out]),
        "attention": _nats([effect.attention]),  # a share, 0 to 1
        "word": word,
    }


def _nats(terms: Iterable[float]) -> float | None:
    """The sum, rounded; JSON has no word for what is not finite."""
    try:
        total = math.fsum(terms)
    except (OverflowError, ValueError):  # beyond a float, or inf - inf
        return None
    return round(total, 4) if math.isfinite(total) else None
