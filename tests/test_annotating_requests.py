"""app.ui.annotating: whatever a page sends, it has an answer."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.compose import Application
from app.records import DetectorRun, Finding, Settings, Turn
from app.store.log import Log
from app.ui.annotating import Annotating

FOUND = Finding("copy.neighbour", 4, 11, "harbour", 3.5, 3.0, "info", "It is long.")
GOOD: dict[str, dict[str, Any]] = {
    "open": {"turn": "flagged", "blind": False},
    "mark": {"turn": "flagged", "label": "wrong", "start": 0, "end": 3, "quote": "The",
             "severity": 1, "note": ""},
    "revise": {"id": "x", "label": "wrong", "severity": 1, "note": ""},
    "withdraw": {"id": "x"},
    "restore": {"id": "x", "turn": "flagged"},
    "rule": {"turn": "flagged", "finding": 1, "ruling": "accepted"},
    "judge": {"turn": "flagged", "chunk": 0, "rank": 0, "verdict": "useful"},
    "close": {"turn": "flagged", "state": "done"},
}  # fmt: skip
NO_KIND: tuple[Any, ...] = ({"a": 1}, [1], 2.5)  # of no field
STRANGE: tuple[Any, ...] = (True, 10**400, -1, 2**60, "\ud800", "nowhere", "x" * 5000, "a\0b")


@pytest.fixture
def app(log: Log, toy_turn: Callable[..., Turn]) -> Application:
    run = DetectorRun("copy", "1", "found", 0.002, (FOUND,))
    log.save(toy_turn("The harbour was dug.", id="flagged"), [run])
    return Application(log, Settings())


@pytest.mark.parametrize("name", GOOD)
def test_whatever_is_sent_has_an_answer(app: Application, name: str):
    serve = getattr(Annotating(app), name)
    for wanted in (None, 7, "flagged", [], {}, {"annotator": "Ada"}, GOOD[name]):
        assert "problem" in serve(wanted)
    for field in (*GOOD[name], "annotator"):
        for value in (*NO_KIND, *STRANGE):
            answer = serve({"annotator": "Ada", **GOOD[name], field: value})
            json.dumps(answer, allow_nan=False)
            assert "Error:" not in answer.get("problem", ""), (field, value)
            assert value not in NO_KIND or set(answer) == {"problem"}, (field, value)


def test_an_error_in_the_program_is_told_and_logged(app: Application, monkeypatch, caplog):
    monkeypatch.setattr(app.marks, "findings", lambda turn: [None])
    answer = Annotating(app).open({"annotator": "Ada", "turn": "flagged", "blind": False})
    assert answer["problem"].startswith("AttributeError") and "flagged" in caplog.text
