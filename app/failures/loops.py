"""Loops in a sequence: runs in which a unit follows itself, anywhere or at the end."""

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

MAX_PERIOD = 96  # words

_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+(?:['’][^\W{_CJK}]+)*")


@dataclass(frozen=True)
class Words:
    """The words of a text, case-folded, and where each stands: code points [start, end)."""

    text: str
    folded: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, text: str) -> "Words":
        return _read(text)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Code points of the words [first, last)."""
        return self.spans[first][0], self.spans[last - 1][1]


@lru_cache(maxsize=64)  # several detectors read the same reply
def _read(text: str) -> Words:
    found = list(_WORD.finditer(text))
    return Words(text, tuple(m.group().casefold() for m in found), tuple(m.span() for m in found))


@dataclass(frozen=True)
class Run:
    """Words [start, end) of which each equals the one `period` before it."""

    start: int
    end: int
    period: int

    @property
    def copies(self) -> float:
        return (self.end - self.start) / self.period

    def overlaps(self, other: "Run") -> bool:
        return self.start < other.end and other.start < self.end


def tail_loop(items: Sequence[Hashable]) -> tuple[int, int] | None:
    """Whether a sequence of token ids or words has ended in a loop: (period, copies), or None.

    The shortest period of which at least 4 whole copies that cover at least 24 items end the
    sequence, with as many copies as there are. O(n): one Knuth-Morris-Pratt failure function of
    the reversed sequence has the shortest period of every suffix, and it never falls with length.
    """
    backwards = items[::-1]
    borders = [0] * len(backwards)  # borders[i]: longest proper border of the first i + 1
    found = None
    for i in range(1, len(backwards)):
        border = borders[i - 1]
        while border and backwards[i] != backwards[border]:
            border = borders[border - 1]
        borders[i] = border + (backwards[i] == backwards[border])
        length = i + 1
        period = length - borders[i]
        if found and period > found[0]:
            break
        if length >= max(24, 4 * period):
            found = period, length // period
    return found


def _periods(folded: Sequence[str], limit: int) -> list[int]:
    """Distances at which four words in a row come again: every run has its period among them.

    The distance to the last place of the same four words counts and that to the place before it,
    so a unit in which all sequences of four words stand three times can escape.
    """
    found: set[int] = set()
    last: dict[tuple[str, ...], tuple[int, int]] = {}
    words = tuple(folded)
    for i in range(len(words) - 3):
        gram = words[i : i + 4]
        near, far = last.get(gram, (-MAX_PERIOD, -MAX_PERIOD))
        found.update((i - near, i - far))
        last[gram] = i, near
    return sorted(period for period in found if period <= limit)


def tandem_runs(
    folded: Sequence[str],
    *,
    copies: int,
    length: int,
    length_of_one: int,
    accept: Callable[[Run], bool] = lambda run: True,
) -> list[Run]:
    """The longest runs of a unit of 1 to 96 words that follows itself at least `copies` times.

    A run has at least `length` words (`length_of_one` where the unit is a single word), passes
    `accept` and lies in no other; of equal runs the one with the shortest unit counts.
    """
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(word, len(numbers)) for word in folded], dtype=np.int64)
    runs = []
    for period in _periods(folded, min(MAX_PERIOD, len(ids) // copies)):
        same = np.concatenate(([False], ids[period:] == ids[:-period], [False]))
        edges = np.flatnonzero(same[1:] != same[:-1])  # in turn where equality begins and ends
        least = max(copies * period, length_of_one if period == 1 else length)
        for first, last in edges.reshape(-1, 2)[edges[1::2] - edges[::2] + period >= least]:
            runs.append(Run(int(first), int(last) + period, period))
    runs.sort(key=lambda run: (run.start - run.end, run.period))
    kept: list[Run] = []
    for run in filter(accept, runs):
        if not any(other.start <= run.start and run.end <= other.end for other in kept):
            kept.append(run)
    return sorted(kept, key=lambda run: run.start)
