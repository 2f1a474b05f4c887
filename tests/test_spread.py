"""Embeddings that can be told apart: spread before tuning, and kept so by centred updates."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from engine.checkpoint import build, flatten, graph_of, nest
from engine.presets import preset
from engine.training.batches import plain_batch
from engine.training.spread import LAST, TABLE, shared_part, spread_embedding
from engine.training.step import Plan, compile_step, optimiser

SMALL = preset("tiny")
assert SMALL.retrieval
TINY = replace(SMALL, layers=2, retrieval=replace(SMALL.retrieval, layers=(1, 2)))
RNG = np.random.default_rng(0)
TEXT = RNG.integers(4, TINY.vocab, (2, 24)).astype(np.int32)


@pytest.fixture(scope="module")
def degenerate() -> dict[str, np.ndarray]:
    """Weights of some size, whose embeddings lie along one direction, rare ones farther."""
    arrays = {k: np.asarray(v) for k, v in flatten(nnx.state(build(TINY, 0), nnx.Param)).items()}
    louder = {k: v * 8 if k.endswith("kernel") else v for k, v in arrays.items()}
    scale = 1 + 0.3 * RNG.normal(size=TINY.width).astype(np.float32)
    rarity = RNG.uniform(0.5, 3, (TINY.vocab, 1)).astype(np.float32)
    table = arrays[TABLE] + 0.1 * rarity * RNG.normal(size=TINY.width).astype(np.float32)
    return {**louder, TABLE: table, LAST: scale}


@jax.jit
def probabilities(arrays) -> jax.Array:
    return jax.nn.log_softmax(nnx.merge(graph_of(TINY), nest(arrays))(TEXT))


def test_what_embeddings_share_shrinks(degenerate):
    before = shared_part(degenerate[TABLE])
    after = shared_part(spread_embedding(TINY, degenerate, 0.25, TEXT)[TABLE])
    assert before > 0.9 and after < 0.8 * before


def test_a_share_of_one_changes_nothing(degenerate):
    spread = spread_embedding(TINY, degenerate, 1.0, TEXT)
    for name, array in degenerate.items():
        np.testing.assert_allclose(spread[name], array, atol=1e-5, err_msg=name)


def test_predictions_change_far_less_than_by_shrinking_the_table_alone(degenerate):
    spread = spread_embedding(TINY, degenerate, 0.25, TEXT)
    before = probabilities(degenerate)
    alone = probabilities({**degenerate, TABLE: spread[TABLE]})
    both = probabilities(spread)
    assert np.abs(both - before).mean() < 0.5 * np.abs(alone - before).mean()


def test_a_step_does_not_move_the_mean_of_the_table():
    p = replace(TINY, retrieval=None)
    arrays = {k: jnp.asarray(v) for k, v in flatten(nnx.state(build(p, 0), nnx.Param)).items()}
    plan = Plan(3, 3e-3, 1, decay=0.0)
    stream = RNG.integers(4, p.vocab, 400).astype(np.uint16)
    before = {k: np.array(v) for k, v in arrays.items()}
    state = optimiser(plan).init(arrays)
    for number in range(2):
        batch = plain_batch(stream, number, batch=2, length=24, seed=0)
        arrays, state, _ = compile_step(graph_of(p), plan)(arrays, {}, state, batch)
    table = np.array(arrays["embedding.table"])
    assert np.abs(table - before["embedding.table"]).max() > 1e-4
    np.testing.assert_allclose(table.mean(0), before["embedding.table"].mean(0), atol=1e-6)
