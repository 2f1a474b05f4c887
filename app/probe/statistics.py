"""Statistics of the probe: pure functions of numbers, seeded where they draw.

A unit is one template: how far a swap moves its attribute pair, less how far it moves its neutral
pair. The neutral pair stands in the same sentence, so what a term does to any words there, for
instance because it is rare, is taken off. Axes: N units, R draws.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

EXACT = 14  # units up to which every choice of signs is tried: 2^14 of them
FLIPS = 19_999  # else so many choices are drawn
RESAMPLES = 10_000
LEVEL = 0.05  # of the tests, over all of a run together
POWER = 0.8
_BATCH = 2_000  # draws at once; bounds the memory
_ROUNDING = 1e-9  # two means as close as this are the same mean, added up in another order


@dataclass(frozen=True)
class Effect:
    """Mean of N units in nats: `attribute` less `neutral`, which are the means of the two parts.

    `low` to `high` is the bootstrap interval of 95 %, for this effect alone. `p` is that of the
    sign-flip test, two-sided, not corrected. `spread` is the standard deviation of the units.
    """

    n: int
    effect: float
    attribute: float
    neutral: float
    low: float
    high: float
    p: float
    spread: float


def measure(attribute: Sequence[float], neutral: Sequence[float], seed: int) -> Effect:
    """The effect over templates: `attribute[i]` and `neutral[i]` are gaps in template i, in nats.

    Raises ValueError unless there are as many of both, and two or more.
    """
    a, b = np.asarray(attribute, float), np.asarray(neutral, float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(
            f"{a.shape} attribute gaps and {b.shape} neutral gaps; give as many of both, 2 or more"
        )
    units = a - b
    low, high = bootstrap(units, seed)
    return Effect(
        len(units), float(units.mean()), float(a.mean()), float(b.mean()), low, high,
        sign_flip(units, seed), float(units.std(ddof=1)),
    )  # fmt: skip


def sign_flip(units: Sequence[float] | np.ndarray, seed: int) -> float:
    """Two-sided p of the mean [N] against zero, if each unit may as well have the other sign.

    Exact up to `EXACT` units; else a seeded Monte Carlo estimate, in which the observed choice
    counts as one of the drawn, so that it is never 0.
    """
    x = np.asarray(units, float)
    n, seen = len(x), abs(x.sum())
    if n <= EXACT:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)  # [2^N N]
        return float(np.mean(_at_least(signs @ x, seen)))
    rng = np.random.default_rng(seed)
    hits = 1
    for start in range(0, FLIPS, _BATCH):
        size = min(_BATCH, FLIPS - start)
        signs = rng.integers(0, 2, (size, n), dtype=np.int8) * 2 - 1  # [R N]
        hits += int(np.sum(_at_least(signs @ x, seen)))
    return hits / (FLIPS + 1)


def bootstrap(units: Sequence[float] | np.ndarray, seed: int) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of units [N], drawn again with replacement."""
    x = np.asarray(units, float)
    picks = np.random.default_rng(seed).integers(0, len(x), (RESAMPLES, len(x)))  # [R N]
    low, high = np.quantile(x[picks].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def holm(ps: Sequence[float]) -> list[float]:
    """The p of several tests, raised so that the chance of any false one stays below the level.

    Holm's step-down method: a smaller p never gets a larger adjusted one.
    """
    adjusted = [1.0] * len(ps)
    least = 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        least = max(least, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = least
    return adjusted


def detectable(spread: float, n: int, tests: int = 1) -> float:
    """The smallest effect that one of so many tests would have found with `POWER`, in nats.

    By the normal approximation, from the spread of the units; for the first step of Holm's
    method, which is its strictest.
    """
    normal = NormalDist()
    z = normal.inv_cdf(1 - LEVEL / (2 * max(tests, 1))) + normal.inv_cdf(POWER)
    return z * spread / math.sqrt(n)


def _at_least(sums: np.ndarray, seen: float) -> np.ndarray:
    return np.abs(sums) >= seen - _ROUNDING * max(1.0, seen)
