"""Words that two texts share: the longest common runs, by code points in both."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.failures.loops import Words

LEAST = 3  # words; shorter runs are shared by almost any two English texts


@dataclass(frozen=True)
class Shared:
    """A run of words that stands in both texts, case-folded: code points [start, end) of each."""

    passage: tuple[int, int]
    reply: tuple[int, int]


def shared_runs(passage: Words, reply: Words, within: tuple[int, int]) -> list[Shared]:
    """Runs of at least three words that the passage shares with words that begin in reply[within].

    The longest runs first claim their words of the reply, so every word is explained once; words
    of the passage may be shared more than once. In the order of the reply. O(words * words).
    """
    start, end = within
    inside = [i for i, (at, _) in enumerate(reply.spans) if start <= at < end]
    if not inside:
        return []
    first, last = inside[0], inside[-1] + 1
    claimed: list[tuple[int, int]] = []
    found = []
    for length, i, j in _maximal_runs(passage.folded, reply.folded[first:last]):
        low, high = _unclaimed(j + first, j + first + length, claimed)
        if high - low < LEAST:
            continue
        claimed.append((low, high))
        i += low - (j + first)
        found.append(Shared(passage.span(i, i + high - low), reply.span(low, high)))
    return sorted(found, key=lambda run: run.reply)


def _maximal_runs(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int, int]]:
    """(length, i, j) of runs a[i:i+length] == b[j:j+length] that cannot be made longer."""
    runs = []
    above = [0] * (len(b) + 1)  # length of the run that ends at a[i-1], b[j-1]
    for i in range(len(a) + 1):
        row = [0] * (len(b) + 1)
        for j in range(len(b) + 1):
            same = i < len(a) and j < len(b) and a[i] == b[j]
            length = above[j]
            if not same and length >= LEAST:
                runs.append((length, i - length, j - length))
            if same:
                row[j + 1] = length + 1
        above = row
    return sorted(runs, key=lambda run: (-run[0], run[2], run[1]))


def _unclaimed(low: int, high: int, claimed: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The longest piece of [low, high) that overlaps no claimed piece."""
    pieces = [(low, high)]
    for a, b in claimed:
        pieces = [
            piece
            for x, y in pieces
            for piece in ((x, min(y, a)), (max(x, b), y))
            if piece[0] < piece[1]
        ]
    return max(pieces, key=lambda piece: piece[1] - piece[0], default=(low, low))
