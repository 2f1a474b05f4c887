"""The quality rules of Gopher (arXiv 2112.11446, appendix A.1): is this a document of prose?

Readings of what the paper leaves open: a word is what stands between white space, punctuation
included; "..." and "…" are both ellipses; a line is one with something on it, and begins with a
bullet if its first character is one of `BULLETS`; two stop words are two different ones, in
either case; a letter is a letter of any alphabet.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
BULLETS = tuple("•‣◦●▪■*-–·")


@dataclass(frozen=True)
class Bound:
    """What a measure of a document must be: from `low` up to `high`, both included."""

    measure: str
    low: float
    high: float

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{self.measure} under {self.low:,g}"
        if self.low == 0:
            return f"{self.measure} over {self.high:,g}"
        return f"{self.measure} not from {self.low:,g} to {self.high:,g}"


QUALITY = (
    Bound("words", 50, 100_000),
    Bound("characters a word", 3, 10),
    Bound("hash symbols a word", 0, 0.1),
    Bound("ellipses a word", 0, 0.1),
    Bound("share of lines that begin with a bullet", 0, 0.9),
    Bound("share of lines that end with an ellipsis", 0, 0.3),
    Bound("share of words with a letter", 0.8, math.inf),
    Bound("different stop words", 2, math.inf),
)


class Words:
    """A text cut at white space. `ids` int64 [n] point into `kinds`, its different words."""

    def __init__(self, text: str):
        words = text.split()
        numbers = {word: i for i, word in enumerate(dict.fromkeys(words))}
        self.kinds: tuple[str, ...] = tuple(numbers)
        self.ids = np.fromiter(map(numbers.__getitem__, words), np.int64, len(words))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Characters of each word, int64 [n]."""
        return np.fromiter(map(len, self.kinds), np.int64, len(self.kinds))[self.ids]

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each of `kinds` occurs, int64."""
        return np.bincount(self.ids, minlength=len(self.kinds))


def lines_of(text: str) -> list[str]:
    return [line for line in map(str.strip, text.split("\n")) if line]


def measure_quality(text: str, words: Words) -> dict[str, float]:
    """The value of every measure in `QUALITY`."""
    n, lines = max(1, len(words)), lines_of(text)
    rows = max(1, len(lines))
    lettered = np.array([word.isalpha() or any(map(str.isalpha, word)) for word in words.kinds])
    values = (
        len(words),
        int(words.lengths.sum()) / n,
        text.count("#") / n,
        (text.count("...") + text.count("…")) / n,
        sum(line.startswith(BULLETS) for line in lines) / rows,
        sum(line.endswith(("...", "…")) for line in lines) / rows,
        int(words.counts[lettered].sum()) / n if len(words) else 0.0,
        len(STOP_WORDS.intersection(map(str.lower, words.kinds))),
    )
    return {bound.measure: value for bound, value in zip(QUALITY, values, strict=True)}


def first_broken(
    bounds: Sequence[Bound], measures: Mapping[str, float]
) -> tuple[int, float] | None:
    """The first bound that is not kept, as its number and the value that broke it."""
    for number, bound in enumerate(bounds):
        value = measures[bound.measure]
        if not bound.low <= value <= bound.high:
            return number, value
    return None
