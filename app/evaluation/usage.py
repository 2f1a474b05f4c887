"""How many of the passages shown are used, beyond what random passages would count as used.

The threshold is what nineteen in twenty random passages stay below (`engine.attribution`). It is
set on one half of the documents and applied to the other, and the other way round, so that the
share of random passages above it is measured too, not five per cent by construction.
"""

from collections.abc import Sequence
from typing import Any

from app.evaluation.bootstrap import Interval, ratio
from engine.attribution import ChunkEffect, Unmeasurable, calibrate


def usage(documents: Sequence[Sequence[ChunkEffect]], seed: int) -> dict[str, Any]:
    """The shares of shown and of random passages whose gain is above the threshold.

    `documents` are the effects of each document's chunks.
    """
    halves = documents[::2], documents[1::2]
    try:
        thresholds = [threshold(half) for half in halves]
    except Unmeasurable as error:
        return {"used": None, "why": str(error)}
    shown, random, pairs = [], [], []
    for number, effects in enumerate(documents):
        above = thresholds[1 - number % 2]
        gains = [n.shapley for effect in effects for n in effect.neighbours]
        others = [gain for effect in effects for gain in effect.controls]
        shown.append((sum(gain > above for gain in gains), len(gains)))
        random.append((sum(gain > above for gain in others), len(others)))
        # in one document: the share of shown passages less that of random ones, times how many
        if gains and others:
            beyond = shown[-1][0] - len(gains) * random[-1][0] / len(others)
            pairs.append((beyond, len(gains)))
    return {
        "used": _told(shown, seed),
        "random_used": _told(random, seed),
        "beyond_random": _told(pairs, seed),
        "thresholds": [round(value, 3) for value in thresholds],
        "shown_passages": sum(count for _, count in shown),
        "random_passages": sum(count for _, count in random),
    }


def threshold(documents: Sequence[Sequence[ChunkEffect]]) -> float:
    """In nats. Raises Unmeasurable where there are too few random passages."""
    gains = [gain for effects in documents for effect in effects for gain in effect.controls]
    return calibrate(gains, [0] * len(gains)).used


def _told(pairs: Sequence[tuple[float, int]], seed: int) -> dict[str, Any] | None:
    found: Interval | None = ratio([a for a, _ in pairs], [b for _, b in pairs], seed)
    return found.to_json() if found else None
