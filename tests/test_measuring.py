"""app.effects: a logged reply is measured once, on the prompt and with the model that it had."""

import threading
from dataclasses import replace

import pytest

from app.compose import Application
from app.effects import CONTROLS, Effects, check, controls_for, seed_of, thresholds_of
from app.records import Settings, Turn
from app.store.connection import LogError
from app.turn import Finished, Turns
from engine.attribution import Thresholds, Unmeasurable
from engine.card import CheckpointError
from engine.protocol import ChunkScores, Sampling, Score, Scoring
from tests.terminal import ARTICLES

SETTINGS = Settings(Sampling(max_tokens=11, seed=3))


def nothing(count: int, seed: int) -> tuple:
    return ()


class Scripted:
    """Scores every token at -1 and every passage at 1 nat; keeps what it was asked."""

    def __init__(self, info, fail: bool = False):
        self.info, self.fail, self.asked = info, fail, []

    def count(self, text: str) -> int:
        return len(text.split())

    def generate(self, request):
        raise AssertionError("measuring writes nothing")

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        self.asked.append(scoring)
        if self.fail:
            raise RuntimeError("out of memory")
        trials = scoring.trials or ((),) * len(scoring.shown)
        left, scored = list(scoring.tokens), []
        for shown, tried in zip(scoring.shown, trials, strict=True):
            here, left = left[:64], left[64:]

            as_shown, *others = (
                Score((-1.0 + len(found),) * len(here), (0.5,) * len(found))
                for found in (shown, *tried)
            )
            scored.append(ChunkScores(as_shown, tuple(others)))
        return tuple(scored)


@pytest.fixture
def turn(log, toy_turn) -> Turn:
    turn = toy_turn("one " * 70)
    log.save(turn)
    return turn


def test_a_logged_reply_gives_its_effects_and_keeps_them(log, tiny, passages):
    tiny.use(passages.retrieve)
    turns = Turns(tiny, log, retrieve=passages.retrieve)
    *_, first = turns.run("When was the harbour dug?", SETTINGS)
    assert isinstance(first, Finished)
    *_, second = turns.run(
        "By whom?", SETTINGS, conversation=first.turn.conversation, parent=first.turn.id
    )
    assert isinstance(second, Finished)
    effects = Effects(tiny, log, passages.draw)
    for turn in (first.turn, second.turn):
        found = effects.measure(turn.id)
        on = [p for chunk in found.chunks for p in chunk.on]
        # written by the kernels, scored by the definition: rounding may fall the other way
        assert on == pytest.approx([t.logprob for t in turn.reply.tokens], abs=0.05)
        assert [len(c.neighbours) for c in found.chunks] == [2, 2]
        assert all(len(c.controls) == CONTROLS for c in found.chunks)
        assert log.attribution(turn.id) == found


def test_what_was_measured_is_not_measured_again(log, turn):
    engine = Scripted(turn.model)
    found = Effects(engine, log, nothing).measure(turn.id)
    assert [n.shapley for n in found.chunks[0].neighbours] == [64, 64]
    asked = len(engine.asked)
    assert Effects(engine, log, nothing).measure(turn.id) == found
    assert len(engine.asked) == asked > 0


def test_callers_at_the_same_time_share_one_measurement(log, turn):
    entered, release = threading.Event(), threading.Event()

    class Slow(Scripted):
        def score(self, scoring):
            entered.set()
            assert release.wait(10)
            return super().score(scoring)

    effects = Effects(engine := Slow(turn.model), log, nothing)
    found: list = []
    callers = [
        threading.Thread(target=lambda: found.append(effects.measure(turn.id))) for _ in range(3)
    ]
    for caller in callers:
        caller.start()
    assert entered.wait(10)
    release.set()
    for caller in callers:
        caller.join(10)
    assert len(found) == 3
    assert found[0] == found[1] == found[2]
    assert [s.trials != () for s in engine.asked] == [True, False]  # its chunks, and it bare


def test_a_failure_is_raised_and_can_be_tried_again(log, turn):
    engine = Scripted(turn.model, fail=True)
    effects = Effects(engine, log, nothing)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of memory"):
            effects.measure(turn.id)
    assert log.attribution(turn.id) is None
    engine.fail = False
    assert effects.measure(turn.id) == log.attribution(turn.id)


def test_a_log_that_cannot_be_written_does_not_lose_the_result(log, turn, monkeypatch):
    def full(*_: object) -> None:
        raise LogError("the disk is full")

    monkeypatch.setattr(log, "save_attribution", full)
    assert Effects(Scripted(turn.model), log, nothing).measure(turn.id).chunks


def test_an_unknown_turn_is_an_error(log, turn):
    with pytest.raises(LogError, match="nothing"):
        Effects(Scripted(turn.model), log, nothing).measure("nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "a" * 64}, r"other weights \(ffffffffffff\) than .*\(aaaaaaaaaaaa\)"),
        ({"tokenizer": "b" * 64}, r"other tokenizer \(eeeeeeeeeeee\) than .*\(bbbbbbbbbbbb\)"),
    ],
    ids=["weights", "tokenizer"],
)
def test_a_reply_of_another_model_cannot_be_measured(log, turn, change, message):
    engine = Scripted(replace(turn.model, **change))
    with pytest.raises(Unmeasurable, match=message):
        Effects(engine, log, nothing).measure(turn.id)
    assert engine.asked == []


def test_a_reply_that_no_passage_can_have_changed_cannot_be_measured(toy_turn):
    turn = toy_turn()
    gopher = replace(turn.model, preset="gopher-mini")
    with pytest.raises(Unmeasurable, match="gopher-mini, a model without retrieval"):
        check(replace(turn, model=gopher), gopher)
    bare = tuple(replace(chunk, neighbours=()) for chunk in turn.reply.chunks)
    with pytest.raises(Unmeasurable, match="no passage was shown"):
        check(replace(turn, reply=replace(turn.reply, chunks=bare)), turn.model)
    with pytest.raises(Unmeasurable, match="still being written"):
        check(replace(turn, finish="running"), turn.model)
    check(turn, turn.model)


# ----- control passages


def test_passages_are_drawn_once_each_and_the_same_for_a_seed(passages):
    drawn = passages.draw(4, 7)
    assert len({n.chunk_id for n in drawn}) == 4
    assert passages.draw(4, 7) == drawn
    assert any(passages.draw(4, seed) != drawn for seed in range(3))


def test_no_more_passages_are_drawn_than_there_are(passages):
    drawn = passages.draw(1000, 0)
    assert {n.title for n in drawn} == set(ARTICLES)
    assert len({n.chunk_id for n in drawn}) == len(drawn) < 1000


def test_controls_are_of_other_documents_than_those_shown(passages, toy_turn):
    turn = toy_turn()
    (chunk,) = turn.reply.chunks
    shown = tuple(passages.retrieve("When was the harbour dug?", 2))
    reply = replace(turn.reply, chunks=(replace(chunk, neighbours=shown),))
    for seed in range(8):
        controls = controls_for(reply, passages.draw, seed)
        assert len(controls) == CONTROLS
        assert not {n.document_id for n in controls} & {n.document_id for n in shown}


def test_the_seed_of_a_turn_is_its_own():
    assert seed_of("a") == seed_of("a") != seed_of("b")


# ----- the application


def test_thresholds_come_from_the_model_card():
    card = {"effects": {"used": 1.5, "hurt": -2, "copied": 6, "command": "python app.py eval"}}
    assert thresholds_of(card) == Thresholds(1.5, -2.0, 6)
    assert thresholds_of({}) is None


@pytest.mark.parametrize(
    "unfit",
    [
        {"used": -1, "hurt": -2, "copied": 6}, {"used": 1, "hurt": 2, "copied": 6},
        {"used": 1, "hurt": -2, "copied": 0}, {"used": 1, "hurt": -2, "copied": 2.5},
        {"used": float("nan"), "hurt": -2, "copied": 6}, {"used": "much", "hurt": -2, "copied": 6},
        {"used": 1, "hurt": float("-inf"), "copied": 6}, {"used": 1, "hurt": -2}, [], None,
        {"used": 1, "hurt": -2, "copied": float("inf")},
    ],
)  # fmt: skip
def test_unfit_thresholds_are_refused(unfit):
    with pytest.raises(CheckpointError, match='"effects" in the model card are unfit'):
        thresholds_of({"effects": unfit})


def test_effects_are_there_when_the_model_is(log, turn):
    application = Application(log, Settings())
    with pytest.raises(RuntimeError, match="try again when the model is ready"):
        _ = application.effects
    application.attach(Scripted(turn.model), None)
    assert application.effects.measure(turn.id).chunks
