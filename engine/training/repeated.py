"""The repetition rules of Gopher (arXiv 2112.11446, appendix A.1, table A1).

Readings of what the paper leaves open: a line or paragraph is duplicate if an equal one stands
before it (the first is not counted); n-grams are of words as they stand between white space;
"characters" are those of words or lines, white space not counted. For n of 2 to 4 the most
frequent n-gram counts with its length times its occurrences, also where these overlap, and not
at all if none occurs twice. For n of 5 to 10 every character within any n-gram that occurs more
than once counts, once.
"""

import re
from collections.abc import Sequence

import numpy as np

from engine.training.quality import Bound, Words, lines_of

TOP = {2: 0.20, 3: 0.18, 4: 0.16}
COVERED = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}

REPETITION = (
    Bound("share of lines that are duplicates", 0, 0.30),
    Bound("share of paragraphs that are duplicates", 0, 0.30),
    Bound("share of characters in duplicate lines", 0, 0.20),
    Bound("share of characters in duplicate paragraphs", 0, 0.20),
    *(Bound(f"share of characters in the top {n}-gram", 0, high) for n, high in TOP.items()),
    *(Bound(f"share of characters in repeated {n}-grams", 0, h) for n, h in COVERED.items()),
)

_PARAGRAPH = re.compile(r"\n\s*\n")


def measure_repetition(text: str, words: Words) -> dict[str, float]:
    """The value of every measure in `REPETITION`, 0 to 1 (overlapping top n-grams: also more)."""
    lines = lines_of(text)
    paragraphs = [p for p in map(str.strip, _PARAGRAPH.split(text)) if p]
    (line_share, line_part), (share, part) = _duplicates(lines), _duplicates(paragraphs)
    values = (line_share, share, line_part, part, *_ngrams(words))
    return {bound.measure: value for bound, value in zip(REPETITION, values, strict=True)}


def _duplicates(parts: Sequence[str]) -> tuple[float, float]:
    """Shares of parts, and of their characters, that repeat an earlier part."""
    different = set(parts)
    characters = sum(map(len, parts))
    if not characters:
        return 0.0, 0.0
    return 1 - len(different) / len(parts), 1 - sum(map(len, different)) / characters


def _ngrams(words: Words) -> list[float]:
    """The shares for n = 2 to 10.

    An n-gram can only be repeated where its first n-1 words are, so each n looks at few places.
    """
    ids, lengths = words.ids, words.lengths
    ends = np.concatenate([[0], np.cumsum(lengths)])  # characters before each word
    total, kinds = max(1, int(ends[-1])), len(words.kinds)
    places = np.flatnonzero(words.counts[ids] > 1)
    codes = ids[places]  # equal where the (n-1)-grams at `places` are equal
    shares = []
    for n in (*TOP, *COVERED):
        fits = places + n <= len(ids)
        places, codes = places[fits], codes[fits]
        pairs = codes * kinds + ids[places + n - 1]
        _, first, codes, counts = np.unique(
            pairs, return_index=True, return_inverse=True, return_counts=True
        )
        if n in TOP:
            at = places[first]
            spans = np.where(counts > 1, counts * (ends[at + n] - ends[at]), 0)
            shares.append(int(spans.max(initial=0)) / total)
        repeated = counts[codes] > 1
        places, codes = places[repeated], codes[repeated]
        if n in COVERED:
            edges = np.zeros(len(ids) + 1, np.int64)
            np.add.at(edges, places, 1)
            np.add.at(edges, places + n, -1)
            shares.append(int(lengths[np.cumsum(edges[:-1]) > 0].sum()) / total)
    return shares
