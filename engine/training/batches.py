"""Batches as pure functions of the step's number."""

import jax
import numpy as np

from engine.training.mixture import Mixture
from engine.training.recipe import RecipeError
from engine.training.step import Batch


def windows(
    tokens: np.ndarray, step: int, *,
    batch: int, length: int, seed: int, mixture: Mixture | None = None,
) -> np.ndarray:  # fmt: skip
    """The random windows [batch length+1] int32 of one step, drawn by the mixture's weights."""
    rng = np.random.default_rng((seed, step))
    mixture = mixture or Mixture.whole(len(tokens))
    at = mixture.positions(rng, batch, after=length + 1)
    return np.stack([tokens[i : i + length + 1] for i in at]).astype(np.int32)


def plain_batch(
    tokens: np.ndarray, step: int, *,
    batch: int, length: int, seed: int, mixture: Mixture | None = None,
) -> Batch:  # fmt: skip
    """Next-token prediction on random windows."""
    rows = windows(tokens, step, batch=batch, length=length, seed=seed, mixture=mixture)
    return Batch(rows[:, :-1], rows[:, 1:], np.ones((batch, length), np.float32))


def in_parts(batch: Batch, parts: int) -> Batch:
    """The same sequences with a leading axis of micro-batches, [parts B/parts ...]"""
    size = len(batch.tokens)
    if size % parts:
        raise RecipeError(f"a batch of {size} sequences cannot be divided into {parts} parts")
    return jax.tree.map(lambda a: a.reshape(parts, size // parts, *a.shape[1:]), batch)
