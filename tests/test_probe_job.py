"""The probe's job in the background, what its page may ask for, and one's own prompt."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.compose import Application, Status
from app.probe.anecdote import swapped, what_if
from app.probe.job import Job
from app.probe.records import Plan, ProbeError
from app.probe.running import Part
from app.probe.scoring import Instruments
from app.records import Settings, Turn
from app.store.connection import LogError
from app.store.log import Log
from app.store.probes import Probes
from app.ui.probing import probing
from engine.attribution import Unmeasurable
from tests.e2e.scripted import offsets
from tests.leaning import INFO, SMALL, Leaning, found

Build = Callable[..., Turn]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.probe.running.families", lambda: {"small": SMALL})


# ----- the job of the page


def waited(job: Job) -> str:
    end = time.monotonic() + 20
    while job.state and job.state.stage == "running":
        assert time.monotonic() < end
        time.sleep(0.005)
    assert job.state is not None
    return job.state.stage


def test_a_job_runs_in_the_background_one_at_a_time_and_can_be_cancelled(
    scripted: Application, monkeypatch: pytest.MonkeyPatch
):
    scripted.encode_offsets = offsets
    hold = threading.Event()

    def measure(on, step):
        hold.wait(10)
        step()
        return [], {"effects": []}

    monkeypatch.setattr(
        "app.probe.job.parts_of", lambda plan: [Part("small", "off", "1", 2, measure)] * 1
    )
    job = Job(scripted)
    job.start(Plan(("small",), ("off",)))
    with pytest.raises(ProbeError, match="a probe is running"):
        job.start(Plan(("small",), ("off",)))
    job.cancel()
    assert job.state and job.state.stopping
    hold.set()
    assert waited(job) == "cancelled"
    job.start(Plan(("small",), ("off",)))
    assert waited(job) == "done"
    assert Probes(scripted.log).run(job.state.run).finished


def test_what_a_page_asks_for_is_answered_with_a_problem_and_never_raised(scripted: Application):
    served = {serve.__name__: serve for serve in probing(scripted)}
    for serve in served.values():
        for wanted in (None, 7, "x", [], {"families": [3]}, {"turn": 1}, {"families": ["\ud800"]}):
            assert isinstance(serve(wanted), dict)
    scripted.encode_offsets = offsets
    start = served["probe_start"]
    assert "choose the mode" in start({"families": ["small"], "modes": ["live"]})["problem"]
    assert "no family" in start({"families": ["\ud800"], "modes": ["off"]})["problem"]
    assert "whole number" in start({"families": ["a"], "modes": ["off"], "seed": 0.5})["problem"]


def test_nothing_is_started_while_the_model_is_loading(log: Log):
    app = Application(log, Settings())
    app.status = Status("loading", "Loading the model")
    served = {serve.__name__: serve for serve in probing(app)}
    started = served["probe_start"]({"families": ["small"], "modes": ["off"]})
    assert started == {"problem": "Loading the model; try again when the model is ready"}
    assert served["probe_look"](None)["ready"] is False


# ----- one's own prompt


@pytest.fixture
def engine() -> Leaning:
    return Leaning()


@pytest.fixture
def app(log: Log, engine: Leaning) -> Application:
    app = Application(log, Settings())
    app.attach(engine, found, encode_offsets=offsets)  # type: ignore[arg-type]
    return app


def logged(log: Log, toy_turn: Build, text: str = "It was kind.", **fields) -> Turn:
    turn = toy_turn(text, model=INFO, message="Was the blue boat old?", **fields)
    log.save(turn)
    return turn


def test_a_reply_is_scored_under_both_messages_in_each_mode(app, engine, log: Log, toy_turn: Build):
    turn = logged(log, toy_turn)
    answer = what_if(app, turn.id, "blue", "red")
    assert answer["changed"] == "Was the red boat old?"
    frozen, live, off = answer["modes"]
    assert live["missing"] == "the model was started without passages"
    for mode in (frozen, off):
        assert len(mode["tokens"]) == len(turn.reply.tokens)
        assert sum(mode["tokens"]) == pytest.approx(mode["changed"] - mode["original"], abs=1e-3)
    texts = [s.prompt[-1].text for s in engine.seen]
    assert ["blue" in text for text in texts] == [True, False] * 2
    shown = [s.shown[0] for s in engine.seen]
    assert shown[0] == shown[1] == turn.reply.chunks[0].neighbours
    assert shown[2] == shown[3] == ()
    assert "".join(piece["text"] for piece in answer["pieces"]) == turn.reply.text


def test_found_anew_each_message_has_its_own_passages(
    app, engine, log: Log, toy_turn: Build, monkeypatch: pytest.MonkeyPatch
):
    turn = logged(log, toy_turn)
    on = Instruments(engine, offsets, found)
    monkeypatch.setattr("app.probe.anecdote.instruments_of", lambda app: on)
    live = what_if(app, turn.id, "blue", "red")["modes"][1]
    assert live["missing"] == ""
    titles = [s.shown[0][0].title for s in engine.seen[2:4]]
    assert titles == ["Was the blue boat old?", "Was the red boat old?"]


def test_own_prompts_write_nothing(app, log: Log, toy_turn: Build):
    turn = logged(log, toy_turn)
    before = list(log._writer.iterdump())
    what_if(app, turn.id, "blue", "red")
    assert list(log._writer.iterdump()) == before


def test_only_whole_words_are_changed_and_all_of_them():
    assert swapped("He saw the other; he left.", "he", "she") == "He saw the other; she left."
    assert swapped("a, a b", "a", r"\1") == r"\1, \1 b"
    for word, replacement, said in (
        ("", "x", "the word is empty"), ("a", " ", "the replacement is empty"),
        ("zebra", "x", "does not have “zebra”"), ("a", "a", "are the same"),
        ("a" * 101, "x", "the limit is 100"),
    ):  # fmt: skip
        with pytest.raises(ProbeError, match=said):
            swapped("a dog", word, replacement)


def test_a_reply_that_cannot_be_scored_says_why(app, log: Log, toy_turn: Build):
    other = logged(log, toy_turn, id="other")
    log.save(replace(other, model=replace(INFO, fingerprint="0" * 64)))
    with pytest.raises(Unmeasurable, match="other weights"):
        what_if(app, "other", "blue", "red")
    empty = logged(log, toy_turn, text="", id="empty")
    with pytest.raises(Unmeasurable, match="the reply is empty"):
        what_if(app, empty.id, "blue", "red")
    with pytest.raises(LogError):
        what_if(app, "nowhere", "blue", "red")
