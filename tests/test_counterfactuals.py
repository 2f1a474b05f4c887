"""Turns.vary: the same message again with one thing changed, as a sibling, with a tiny model."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import pytest

from app.changes import (
    BadChange,
    Change,
    OtherPreset,
    OtherSampling,
    OtherSeed,
    Pasted,
    RandomPassages,
    RetrievalOff,
    Without,
)
from app.difference import difference
from app.records import Preset, Settings, Turn
from app.request import NoPassages
from app.store.connection import LogError
from app.store.log import Log
from app.turn import Finished, Started, Turns
from engine.local import LocalEngine
from engine.protocol import Sampling, TokenEvent
from retrieval.protocol import Neighbour

ASKED = Settings(Sampling(temperature=1, top_p=1, max_tokens=20, seed=3))


def passage(i: int) -> Neighbour:
    ids = tuple(range(10 + i, 18 + i))
    return Neighbour(i, i, f"Title {i}", "toy", 0, 0, 9, f"Passage {i}.", "", ids, ids[::-1], 0.5)


def found(query: str, k: int) -> Sequence[Neighbour]:
    return [passage(1), passage(2)][:k]


def draw(count: int, seed: int) -> Sequence[Neighbour]:
    return [passage(100 + j) for j in range(count)]


@pytest.fixture
def turns(tiny: LocalEngine, log: Log) -> Turns:
    tiny.use(found)
    return Turns(
        tiny, log, retrieve=found, database=lambda: "db", draw=draw,
        encode_offsets=tiny.tokenizer.encode_offsets,
    )  # fmt: skip


def say(turns: Turns, settings: Settings = ASKED, after: Turn | None = None) -> Turn:
    place = {"parent": after.id, "conversation": after.conversation} if after else {}
    *_, last = turns.run("When?", settings, **place)
    assert isinstance(last, Finished) and not last.unsaved
    return last.turn


def varied(turns: Turns, turn: Turn, change: Change) -> Turn:
    *_, last = turns.vary(turn.id, change)
    assert isinstance(last, Finished) and not last.unsaved
    return last.turn


def ids_shown(turn: Turn) -> list[list[int]]:
    return [[n.chunk_id for n in chunk.neighbours] for chunk in turn.reply.chunks]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (RetrievalOff(), [[], [], []]),
        (Without(1, "Title 1"), [[2], [2], [2]]),
        (Pasted("The harbour was dug in 1411."), [[-1, 1], [-1, 1], [-1, 1]]),
        (RandomPassages(), [[100, 101], [102, 103], [104, 105]]),
        (OtherSampling(temperature=0.9), [[1, 2], [1, 2], [1, 2]]),
        (OtherSeed(4), [[1, 2], [1, 2], [1, 2]]),
    ],
)
def test_the_model_is_shown_what_the_change_says(turns, log, change, shown):
    turn = say(turns)
    other = varied(turns, turn, change)
    assert ids_shown(turn) == [[1, 2]] * 3
    assert ids_shown(other)[: len(other.reply.chunks)] == shown[: len(other.reply.chunks)]
    assert difference(turn.reply, other.reply).token is not None  # the toy heeds its passages
    assert log.turn(other.id) == other


def test_it_is_a_sibling_in_the_log_with_the_comparison_in_words(turns, log):
    first = say(turns)
    turn = say(turns, after=first)
    other = varied(turns, turn, OtherSampling(temperature=0.9))
    assert (other.parent, other.conversation) == (first.id, turn.conversation)
    assert (other.message, other.settings.sampling.seed) == (turn.message, 3)
    assert log.siblings(turn.id) == (turn.id, other.id)
    (comparison,) = log.comparisons(other.id)
    assert (comparison.a, comparison.b, comparison.vote) == (turn.id, other.id, None)
    assert comparison.change == "temperature 0.9 instead of 1"


def test_the_comparison_is_there_when_the_reply_is_finished(turns, log):
    turn = say(turns)
    with closing(turns.vary(turn.id, OtherSeed(4))) as events:
        for event in events:
            if isinstance(event, Finished):
                assert len(log.comparisons(event.turn.id)) == 1
                break


def test_a_stopped_variant_is_kept_and_compared(turns, log):
    turn = say(turns)
    with closing(turns.vary(turn.id, OtherSeed(4))) as events:
        started = next(events)
        next(event for event in events if isinstance(event, TokenEvent))
    assert isinstance(started, Started)
    assert log.turn(started.turn.id).finish == "stopped"
    assert len(log.comparisons(started.turn.id)) == 1


def test_a_preset_is_taken_from_the_log(turns, log):
    log.save_preset(Preset("Calm", replace(ASKED, sampling=Sampling(0, max_tokens=9, seed=8))))
    settings = varied(turns, say(turns), OtherPreset("Calm")).settings
    assert settings.sampling == Sampling(0, max_tokens=9, seed=3)


def test_the_logged_passage_of_the_prompt_is_used_again(turns, tiny, log):
    turn = say(turns, replace(ASKED, in_context=True))
    later = Turns(
        tiny, log, retrieve=lambda query, k: [passage(9)], database=lambda: "db", draw=draw,
        encode_offsets=tiny.tokenizer.encode_offsets,
    )  # fmt: skip
    assert turn.passage == "Passage 1."
    for change, passed in (
        (OtherSeed(4), "Passage 1."),
        (Without(2, ""), "Passage 1."),
        (Without(1, ""), ""),
        (RetrievalOff(), ""),
        (RandomPassages(), "Passage 100."),
        (Pasted("It was dug. By hand."), "It was dug. By hand."),
    ):
        assert varied(later, turn, change).passage == passed


def test_the_best_passage_is_not_put_into_the_prompt_if_it_is_left_out(turns):
    turn = say(turns, replace(ASKED, in_context=True, without=(1,)))
    assert turn.passage == ""


def test_a_pinned_passage_goes_into_the_prompt_before_the_best_one(turns):
    turn = say(turns, replace(ASKED, in_context=True, pinned=(passage(5),)))
    assert turn.passage == "Passage 5."


def test_what_else_differs_is_said_too(turns, log):
    turn = say(turns)
    model = replace(turn.model, fingerprint="0" * 64)
    log.save(replace(turn, model=model, database="another"))
    other = varied(turns, turn, OtherSeed(4))
    (comparison,) = log.comparisons(other.id)
    assert comparison.change == (
        "seed 4 instead of 3, and with other weights, and from passages that have changed since"
    )


def test_a_change_that_cannot_be_made_leaves_no_trace(turns, log):
    turn = say(turns)
    for change in (OtherSeed(3), Without(99, ""), OtherPreset("Wild")):
        with pytest.raises(BadChange):
            varied(turns, turn, change)
    with pytest.raises(LogError):
        list(turns.vary("nothing", OtherSeed(4)))
    assert log.siblings(turn.id) == (turn.id,)


def test_random_passages_need_a_database(tiny, log):
    turns = Turns(tiny, log)
    tiny.use(None)
    turn = say(turns)
    with pytest.raises(NoPassages):
        varied(turns, turn, RandomPassages())
    assert log.siblings(turn.id) == (turn.id,)


def test_a_comparison_that_could_not_be_saved_is_saved_with_its_turn(turns, log, monkeypatch):
    turn = say(turns)

    def full(*_: object) -> None:
        raise LogError("saving failed: the disk is full")

    with monkeypatch.context() as broken:
        for name in ("start", "progress", "save", "compare"):
            broken.setattr(log, name, full)
        *_, last = turns.vary(turn.id, OtherSeed(4))
        assert isinstance(last, Finished) and "disk is full" in last.unsaved
    assert turns.save_waiting() == ""
    assert len(log.comparisons(last.turn.id)) == 1
