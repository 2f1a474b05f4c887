"""Where an answer stands in the neighbours, and the loss that tells a model to look there."""

import math
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from engine.checkpoint import build, flatten, graph_of
from engine.presets import preset
from engine.retro import Chunks, Passages
from engine.training.grounded import Example
from engine.training.loop import train
from engine.training.step import Batch, Plan, pointing_loss
from engine.training.tune import GroundedBatches, Shape
from prompts.dialogue import exchange

SMALL = preset("tiny")
assert SMALL.retrieval
TINY = replace(SMALL, layers=2, retrieval=replace(SMALL.retrieval, layers=(1, 2)))
M = TINY.chunk
PASSAGE = (
    "The harbour was dug in 1411 by the people of the town. It took nine years and much patience. "
    "A wall of grey stone keeps the winter storms outside. Fishing boats land there every morning."
)
NEAR = "Close to it a lighthouse stands on black rock."
HARBOUR = Example(PASSAGE, (("When was the harbour dug?", PASSAGE[:55]),), beside=NEAR)
HERONS = Example(
    "Herons wait in the reeds. They strike fast.", (("And then?", "They strike fast."),)
)


@pytest.fixture
def grounded(tokenizer):
    def make(examples: list[Example], k: int, **fields) -> Batch:
        shape = Shape(16, 1, k, 128)
        return GroundedBatches(
            examples, tokenizer.encode, exchange, shape=shape, chunk=128, seed=k, **fields
        )(0)

    return make


@pytest.mark.parametrize("k", [1, 2])
def test_sources_are_where_answers_stand_in_their_neighbours(grounded, k):
    fields = {"unrelated": 0, "missing": 0.2, "swaps": 0.5, "vocab": 400}
    batch = grounded([HARBOUR, HERONS], k, **fields)
    shown = batch.passages.tokens[:, -1].reshape(16, -1)
    marks = batch.passages.valid[:, -1].reshape(16, -1)
    rows, places = np.nonzero(batch.sources >= 0)
    at = batch.sources[rows, places]
    assert marks[rows, at].all() and (batch.weights[rows, places] > 0).all()
    later = places > 0  # the first is another token where the passage starts with it
    assert (shown[rows, at] == batch.targets[rows, places])[later].all()
    follows = (np.diff(rows) == 0) & (np.diff(places) == 1)
    assert (np.diff(at)[follows] == 1).all() and follows.sum() > 40
    missing = ~marks.any(1)
    assert missing.any() and not missing.all()
    assert ((batch.sources >= 0).any(1) == ~missing).all()


def test_answers_that_say_nothing_have_no_source(grounded):
    batch = grounded([HARBOUR, HERONS], 2, unrelated=1.0, missing=0)
    assert (batch.sources == -1).all()


def test_unrelated_passages_are_of_another_document_together(grounded, tokenizer):
    batch = grounded([HARBOUR, HERONS], 2, unrelated=1.0, missing=0)
    shown = [
        " ".join(tokenizer.decode(view.tolist()) for view in views)
        for views in batch.passages.tokens[:, -1]
    ]
    near = [text for text in shown if "lighthouse" in text]
    assert near and all("dug in 1411" in text or "grey stone" in text for text in near)


def test_the_first_token_of_an_answer_weighs_more(grounded):
    weights = grounded([HARBOUR], 1).weights
    assert (weights[:, 0] > 1).all() and set(weights[:, 1:].flat) == {0.0, 1.0}


def test_most_passages_beside_the_answers_are_of_its_document(grounded, tokenizer):
    batch = grounded([HARBOUR] + [replace(HERONS, beside=PASSAGE)] * 15, 2, unrelated=0, missing=0)
    pairs = [
        [tokenizer.decode(view.tolist()) for view in views]
        for views in batch.passages.tokens[:, -1]
    ]
    asked = [pair for pair in pairs if any("strike fast" in text for text in pair)]
    beside = sum(any("harbour" in text for text in pair) for pair in asked)
    assert len(asked) / 3 < beside < len(asked)


def test_pointing_is_least_where_all_heads_read_the_source():
    def surprise(share: float, first: float = 1.0) -> float:
        attention = np.full((1, 1, 2, M, 2 * M), (1 - share) / (2 * M - 1), np.float32)
        attention[0, 0, 0, :, 3], attention[0, 0, 1, :, 3] = 1.0, share
        tokens, weights = np.zeros((1, M + 3), np.int32), np.array([[first, 1, 1, 1]], np.float32)
        sources = np.array([[3, 3, 3, -1]])
        given = Batch(tokens, np.zeros((1, 4), np.int32), weights, None, None, sources)
        return float(pointing_loss(Chunks(jnp.zeros(0), None, jnp.asarray(attention)), given, M))

    assert surprise(1.0) == pytest.approx(0.0, abs=1e-4)
    assert surprise(0.5) == pytest.approx(3 * math.log(2) / 2, abs=1e-3)  # one head of two
    assert surprise(0.5, first=4.0) == pytest.approx(18 * math.log(2) / 2, abs=1e-3)


def copies(step: int) -> Batch:
    """A chunk without a meaning, and after it what stands at a random place of its neighbour."""
    rng = np.random.default_rng(step)
    B, t = 8, 4
    shown = rng.integers(20, TINY.vocab, (B, 1, 1, 2 * M)).astype(np.int32)
    start = rng.integers(0, 2 * M - t, (B, 1))
    sources = (start + np.arange(t)).astype(np.int32)
    targets = np.take_along_axis(shown[:, 0, 0], sources, 1)
    tokens = np.concatenate([np.full((B, M - 1), 5), start + 5, targets[:, :-1]], 1)
    passages = Passages(shown, np.ones(shown.shape, bool))
    return Batch(
        tokens.astype(np.int32), targets, np.ones((B, t), np.float32), None, passages, sources
    )


@pytest.mark.slow
def test_training_points_where_it_is_told_to(tmp_path):
    before = flatten(nnx.state(build(TINY, 0), nnx.Param))
    rows: list[dict] = []
    plan = Plan(40, 1e-2, 3, pointing=1.0)
    train(graph_of(TINY), before, plan, copies, tmp_path, report=rows.append)
    assert [set(row["losses"]) for row in rows] == [{"pointing"}] * 4
    surprises = [row["losses"]["pointing"] for row in rows]
    assert surprises[-1] < surprises[0] < math.log(2 * M) + 0.2
    assert surprises[-1] < surprises[0] - 0.1
