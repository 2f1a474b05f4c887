from collections.abc import Callable
from dataclasses import replace

import pytest

from app.failures.detectors import DETECTORS, run_detectors
from app.failures.protocol import Detector, NotApplicable
from app.records import Finding, Turn

Build = Callable[..., Turn]

FOUND = Finding("toy", 0, 3, "The", 1.0, 0.5, "info", "Measured.")


def find_one(turn: Turn) -> list[Finding]:
    return [FOUND]


def find_none(turn: Turn) -> list[Finding]:
    return []


def skip(turn: Turn) -> list[Finding]:
    raise NotApplicable("the reply has no passages")


def fail(turn: Turn) -> list[Finding]:
    raise KeyError("gone")


def test_every_detector_leaves_a_run_whatever_happens_to_the_others(toy_turn: Build):
    finds = (fail, find_one, skip, find_none)
    detectors = [Detector(find.__name__, "7", find) for find in finds]
    runs = run_detectors(toy_turn(), detectors)
    assert [(run.detector, run.version, run.status, run.message) for run in runs] == [
        ("fail", "7", "error", "KeyError: 'gone'"),
        ("find_one", "7", "found", ""),
        ("skip", "7", "skipped", "the reply has no passages"),
        ("find_none", "7", "ok", ""),
    ]
    assert [run.findings for run in runs] == [(), (FOUND,), (), ()]
    assert all(run.seconds >= 0 for run in runs)


def test_the_detectors_in_use_have_different_kinds():
    assert len({detector.kind for detector in DETECTORS}) == len(DETECTORS) >= 3


@pytest.mark.parametrize("text", ["", " \n", "\x00", "👍", "a", "!" * 500, "the " * 500, "\ud800"])
@pytest.mark.parametrize("finish", ["stop", "length", "running", "crashed"])
def test_no_reply_makes_a_detector_fail(toy_turn: Build, text: str, finish: str):
    turn = toy_turn(text, finish=finish)
    for run in run_detectors(turn):
        assert run.status != "error", run.message
        for finding in run.findings:
            assert finding.quote == text[finding.start : finding.end]
            assert f"{finding.kind}.".startswith(f"{run.detector}.")


def test_a_looping_reply_is_found_and_a_plain_one_is_clean(toy_turn: Build):
    loop = "It is a tide. " + "The sea comes in and goes out. " * 6
    found = {f.kind for run in run_detectors(toy_turn(loop)) for f in run.findings}
    assert "repetition.loop" in found
    runs = run_detectors(toy_turn("It is a tide."))
    assert [run.findings for run in runs] == [()] * len(DETECTORS)
    assert [run.detector for run in runs if run.status == "skipped"] == ["copy.database"]


def test_findings_do_not_depend_on_how_the_turn_was_asked_for(toy_turn: Build):
    turn = toy_turn("again and again " * 10)
    other = replace(turn, id="x", message="other", database="")
    findings = [[run.findings for run in run_detectors(t)] for t in (turn, other)]
    assert findings[0] == findings[1]
