"""An encoder that is put to comparing passages with the question, before tuning."""

from dataclasses import replace
from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from engine.checkpoint import build, flatten, graph_of, nest
from engine.presets import preset
from engine.retro import Passages
from engine.training.matching import (
    CROSS,
    Comparing,
    attention,
    fits,
    matching_start,
    same_words,
    says,
    streams,
)
from engine.training.step import Batch, compile_loss

SMALL = preset("tiny")
assert SMALL.retrieval
SHARED = replace(
    SMALL.retrieval, layers=(2, 4), width=32, heads=4, head_dim=8, shared_embedding=True
)
TOY = replace(SMALL, retrieval=SHARED)
M, R, B = TOY.chunk, SHARED.neighbour_tokens, 16
TAGS = (5, 6)  # how every question begins and ends


def questions(step: int) -> Batch:
    """Questions of random words, four of which stand somewhere in one of two neighbours."""
    rng = np.random.default_rng(step)
    words = rng.integers(TOY.vocab // 4, TOY.vocab, (B, M - 2))
    tags = [np.full((B, 1), tag) for tag in TAGS]
    prompt = np.concatenate([tags[0], words, tags[1]], 1)
    shown = rng.integers(TOY.vocab // 4, TOY.vocab, (B, 1, 2, R))
    for b in range(B):
        at = rng.permutation(R)[:4]
        shown[b, 0, rng.integers(2), at] = rng.permutation(words[b])[:4]
    answer = shown[:, 0, 0, :3]
    tokens = np.concatenate([prompt, answer[:, :-1]], 1).astype(np.int32)
    passages = Passages(shown.astype(np.int32), np.ones(shown.shape, bool))
    weights, valid = np.ones((B, 3), np.float32), np.ones(tokens.shape, bool)
    return Batch(tokens, answer.astype(np.int32), weights, valid, passages)


@cache
def weights() -> dict[str, np.ndarray]:
    """Embeddings that stand out of the stream, as trained ones do."""
    arrays = {k: np.asarray(v) for k, v in flatten(nnx.state(build(TOY, 0), nnx.Param)).items()}
    return {**arrays, "decoder.embedding.table": arrays["decoder.embedding.table"] * 50}


@pytest.fixture(scope="module")
def started() -> dict[str, np.ndarray]:
    rows: list[dict] = []
    arrays = matching_start(TOY, weights(), questions, 150, 0, rows.append)
    assert rows == [{"matching": 100, "of": 150}]
    return arrays


def comparing(arrays) -> Comparing:
    """The first half of the heads, as they lie in the arrays."""
    n, H = SHARED.heads // 2, SHARED.head_dim
    q, k = (
        arrays[f"{CROSS}.{name}.kernel"].reshape(-1, SHARED.heads, H).swapaxes(0, 1)[:n]
        for name in ("q", "k")
    )
    return Comparing(
        jnp.asarray(q), jnp.asarray(k), jnp.asarray(arrays[f"{CROSS}.content_bias"][:n])
    )


def masses(maps: Comparing) -> tuple[float, float]:
    """The shares that heads read at the same word where there is one, and at the end elsewhere."""
    s = streams(TOY, weights(), questions(999))
    read = np.exp(np.asarray(attention(maps, s)))
    same = same_words(TOY, s)
    there = same.any(-1)
    return (
        float((read * same[:, None]).sum(-1).mean(1)[there].mean()),
        float(read[..., -1].mean(1)[~there].mean()),
    )


def test_heads_learn_to_read_the_same_word_in_the_question_and_its_end_else(started):
    (found, end), (word, last) = masses(comparing(started)), masses(comparing(weights()))
    assert found > 0.5 > 2 * word
    assert end > 2 * last


def test_only_rare_words_that_are_there_are_compared():
    batch = questions(0)
    assert batch.passages is not None
    common = batch._replace(
        passages=Passages(np.full((B, 1, 2, R), TAGS[0], np.int32), batch.passages.valid)
    )
    absent = batch._replace(passages=Passages(batch.passages.tokens, np.zeros((B, 1, 2, R), bool)))
    found = [same_words(TOY, streams(TOY, weights(), b)).any() for b in (batch, common, absent)]
    assert found == [True, False, False]


def test_tags_say_nothing_and_rare_words_most():
    s = streams(TOY, weights(), questions(0))
    worth = says(TOY, s.chunk_tokens, s.chunk_valid)
    assert (worth[:, [0, -1]] == 0).all() and (worth[:, 1:-1] == 1).all()


def test_only_two_layers_of_the_encoder_change(started):
    changed = {k for k, v in weights().items() if not np.array_equal(v, started[k])}
    assert changed and all(
        name.startswith(("encoder.blocks.0.cross.", "encoder.blocks.1.attention."))
        for name in changed
    )


def test_what_is_encoded_depends_more_on_the_question_than_before(started):
    """On whether the words of the neighbours stand in it."""
    batch = questions(1)
    other = batch._replace(tokens=np.concatenate(
        [batch.tokens[:, :1], questions(2).tokens[:, 1 : M - 1], batch.tokens[:, M - 1 :]], 1
    ))  # fmt: skip

    def change(arrays) -> float:
        nested = nest({k: jnp.asarray(v) for k, v in arrays.items()})
        model = nnx.merge(graph_of(TOY), nested)
        one, two = (
            np.asarray(model.hidden(b.tokens, b.valid, b.passages)[2].encoded)
            for b in (batch, other)
        )
        return float(np.abs(one - two).mean())

    assert change(started) > 2 * change(weights())


def test_other_shapes_stay_as_they_are():
    assert fits(TOY) and not fits(SMALL)
    arrays = {"a": np.ones(2, np.float32)}
    assert matching_start(SMALL, arrays, questions, 3, 0)["a"].tolist() == [1.0, 1.0]


def test_without_passages_nothing_changes(started):
    loss = compile_loss(graph_of(TOY))
    batch = questions(3)._replace(passages=None)
    given = [{k: jnp.asarray(v) for k, v in arrays.items()} for arrays in (started, weights())]
    assert float(loss(given[0], batch).nats) == float(loss(given[1], batch).nats)
