"""Training: batches, the loss, what is frozen, and exact resume."""

import json
import random
import signal
from dataclasses import asdict, replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from engine.checkpoint import build, flatten, graph_of, nest
from engine.presets import Retrieval, preset
from engine.tokenizer import EOS
from engine.training.batches import plain_batch
from engine.training.checkpoints import Checkpoints, TrainingError
from engine.training.corpus import CorpusError, read_records, text_of
from engine.training.grounded import UNANSWERED, Example, made_examples, split_sentences
from engine.training.loop import train
from engine.training.neighbours import retrofit_batch
from engine.training.start import NAME, copying_start
from engine.training.step import Batch, Plan, compile_loss, compile_step, optimiser
from engine.training.tune import GroundedBatches, Shape
from prompts.dialogue import exchange

SMALL = preset("tiny")
assert SMALL.retrieval
TINY = replace(SMALL, layers=2, retrieval=replace(SMALL.retrieval, layers=(1, 2)))
GOPHER = replace(TINY, retrieval=None)
PLAN = Plan(3, 3e-3, 1)  # a plan is compiled once
M = TINY.chunk
STREAM = np.random.default_rng(0).integers(4, TINY.vocab, 4000).astype(np.uint16)
PASSAGE = (
    "The harbour was dug in 1411 by the people of the town. It took nine years and much patience. "
    "A wall of grey stone keeps the winter storms outside. Fishing boats land there every morning."
)
EXAMPLES = [
    Example(PASSAGE, (("When was the harbour dug?", PASSAGE[:55]),)),
    Example("Herons wait in the reeds. They strike fast.", (("What do herons do?", "They wait."),)),
]


@cache
def arrays_of(p) -> dict:
    return flatten(nnx.state(build(p, 0), nnx.Param))


def plain(step: int) -> Batch:
    return plain_batch(STREAM, step, batch=2, length=3 * M, seed=0)


def fitted(step: int) -> Batch:
    return retrofit_batch(STREAM, step, batch=2, chunks=3, chunk=M, k=2, seed=0)


def same(a: Batch, b: Batch) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in leaves)


@pytest.mark.parametrize("batches", [plain, fitted])
def test_a_batch_depends_on_its_number_alone(batches):
    assert same(batches(3), batches(3))
    assert not same(batches(3), batches(4))


def test_targets_are_the_next_tokens():
    batch = plain(0)
    np.testing.assert_array_equal(batch.tokens[:, 1:], batch.targets[:, :-1])


def test_most_neighbours_hold_text_of_the_chunk_that_follows():
    """The first batches copy exactly; a neighbour's 2M tokens then hold the next chunk's."""
    copies = 0
    for step in range(20):
        batch = fitted(step)
        assert batch.passages is not None
        following = np.concatenate([batch.tokens, batch.targets[:, -1:]], 1)[:, M:]
        for b, u, j in np.ndindex(*batch.passages.tokens.shape[:2], 2):
            if u < 2 and batch.passages.valid[b, u].all():
                chunk = following[b, u * M : (u + 1) * M]
                copies += len(set(chunk) & set(batch.passages.tokens[b, u, j])) >= M // 2
    assert copies > 20


def test_the_loss_falls_and_a_frozen_base_stays_bit_identical(tmp_path):
    before = arrays_of(TINY)
    rows: list[dict] = []
    after, finished = train(
        graph_of(TINY), before, Plan(20, 3e-3, 3), fitted, tmp_path,
        frozen=lambda name: name.startswith("decoder."), report=rows.append,
        kind=lambda step: "odd" if step % 2 else "even",
    )  # fmt: skip
    assert finished
    assert all(set(row["losses"]) == {"odd", "even"} for row in rows)
    assert [row["losses"]["odd"] for row in rows] == [row["loss"] for row in rows]
    for name, array in before.items():
        same_as_before = np.array_equal(array, after[name])
        assert same_as_before == name.startswith("decoder."), name
    losses = compile_loss(graph_of(TINY))
    totals = [float(losses(a, fitted(0))[0]) for a in (before, after)]
    assert totals[1] < totals[0]
    logged = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged] == [10, 20]


def test_a_run_that_was_stopped_goes_on_exactly(tmp_path):
    graph, start = graph_of(GOPHER), arrays_of(GOPHER)
    whole, _ = train(graph, start, PLAN, plain, tmp_path / "whole")
    finished, halves = False, {}
    while not finished:
        halves, finished = train(graph, start, PLAN, plain, tmp_path / "parts", seconds=0.0)
    for name in whole:
        np.testing.assert_array_equal(whole[name], halves[name], err_msg=name)


def test_a_signal_ends_training_after_the_step_with_a_checkpoint(tmp_path):
    def batches(step: int) -> Batch:
        if step == 1:
            signal.raise_signal(signal.SIGTERM)
        return plain(step)

    before = signal.getsignal(signal.SIGTERM)
    _, finished = train(graph_of(GOPHER), arrays_of(GOPHER), PLAN, batches, tmp_path)
    assert not finished
    assert Checkpoints(tmp_path, asdict(PLAN)).last == 2
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_checkpoint_of_another_plan_is_refused(tmp_path):
    graph, start = graph_of(GOPHER), arrays_of(GOPHER)
    train(graph, start, PLAN, plain, tmp_path)
    with pytest.raises(TrainingError, match="same settings or another directory"):
        train(graph, start, replace(PLAN, steps=4), plain, tmp_path)


@pytest.mark.slow
def test_accumulated_micro_batches_equal_one_batch():
    batch = plain(0)
    parts = Batch(batch.tokens[:, None], batch.targets[:, None], batch.weights[:, None])
    results = []
    for plan, given in ((Plan(9, 1e-3, 1), batch), (Plan(9, 1e-3, 1, accumulate=2), parts)):
        arrays = {k: jnp.array(v) for k, v in arrays_of(GOPHER).items()}
        state = optimiser(plan).init(arrays)
        results.append(compile_step(graph_of(GOPHER), plan)(arrays, {}, state, given))
    (a, _, x), (b, _, y) = results
    assert float(x["loss"]) == pytest.approx(float(y["loss"]), abs=1e-5)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=2e-5, err_msg=name)


def test_slices_of_the_logits_change_nothing():
    arrays = arrays_of(GOPHER)
    one, two = (compile_loss(graph_of(GOPHER), s)(arrays, plain(0)) for s in (1, 2))
    assert float(one[0]) == pytest.approx(float(two[0]), rel=1e-5)


def test_a_copying_start_looks_one_token_back_and_names_what_it_carries():
    wide = Retrieval((1, 2), width=32, heads=4, head_dim=8, ffw=48, neighbour_tokens=2 * M,
                     shared_embedding=True)  # fmt: skip
    p = replace(TINY, retrieval=wide)
    arrays = {k: np.asarray(v) for k, v in arrays_of(p).items()}
    started = copying_start(p, arrays, plain(0).tokens, 0)
    assert all(np.array_equal(started[k], arrays[k]) for k in arrays if k.startswith("decoder."))
    model = nnx.merge(graph_of(p), nest({k: jnp.asarray(v) for k, v in started.items()}))
    attention = model.encoder.blocks[0].attention
    reach = np.arange(-5, 6)
    scores = jnp.einsum("NH,WNH->NW", attention.position_bias[...], attention.position_keys(reach))
    assert set(reach[np.argmax(scores, -1)]) == {1}
    for n in range(2):
        value, out = (started[f"cross.{n}.attention.{w}.kernel"] for w in "vo")
        np.testing.assert_allclose(value @ out, NAME * np.eye(32), atol=1e-5)


def test_a_copying_start_leaves_other_shapes_alone():
    arrays = {k: np.asarray(v) for k, v in arrays_of(TINY).items()}
    started = copying_start(TINY, arrays, plain(0).tokens, 0)
    for name in arrays:
        np.testing.assert_array_equal(started[name], arrays[name])


@pytest.fixture
def grounded(tokenizer):
    def build(shape: Shape, **fields) -> GroundedBatches:
        return GroundedBatches(
            EXAMPLES, tokenizer.encode, exchange, shape=shape, chunk=128, seed=0, **fields
        )

    return build


def test_answers_start_on_a_chunk_boundary_and_only_they_count(grounded, tokenizer):
    batch = grounded(Shape(8, 1, 2, 128), unrelated=0, missing=0)(0)
    assert batch.valid is not None and batch.tokens.shape == (8, 255)
    for row in range(8):
        prompt = tokenizer.decode(batch.tokens[row, :128][batch.valid[row, :128]].tolist())
        counted = batch.targets[row][batch.weights[row] > 0]
        assert prompt.startswith("USER: ") and prompt.endswith("\nGOPHER:")
        answers = {e.turns[0][1] for e in EXAMPLES}
        assert tokenizer.decode(counted[:-1].tolist()).removeprefix(" ") in answers
        assert counted[-1] == EOS
        assert batch.targets.shape == (8, 128)


def test_the_passage_of_an_answer_is_among_its_neighbours(grounded, tokenizer):
    batch = grounded(Shape(8, 1, 2, 128), unrelated=0, missing=0)(1)
    assert batch.passages is not None
    for row in range(8):
        counted = batch.targets[row][batch.weights[row] > 0][:-1].tolist()
        if "harbour" not in (answer := tokenizer.decode(counted)):
            continue
        ids, marks = batch.passages.tokens[row, 0], batch.passages.valid[row, 0]
        shown = [tokenizer.decode(t[m].tolist()) for t, m in zip(ids, marks, strict=True)]
        assert any(answer.strip()[5:40] in text for text in shown)


def test_an_answer_that_does_not_fit_is_not_cut(grounded):
    """Both answers of the toy have more than two pieces, so that no row can be made."""
    made = grounded(Shape(1, 1, 2, 2), unrelated=0)
    assert all(made._row(random.Random(seed), Shape(1, 1, 2, 2)) is None for seed in range(9))


def test_a_step_shows_as_many_passages_as_its_shape_says(grounded):
    for k in (1, 2):
        passages = grounded(Shape(2, 1, k, 128))(0).passages
        assert passages is not None and passages.tokens.shape == (2, 1, k, 256)


def test_unrelated_passages_are_answered_by_saying_so(grounded, tokenizer):
    batch = grounded(Shape(4, 1, 2, 128), unrelated=1.0, missing=0)(0)
    for row in range(4):
        counted = batch.targets[row][batch.weights[row] > 0][:-1].tolist()
        assert tokenizer.decode(counted).strip() == UNANSWERED


def test_missing_neighbours_are_masked(grounded):
    batch = grounded(Shape(4, 1, 2, 128), unrelated=0, missing=1.0)(0)
    assert batch.passages is not None and not batch.passages.valid.any()


def test_in_context_prompts_hold_the_passage(grounded, tokenizer):
    batch = grounded(Shape(4, 3, 2, 128, in_context=True), unrelated=0)(0)
    assert batch.valid is not None
    for row in range(4):
        prompt = tokenizer.decode(batch.tokens[row, :384][batch.valid[row, :384]].tolist())
        assert "\n\nUSER: " in prompt


def test_made_questions_are_answered_by_a_sentence_of_their_passage():
    document = {"title": "Harbour", "text": "\n\n".join([PASSAGE] * 3)}
    found = list(made_examples(document, random.Random(0), 20))
    assert len(found) > 10
    for example in found:
        question, answer = example.turns[0]
        assert answer in split_sentences(example.passage)
        assert question != answer


def test_records_of_every_kind_become_text():
    assert text_of({"title": "A", "text": "b"}) == "A\n\nb"
    asked = {"context": "c", "question": "q?", "answers": ["a"]}
    assert text_of(asked) == "c\n\nUSER: q?\nGOPHER: a"
    turns = [{"role": "user", "text": "q"}, {"role": "assistant", "text": "a"}]
    assert text_of({"turns": turns}) == "USER: q\nGOPHER: a"


@pytest.mark.parametrize("content", [b'{"text": "a"}\n{broken\n', b"\xff\xfe"])
def test_a_broken_corpus_file_is_named_with_its_line(tmp_path, content):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"bad\.jsonl"):
        list(read_records(path))
