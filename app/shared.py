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
    first, last = _inside(reply, within)
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


def longest_run(passage: Words, reply: Words, within: tuple[int, int]) -> int:
    """How many words the longest such run has; 0 where there is none."""
    first, last = _inside(reply, within)
    runs = _maximal_runs(passage.folded, reply.folded[first:last])
    return runs[0][0] if runs else 0


def _inside(words: Words, within: tuple[int, int]) -> tuple[int, int]:
    """The words [first, last) that begin in a span of code points."""
    start, end = within
    inside = [i for i, (at, _) in enumerate(words.spans) if start <= at < end]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _maximal_runs(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int, int]]:
    """(length, i, j) of runs a[i:i+length] == b[j:j+length] that cannot be made longer."""
    places: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(a) - LEAST + 1):
        places.setdefault(tuple(a[i : i + LEAST]), []).append(i)
    runs = []
    for j in range(len(b) - LEAST + 1):
        for i in places.get(tuple(b[j : j + LEAST]), ()):
            if i and j and a[i - 1] == b[j - 1]:
                continue  # it has been followed from there
            length = LEAST
            while i + length < len(a) and j + length < len(b) and a[i + length] == b[j + length]:
                length += 1
            runs.append((length, i, j))
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
