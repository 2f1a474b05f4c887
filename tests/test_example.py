"""The stored example: on an empty page, in no log, and nothing where there is none."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.compose import Application
from app.export import collect, to_json
from app.records import Settings, Turn
from app.settings import ROOT
from app.store.log import Log
from app.ui.desk import Desk
from app.ui.example import LABEL, QUESTIONS, Example, stored_example
from app.ui.pins import pin
from app.ui.underway import Underway
from engine.card import read_card
from retrieval.protocol import Document
from retrieval.readers import read


@pytest.fixture
def stored(log: Log, toy_turn: Callable[..., Turn], tmp_path: Path) -> Path:
    """An exported conversation, which is then deleted."""
    log.save(toy_turn())
    path = tmp_path / "example.json"
    path.write_text(to_json(collect(log, "toy")), "utf-8")
    log.delete_conversation("toy")
    return path


def test_an_empty_page_shows_the_example_before_the_model_is_ready(log: Log, stored: Path):
    example = stored_example(stored)
    view = Desk(Application(log, Settings()), Underway(), example).open(None)
    assert view.place.turns == () and view.messages == []
    assert view.inspector is not None
    assert view.inspector["example"] == {"label": LABEL, "message": "When was the harbour dug?"}
    assert view.inspector["shown"]["turn"] == example.id
    assert len(view.inspector["shown"]["chunks"][0]["cards"]) == 2
    assert log.conversations() == ()


def test_the_address_of_the_example_shows_the_example(log: Log, stored: Path):
    desk = Desk(Application(log, Settings()), Underway(), example := stored_example(stored))
    assert desk.open(None, example.id) == desk.open(None)
    assert desk.turn(example.id) == example.turn


def test_a_passage_of_the_example_can_be_pinned(log: Log, stored: Path):
    desk = Desk(Application(log, Settings()), Underway(), example := stored_example(stored))
    assert pin((), desk.turn(example.id), 0, 0)[0].title == "Title 1"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "another"}', "\ud800"])
def test_an_unfit_file_is_no_example(tmp_path: Path, text: str):
    path = tmp_path / "example.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert stored_example(path).inspector["shown"] is None


def test_a_conversation_without_turns_is_no_example(stored: Path):
    document = json.loads(stored.read_text("utf-8"))
    stored.write_text(json.dumps(document | {"turns": []}), "utf-8")
    assert stored_example(stored).turn is None


def test_without_an_example_the_page_is_as_empty(log: Log, tmp_path: Path):
    missing = stored_example(tmp_path / "nowhere.json")
    for example in (missing, Example()):
        view = Desk(Application(log, Settings()), Underway(), example).open(None)
        assert view.inspector == {"conversation": None, "turns": [], "shown": None}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_library_has_an_article_for_each_question_to_begin_with(question: str):
    library = read([ROOT / "retrieval/library"])
    titles = [item.title.casefold() for item in library if isinstance(item, Document)]
    words = re.findall(r"\w+", question.casefold())
    assert [title for title in titles if title.split()[0] in words]


def test_the_example_that_ships_was_written_by_the_model_that_ships():
    """Else make it anew: ask, open the page once so that it is measured, and `log export`."""
    example, card = stored_example(), read_card(ROOT / "engine/weights/retro-mini")
    assert example.turn is not None and example.attribution is not None
    assert example.turn.model.fingerprint == card["sha256"]
    assert example.turn.model.note == card["note"]
    assert example.turn.message in QUESTIONS
