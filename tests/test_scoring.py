"""Engine.score: a reply read again under other neighbours is what the full pass gives."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from engine.checkpoint import load_weights
from engine.layout import lay_out, passages_of
from engine.local import LocalEngine
from engine.presets import PRESETS, preset
from engine.protocol import PromptTooLong, Reply, Request, Sampling, Score, Scoring, Segment
from engine.sampling import ALTERNATIVES
from retrieval.protocol import Neighbour
from tests.toys import Toy, neighbour, toy

TINY = preset("tiny")
assert TINY.retrieval
M, R = TINY.chunk, TINY.retrieval.neighbour_tokens
ASK = (Segment("Why does bread rise?\nGOPHER:", ends_chunk=True),)
LENGTHS = (1, M)
Shown = Sequence[Sequence[Neighbour]]


A, B, C, SHORT = neighbour(1), neighbour(2), neighbour(3), neighbour(4, 3)
TRIALS = ((), (A,), (B,), (C, SHORT), (SHORT,), (A, A))
EARLIER = (  # long enough for a cache of the whole context
    Segment("", ends_chunk=True, tokens=tuple([9] * 101)),
    Segment("", tokens=tuple(range(20, 20 + M + 3)), shown=((neighbour(5), A), (neighbour(6),))),
    Segment("\nUSER: Why?\nGOPHER:", ends_chunk=True),
)
OTHERS = ((M - 1, ASK), (M + 1, ASK), (2 * M + 3, ASK), (M - 1, EARLIER))


def reply_of(length: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(length).integers(4, TINY.vocab, length).tolist())


@pytest.fixture(scope="module")
def quantised(weights: Path) -> LocalEngine:
    return LocalEngine.load(weights, "int8")


@pytest.fixture(scope="module")
def tiny(weights: Path) -> LocalEngine:
    """The definition, in float32."""
    return LocalEngine.load(weights)


@pytest.fixture(scope="module")
def model(weights: Path) -> Toy:
    return toy(TINY, load_weights(weights)[1])  # type: ignore


@pytest.fixture(scope="module")
def full_rows(model: Toy, tiny: LocalEngine) -> Callable[..., np.ndarray]:
    """full_rows(prompt, tokens, shown): log-probabilities of every token in the place of each of
    the tokens [n V], in one uncached pass."""

    def run(prompt: Sequence[Segment], tokens: Sequence[int], shown: Shown) -> np.ndarray:
        layout = lay_out(prompt, tiny.tokenizer.encode, M)
        start, end = len(layout.tokens), len(layout.tokens) + len(tokens)
        line, valid = np.zeros((1, TINY.context), np.int32), np.ones((1, TINY.context), bool)
        line[0, :end] = [*layout.tokens, *tokens]
        valid[0, :start] = layout.valid
        seen = {**layout.shown, **{start // M - 1 + j: list(s) for j, s in enumerate(shown)}}
        logits = model.logits(line, valid, passages_of(seen, TINY.context // M, 2, R))[0]
        return np.asarray(jax.nn.log_softmax(logits))[start - 1 : end - 1]

    return run


@pytest.fixture(scope="module")
def full_pass(full_rows) -> Callable[..., np.ndarray]:
    """The same for the tokens alone [n]."""

    def run(prompt: Sequence[Segment], tokens: Sequence[int], shown: Shown) -> np.ndarray:
        return full_rows(prompt, tokens, shown)[np.arange(len(tokens)), list(tokens)]

    return run


@pytest.mark.parametrize(
    ("length", "prompt"),
    [
        *((length, ASK) for length in LENGTHS),
        (2 * M + 3, EARLIER),
        *(pytest.param(*other, marks=pytest.mark.slow) for other in OTHERS),
    ],
    ids=lambda value: f"{value} tokens" if isinstance(value, int) else f"{len(value)} segments",
)
def test_every_score_is_what_the_full_pass_gives(tiny: LocalEngine, full_pass, length: int, prompt):
    tokens = reply_of(length)
    count = -(-length // M)
    shown = ((A, B), (C,), (SHORT, A))[:count]
    scored = tiny.score(Scoring(prompt, tokens, shown, (TRIALS,) * count))
    assert len(scored) == count
    for j, chunk in enumerate(scored):
        inside = slice(j * M, (j + 1) * M)
        for found, score in zip(
            (shown[j], *TRIALS), (chunk.shown, *chunk.trials), strict=True
        ):  # fmt: skip
            expected = full_pass(prompt, tokens, (*shown[:j], found, *shown[j + 1 :]))[inside]
            np.testing.assert_allclose(score.logprobs, expected, rtol=0, atol=1e-4)
            assert len(score.attention) == len(found)
    if length > 1:
        empty, other = scored[0].trials[:2]
        assert np.abs(np.subtract(empty.logprobs, other.logprobs)).max() > 0.1


def test_attention_is_shared_among_the_neighbours(tiny: LocalEngine):
    (chunk,) = tiny.score(Scoring(ASK, reply_of(M - 1), ((A, B),), (((B, A), (A,), (A, A)),)))
    a, b = chunk.shown.attention
    assert a + b == pytest.approx(1, abs=1e-5)
    assert min(a, b) > 0.05
    turned, alone, twice = (score.attention for score in chunk.trials)
    assert turned == pytest.approx((b, a), abs=1e-5)
    assert alone == pytest.approx((1,), abs=1e-5)
    assert twice == pytest.approx((0.5, 0.5), abs=1e-5)


def test_more_trials_than_fit_into_one_batch_are_scored_as_in_one(tiny: LocalEngine):
    tokens = reply_of(M + 2)
    many = (*TRIALS, *((a, b) for a in (A, C) for b in (B, SHORT)), *TRIALS)
    first, second = tiny.score(Scoring(ASK, tokens, ((A,), (B,)), (many, ())))
    assert (len(first.trials), second.trials) == (len(many), ())
    few = [tiny.score(Scoring(ASK, tokens, ((A,), (B,)), (many[i::4], ()))) for i in range(4)]
    for i, (chunk, after) in enumerate(few):
        assert second.shown.logprobs == pytest.approx(after.shown.logprobs, abs=1e-4)
        for whole, part in zip(first.trials[i::4], chunk.trials, strict=True):
            assert whole.logprobs == pytest.approx(part.logprobs, abs=1e-4)


@pytest.mark.parametrize(("numbers", "near"), [("tiny", 2e-4), ("quantised", 0.05)])
def test_a_reply_scores_what_it_was_logged_with(
    numbers: str, near: float, request: pytest.FixtureRequest
):
    """Of a quantised model up to what rounding an activation the other way changes."""
    tiny = request.getfixturevalue(numbers)
    shown = ((A, B), (C,), (SHORT, A))
    tiny.use(None)
    asked = Request(
        EARLIER, "q", Sampling(temperature=1.0, top_p=1.0, max_tokens=2 * M + 3, seed=2),
        pinned=dict(enumerate(shown)),
    )  # fmt: skip
    reply = Reply.of(tiny.generate(asked))
    tokens = tuple(t.id for t in reply.tokens)
    assert len(tokens) == 2 * M + 3
    scored = tiny.score(Scoring(EARLIER, tokens, shown, (TRIALS,) * 3))
    found = [p for chunk in scored for p in chunk.shown.logprobs]
    assert found == pytest.approx([t.logprob for t in reply.tokens], abs=near)


def test_a_reply_to_the_last_slot_of_the_context_is_scored(tiny: LocalEngine, full_pass):
    tokens = reply_of(8 * M)
    prompt = (Segment("", tokens=tuple([9] * (TINY.context - len(tokens)))),)
    shown = ((A, B),) * 8
    scored = tiny.score(Scoring(prompt, tokens, shown, (TRIALS,) * 8))
    found = [p for chunk in scored for p in chunk.shown.logprobs]
    np.testing.assert_allclose(found, full_pass(prompt, tokens, shown), rtol=0, atol=1e-4)
    with pytest.raises(PromptTooLong, match=r"192 tokens .* reply 65, .* the 256 of this"):
        tiny.score(Scoring(prompt, (*tokens, 5), (*shown, ())))


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        (Scoring((Segment("", tokens=(5, 6)),), (7,), ((),)), "takes 2 tokens; it must end a"),
        (Scoring((), (7,), ((),)), "takes 0 tokens"),
        (Scoring(ASK, reply_of(M + 1), ((),)), "make 2 chunks of 8, but .* for 1 chunks"),
        (Scoring(ASK, (7,), ((),), ((), ())), "trials for 2"),
        (Scoring(ASK, (7,), ((A, B, C),)), "with 3 neighbours; this model takes 2"),
    ],
    ids=["a prompt off the grid", "no prompt", "chunks", "trials", "neighbours"],
)
def test_what_cannot_be_scored_is_refused(tiny: LocalEngine, scoring: Scoring, message: str):
    with pytest.raises(ValueError, match=message):
        tiny.score(scoring)


def test_a_model_without_retrieval_reads_the_same_under_any_trial(
    tiny: LocalEngine, model: Toy, full_pass, monkeypatch
):
    monkeypatch.setitem(PRESETS, "tiny-gopher", replace(TINY, name="tiny-gopher", retrieval=None))
    decoder = {
        name.removeprefix("decoder."): array
        for name, array in model.arrays.items()
        if name.startswith("decoder.")
    }
    gopher = LocalEngine(decoder, tiny.tokenizer, replace(tiny.info, preset="tiny-gopher"))
    tokens = reply_of(M + 1)
    scored = gopher.score(Scoring(ASK, tokens, ((), ()), (((), ()), ())))
    expected = full_pass(ASK, tokens, ((), ()))
    found = [p for chunk in scored for p in chunk.shown.logprobs]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    same = Score(scored[0].shown.logprobs, ())
    assert (scored[0].shown, scored[0].trials) == (same, (same, same))


def test_the_likeliest_tokens_are_those_of_the_full_pass(tiny: LocalEngine, full_rows):
    tokens, shown = reply_of(M + 2), ((A, B), (C,))
    plain = tiny.score(Scoring(ASK, tokens, shown, (TRIALS,) * 2))
    scored = tiny.score(Scoring(ASK, tokens, shown, (TRIALS,) * 2, alternatives=True))
    assert [chunk.top for chunk in plain] == [(), ()]
    assert [replace(chunk, top=()) for chunk in scored] == list(plain)
    top = [place for chunk in scored for place in chunk.top]
    for place, row in zip(top, full_rows(ASK, tokens, shown), strict=True):
        ids, logprobs = zip(*place, strict=True)
        np.testing.assert_allclose(logprobs, np.sort(row)[::-1][:ALTERNATIVES], atol=1e-4)
        np.testing.assert_allclose(logprobs, row[list(ids)], atol=1e-4)


def test_a_reply_asked_for_meanwhile_waits_for_one_batch_only(tiny: LocalEngine, monkeypatch):
    tiny.use(None)
    order: list[str] = []
    begun, asked = threading.Event(), threading.Event()
    score_batch, read_block = tiny._scorer.read, tiny._slots.read

    def batch(*given):
        order.append("batch")
        begun.set()
        assert asked.wait(10)
        return score_batch(*given)

    def block(*given):
        order.append("block")
        return read_block(*given)

    def ask() -> None:
        for _ in tiny.generate(Request(ASK, "q", Sampling(max_tokens=1))):
            pass

    ask()  # compiles
    monkeypatch.setattr(tiny._scorer, "read", batch)
    monkeypatch.setattr(tiny._slots, "read", block)
    scoring = Scoring(ASK, reply_of(2 * M), ((), ()), (TRIALS,) * 2)
    score = threading.Thread(target=tiny.score, args=[scoring])
    reply = threading.Thread(target=ask)
    score.start()
    assert begun.wait(10)
    reply.start()
    while not tiny._scheduler._queue:  # it waits for the batch
        time.sleep(0.001)
    time.sleep(0.2)  # a batch that takes longer than the reply
    asked.set()
    score.join(10)
    reply.join(10)
    assert order == ["batch", "block", "batch"]
