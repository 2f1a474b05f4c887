"""Confidence intervals by bootstrap over documents; of counted cases, Wilson's.

The chunks of a document are alike, so whole documents are drawn anew, with replacement, and what
is measured is a ratio of sums over them: bits to bytes, right answers to questions.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.failures.quality import Share

ROUNDS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; None where one document alone tells nothing of it."""

    value: float
    low: float | None = None
    high: float | None = None

    def map(self, change: Callable[[float], float]) -> "Interval":
        """The same on another scale; `change` must rise throughout."""
        low, high = (None if x is None else change(x) for x in (self.low, self.high))
        return Interval(change(self.value), low, high)

    def to_json(self) -> dict[str, float | None]:
        return {
            name: None if x is None else rounded(x)
            for name, x in (("value", self.value), ("low", self.low), ("high", self.high))
        }


def ratio(over: Sequence[float], under: Sequence[float], seed: int) -> Interval | None:
    """Sum of `over` to sum of `under`, one entry of both a document; None if that is 0.

    Documents that have nothing in `under` are left out. The percentile interval.
    """
    pairs = np.array([(a, b) for a, b in zip(over, under, strict=True) if b], np.float64)
    if not len(pairs):
        return None
    value = float(pairs[:, 0].sum() / pairs[:, 1].sum())
    if len(pairs) == 1:
        return Interval(value)
    rng = np.random.default_rng(seed)
    # how often each document is drawn, round by round, says all that the draw does
    counts = rng.multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs)), size=ROUNDS)
    sums = counts @ pairs  # [rounds 2]
    low, high = np.quantile(sums[:, 0] / sums[:, 1], ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(value, float(low), float(high))


def share(right: Sequence[bool]) -> Interval | None:
    """The share of cases that are right, with Wilson's interval, which has a width also where all
    cases agree; None of no case."""
    counted = Share(sum(right), len(right))
    return Interval(counted.hits / counted.of, *counted.interval) if right else None


def rounded(value: float) -> float:
    """Five significant digits; JSON has no infinity, so the largest number stands for it."""
    if not math.isfinite(value):
        return math.copysign(1e308, value) if not math.isnan(value) else 0.0
    return float(f"{value:.5g}")
