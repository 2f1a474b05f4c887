"""Mixture weights: which share of what is read comes from which source, however large it is.

Gopher draws its sequences so (arXiv 2112.11446, table 2): 2 % from Wikipedia, which is 0.1 % of
the text. Packed tokens lie source by source then, and windows are drawn by weight.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.training.corpus import CorpusError


@dataclass(frozen=True)
class Span:
    """Tokens of one source, from `start` up to `end`, and its weight."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Mixture:
    spans: tuple[Span, ...]

    @classmethod
    def whole(cls, size: int) -> "Mixture":
        """Every place of `size` tokens alike."""
        return cls((Span(0, size, 1.0),))

    def positions(
        self, rng: np.random.Generator, count: int, *, before: int = 0, after: int
    ) -> np.ndarray:
        """`count` random places int64 that have `before` tokens of their source before them and
        `after` from them on. Raises CorpusError if a source is too short for that."""
        for span in self.spans:
            if span.end - span.start <= before + after:
                raise CorpusError(
                    f"a source has {span.end - span.start} tokens, but a sequence takes "
                    f"{before + after}; give the recipe longer sources or shorter sequences"
                )
        if len(self.spans) == 1:
            (span,) = self.spans
            return rng.integers(span.start + before, span.end - after, count)
        weights = np.array([span.weight for span in self.spans])
        chosen = rng.choice(len(self.spans), count, p=weights / weights.sum())
        lows = np.array([span.start + before for span in self.spans])[chosen]
        highs = np.array([span.end - after for span in self.spans])[chosen]
        return rng.integers(lows, highs)

    def to_bytes(self) -> bytes:
        return json.dumps([vars(span) for span in self.spans], indent=1).encode()


def mixture_of(sizes: Sequence[int], weights: Sequence[float]) -> Mixture:
    """Sources that lie one after the other, each `sizes` tokens long; empty ones are left out."""
    ends = np.cumsum(sizes).tolist()
    rows = zip(sizes, ends, weights, strict=True)
    return Mixture(tuple(Span(end - size, end, weight) for size, end, weight in rows if size))


def read_mixture(path: Path, size: int) -> Mixture:
    """The mixture of a file of `size` tokens; without one every place counts alike."""
    if not path.exists():
        return Mixture.whole(size)
    try:
        mixture = Mixture(tuple(Span(**span) for span in json.loads(path.read_bytes())))
    except (OSError, ValueError, TypeError) as error:
        raise CorpusError(f"cannot read {path} ({error}); run the stage 'pack' again") from None
    if not mixture.spans or mixture.spans[-1].end != size:
        raise CorpusError(f"{path} is not of these {size:,} tokens; run the stage 'pack' again")
    return mixture
