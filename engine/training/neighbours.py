"""Neighbours for RETROfitting that share text with what comes next.

A few million tokens are too few for a model to learn copying from the rare overlaps that search
finds, so overlap is made: a neighbour of chunk u often is a noisy copy of the text around chunk
u+1 (high-overlap neighbours: Doostmohammadi and Kuhlmann, arXiv 2505.14309). Others are random
or missing, so that useless and absent neighbours are in distribution too.
"""

import numpy as np

from engine.retro import Passages
from engine.training.mixture import Mixture
from engine.training.step import Batch
from engine.training.swaps import draw_swaps

COPY, NONE = 0.75, 0.1  # chunks with one copy among their neighbours; with no neighbours
ALIGNED = 0.1  # copies whose continuation is exactly the next chunk, as with a true duplicate
NOISE = 0.1  # the most tokens of a copy that are replaced, as a share


def retrofit_batch(
    tokens: np.ndarray, step: int, *,
    batch: int, chunks: int, chunk: int, k: int, seed: int, mixture: Mixture | None = None,
    swaps: float = 0.0, vocab: int = 0,
) -> Batch:  # fmt: skip
    """Next-token prediction on windows of `chunks` chunks with made neighbours for each chunk. In
    half of the sequences `swaps` of the `vocab` tokens are exchanged, see swaps.py."""
    rng = np.random.default_rng((seed, step))
    M, T, R = chunk, chunks * chunk, 2 * chunk
    mixture = mixture or Mixture.whole(len(tokens))
    starts = mixture.positions(rng, batch, before=R, after=T + 2 * R)
    rows = np.stack([tokens[a : a + T + 1] for a in starts]).astype(np.int32)
    found = np.zeros((batch, chunks, k, R), np.int32)
    valid = np.ones((batch, chunks, k, R), bool)
    for b, start in enumerate(starts):
        for u in range(chunks):
            for j in range(k):
                at = rng.integers(len(tokens) - R)
                found[b, u, j] = tokens[at : at + R]
            if rng.random() < NONE:
                valid[b, u] = False
            elif rng.random() < COPY:
                shift = M if rng.random() < ALIGNED else rng.integers(0, R - M // 2)
                found[b, u, rng.integers(k)] = _copy(tokens, start + (u + 1) * M - shift, R, rng)
        if swaps and rng.random() < 0.5:
            exchange = draw_swaps(rng, vocab, swaps)
            rows[b], found[b] = exchange[rows[b]], exchange[found[b]]
    weights = np.ones((batch, T), np.float32)
    return Batch(rows[:, :-1], rows[:, 1:], weights, None, Passages(found, valid))


def _copy(tokens: np.ndarray, at: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` tokens from `at`, some replaced, some skipped so that distances drift."""
    kept = np.arange(at, at + size + 8)
    kept = np.delete(kept, rng.choice(len(kept), rng.integers(0, 9), replace=False))[:size]
    copy = np.array(tokens[kept], np.int32)
    noisy = rng.random(size) < rng.random() * NOISE
    copy[noisy] = tokens[rng.integers(0, len(tokens), int(noisy.sum()))]
    return copy
