"""Batches as pure functions of the step's number."""

import numpy as np

from engine.training.step import Batch


def windows(tokens: np.ndarray, step: int, *, batch: int, length: int, seed: int) -> np.ndarray:
    """The random windows [batch length+1] int32 of one step."""
    rng = np.random.default_rng((seed, step))
    at = rng.integers(0, len(tokens) - length - 1, batch)
    return np.stack([tokens[i : i + length + 1] for i in at]).astype(np.int32)


def plain_batch(tokens: np.ndarray, step: int, *, batch: int, length: int, seed: int) -> Batch:
    """Next-token prediction on random windows."""
    rows = windows(tokens, step, batch=batch, length=length, seed=seed)
    return Batch(rows[:, :-1], rows[:, 1:], np.ones((batch, length), np.float32))
