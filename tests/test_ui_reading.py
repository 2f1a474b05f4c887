"""app.ui.reading: what the inspector asks for, answered whatever it is."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from app.compose import Application
from app.export import Exchange
from app.failures.detectors import run_detectors
from app.passages import Passages
from app.records import Settings, Turn
from app.turn import Finished
from app.ui.example import Example
from app.ui.measured import NOT_CALIBRATED
from app.ui.reading import Reading, payload_of
from engine.attribution import Thresholds
from engine.protocol import Sampling
from retrieval.protocol import Neighbour
from tests.e2e.scripted import GAINS, HARBOUR

SETTINGS = Settings(Sampling(seed=5))


@pytest.fixture
def reading(scripted: Application) -> Reading:
    return Reading(scripted)


@pytest.fixture
def asked(scripted: Application) -> Callable[..., Turn]:
    """Asks the scripted engine: `asked("Who dug the harbour?")`."""

    def ask(message: str = "Who dug the harbour?", settings: Settings = SETTINGS) -> Turn:
        *_, last = scripted.turns.run(message, settings)
        assert isinstance(last, Finished) and not last.unsaved
        return last.turn

    return ask


@pytest.fixture
def in_library(scripted: Application, passages: Passages) -> Application:
    """The application with a library of six articles."""
    scripted.passages = passages
    return scripted


def showing(turn: Turn, passage: Neighbour) -> Turn:
    """The turn as if it had been shown this passage alone."""
    chunks = tuple(replace(chunk, neighbours=(passage,)) for chunk in turn.reply.chunks)
    return replace(turn, reply=replace(turn.reply, chunks=chunks))


def passage_at(application: Application, position: int) -> Neighbour:
    """A passage of the library, the nth of its document."""
    assert application.passages is not None
    found = application.passages.retrieve("bread", 50)
    return next(n for n in found if n.position == position)


# ----- the payload


def test_a_turn_is_told_with_what_the_log_says_of_it(reading: Reading, asked, scripted):
    turn = asked("loop please")
    scripted.log.judge(turn.id, 0, 1, "not")
    told = reading.inspect(turn.id)
    assert told["turn"] == turn.id and told["text"] == turn.reply.text
    assert [found["kind"] for found in told["findings"]] == [
        found.kind for found in scripted.log.findings(turn.id)
    ]
    ran = [run.detector for run in scripted.log.runs(turn.id)]
    assert [run["detector"] for run in told["ran"]] == ran != []
    assert [card["verdict"] for card in told["chunks"][0]["cards"]] == [None, "not"]
    assert told["measured"] is None


def test_a_turn_that_is_not_in_the_log_is_told_with_the_runs_on_it(log, toy_turn):
    turn = toy_turn(" Well:" + " the heron waits in the reeds" * 6)
    told = payload_of(log, turn, run_detectors(turn))
    assert told["findings"] and told["ran"]
    starts = [found["start"] for found in told["findings"]]
    assert starts == sorted(starts)


# ----- what was measured


def test_what_the_passages_changed_is_measured_once(reading: Reading, asked, scripted, monkeypatch):
    turn = asked()
    told = reading.measure(turn.id)
    tokens = len(turn.reply.tokens)
    assert told["gain"] == pytest.approx(tokens * sum(GAINS.values()), abs=0.01)
    for chunk, effect in zip(turn.reply.chunks, told["chunks"], strict=True):
        size = chunk.last - chunk.first
        helped, hurt = (card["shapley"] for card in effect["cards"])
        assert helped == pytest.approx(size * GAINS[0], abs=0.01)
        assert hurt == pytest.approx(size * GAINS[1], abs=0.01)
    assert {c["word"] for effect in told["chunks"] for c in effect["cards"]} == {NOT_CALIBRATED}
    monkeypatch.setattr(scripted, "_effects", None)  # from now on it can only be read
    assert reading.measure(turn.id) == told == reading.inspect(turn.id)["measured"]


def test_effects_have_words_where_the_model_has_thresholds(reading: Reading, asked, scripted):
    scripted.thresholds = Thresholds(used=0.5, hurt=-0.2, copied=8)
    first, *_ = reading.measure(asked().id)["chunks"]
    assert [card["word"] for card in first["cards"]] == ["copied", "hurt"]


def test_why_nothing_can_be_measured_is_said(reading: Reading, asked, log):
    told = reading.measure(asked(settings=replace(SETTINGS, retrieve=False)).id)
    assert told == {"problem": "no passage was shown while the reply was written"}
    loading = Reading(Application(log, SETTINGS))
    assert "try again when the model is ready" in loading.measure(asked().id)["problem"]


def test_tokens_are_told_of_a_logged_turn(reading: Reading, asked):
    assert "".join(reading.tokens(asked().id)["texts"]) == HARBOUR


# ----- a passage in its document


def test_a_document_is_walked_from_a_passage_to_its_ends(in_library: Application, toy_turn):
    reading = Reading(in_library)
    shown = passage_at(in_library, 1)
    turn = showing(toy_turn(), shown)
    in_library.log.save(turn)
    told = reading.context(turn.id, 0, 0)
    by_place = {p["position"]: p for p in told["passages"]}
    assert told["position"] == 1 and told["title"] == shown.title
    assert by_place[1]["text"] == shown.text and by_place[1]["shown"] == "passage"
    assert by_place[0]["shown"] == "" and set(by_place) <= {0, 1, 2}
    seen, step = [], -1
    while "problem" not in (told := reading.context(turn.id, 0, 0, step)):
        seen.append(told["position"])
        for passage in told["passages"]:
            role = {1: "passage", 2: "continuation" if shown.continuation else ""}
            assert passage["shown"] == role.get(passage["position"], "")
        step += 1
    assert seen == list(range(step + 1)) and len(seen) > 1
    assert f"has {step + 1} passages, none at {step + 2}" in told["problem"]
    assert "none at 0" in reading.context(turn.id, 0, 0, -2)["problem"]


def test_a_passage_that_is_not_in_the_library_is_said_to_be_gone(in_library: Application, toy_turn):
    reading = Reading(in_library)
    there = passage_at(in_library, 0)
    for passage, why in (
        (replace(there, text="It read otherwise."), "is no longer in the library"),
        (replace(there, document_id=999), "is no longer in the library"),
        (replace(there, document_id=-1, chunk_id=-1), "pasted"),
    ):
        turn = showing(toy_turn(), passage)
        in_library.log.save(turn)
        assert why in reading.context(turn.id, 0, 0)["problem"]


# ----- judging, raw, replay


def test_a_judgement_is_saved_and_taken_back(reading: Reading, asked, scripted):
    turn = asked()
    assert reading.judge(turn.id, 2, 1, "useful") == {"verdict": "useful"}
    (saved,) = scripted.log.judgements(turn.id)
    assert (saved.chunk, saved.rank, saved.verdict) == (2, 1, "useful")
    assert reading.judge(turn.id, 2, 1, None) == {"verdict": None}
    assert scripted.log.judgements(turn.id) == ()


@pytest.mark.parametrize("verdict", ["wrong", 3, {"a": 1}, ""])
def test_a_verdict_that_there_is_not_is_refused(reading: Reading, asked, scripted, verdict):
    turn = asked()
    assert "verdict" in reading.judge(turn.id, 0, 0, verdict)["problem"]
    assert scripted.log.judgements(turn.id) == ()


def test_the_raw_turn_is_all_that_the_log_has(reading: Reading, asked):
    turn = asked()
    reading.measure(turn.id)
    reading.judge(turn.id, 0, 0, "not")
    told = reading.raw(turn.id)
    document = json.loads(told["json"])
    assert document["turn"]["id"] == turn.id
    assert document["turn"]["reply"]["text"] == turn.reply.text
    assert document["attribution"]["chunks"] and document["judgements"][0]["verdict"] == "not"
    assert shlex.split(told["command"])[-1] == turn.message


def test_a_replay_is_told_in_words(reading: Reading, asked, log):
    turn = asked()
    told = reading.replay(turn.id)
    assert told["same"] and told["text"].startswith("the same 47 tokens again; passages: same")
    other = replace(turn.reply.tokens[3], id=1, text=" is")
    tokens = (*turn.reply.tokens[:3], other, *turn.reply.tokens[4:])
    log.save(replace(turn, reply=replace(turn.reply, tokens=tokens)))
    told = reading.replay(turn.id)
    assert not told["same"] and told["text"].startswith("differs at token 4: “ is” in the log")


# ----- the example, and what nobody should ask


def test_the_example_is_told_although_it_is_in_no_log(scripted, asked):
    measured = asked()
    Reading(scripted).measure(measured.id)
    attribution = scripted.log.attribution(measured.id)
    example = replace(measured, id="example")
    reading = Reading(scripted, Example(Exchange(example, (), attribution)))
    assert reading.inspect("example")["text"] == example.reply.text
    assert reading.inspect("example")["measured"] == reading.measure("example")
    assert reading.measure("example")["gain"] > 0
    assert "".join(reading.tokens("example")["texts"]) == example.reply.text
    assert json.loads(reading.raw("example")["json"])["turn"]["id"] == "example"
    assert "example" in reading.judge("example", 0, 0, "useful")["problem"]
    bare = Reading(scripted, Example(Exchange(example)))
    assert "nothing was measured on the example" in bare.measure("example")["problem"]


ASKED: dict[str, tuple[Any, ...]] = {
    "inspect": (), "measure": (), "tokens": (), "context": (0, 0, 0), "judge": (0, 0, "useful"),
    "raw": (), "replay": (),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_whatever_is_asked_has_an_answer(reading: Reading, asked, name: str):
    ask = getattr(reading, name)
    known = asked("mute").id
    for turn in ("nowhere", "", None, 7, {"turn": known}, [known]):
        assert set(ask(turn, *ASKED[name])) == {"problem"}
    assert set(ask()) == {"problem"}
    assert set(ask(known, *ASKED[name], "and", "more")) == {"problem"}
    for place in ((9, 0), (0, 9), (-1, 0), ("0", 0), (0.5, 0), (None, None)):
        if name in ("context", "judge"):
            assert set(ask(known, *place, *ASKED[name][2:])) == {"problem"}
