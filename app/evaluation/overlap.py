"""How much of a chunk stands in the passages of a database: leakage-aware evaluation.

For an evaluated chunk C of m tokens, s is the longest run of tokens that C shares with any of its
ten nearest passages and r(C) = s / m its overlap (RETRO, arXiv 2112.04426, section 2.6). Results
are told for buckets of r, and for all chunks with r up to alpha.
"""

from collections.abc import Iterable, Sequence

import numpy as np

NEAREST = 10  # passages that a chunk is compared with
# Upper bounds of the buckets. An eighth is the paper's: at most 8 tokens of 64 in a row.
BOUNDS = (0.0625, 0.125, 0.25, 0.5, 0.75, 1.0)


def longest_run(tokens: Sequence[int], passages: Iterable[Sequence[int]]) -> int:
    """Tokens of the longest run of `tokens` that stands in one of the passages as well."""
    held = [np.array([*passage, -1], np.int64) for passage in passages]  # -1: no run goes across
    if not held or not len(tokens):
        return 0
    line = np.concatenate(held)
    runs = np.zeros(len(line) + 1, np.int32)  # runs[i + 1]: of the run that ends in line[i]
    longest = 0
    for token in tokens:
        runs[1:] = np.where(line == token, runs[:-1] + 1, 0)
        longest = max(longest, int(runs.max()))
    return longest


def overlap(tokens: Sequence[int], passages: Iterable[Sequence[int]]) -> float:
    """r(C), from 0 to 1; 0 for no tokens."""
    return longest_run(tokens, passages) / len(tokens) if tokens else 0.0


def bucket_of(share: float) -> int:
    """The number of the bucket: the first whose upper bound is not exceeded."""
    return next(i for i, bound in enumerate(BOUNDS) if share <= bound)


def name_of(bucket: int) -> str:
    """A bucket in words: its bounds in per cent."""
    low = f"over {BOUNDS[bucket - 1]:.4g}" if bucket else "0"
    return f"{low} to {BOUNDS[bucket]:.4g}"
