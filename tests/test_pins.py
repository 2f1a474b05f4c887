"""Pinned passages, and the settings that they become part of."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.compose import Application
from app.records import Settings, Turn
from app.ui.branches import Place
from app.ui.chosen import BadSetting, read_settings, summary
from app.ui.desk import Desk
from app.ui.example import Example
from app.ui.fields import OWN
from app.ui.pins import NotPinned, chips, pin, unpin
from app.ui.underway import Underway
from engine.protocol import Sampling

VALUES = {"temperature": 0.6, "top_p": 0.9, "top_k": 0, "max_tokens": 128, "k": 2,
          "retrieve": True, "in_context": False, "seed": "5"}  # fmt: skip


BASE = Settings()


def read(base: Settings = BASE, pinned: tuple = (), **values) -> Settings:
    return read_settings(base, *(VALUES | values).values(), pinned=pinned)


def test_a_passage_is_pinned_as_it_was_shown_but_for_how_it_was_found(
    toy_turn: Callable[..., Turn],
):
    turn = toy_turn()
    shown = turn.reply.chunks[0].neighbours[1]
    assert pin((), turn, 0, 1) == (replace(shown, distance=None, overlap=0.0),)
    assert chips(pin((), turn, 0, 1)) == {
        "pins": [{"title": "Title 2", "text": "passage 2and on 2"}]
    }


def test_two_passages_are_pinned_each_once(toy_turn: Callable[..., Turn]):
    turn = toy_turn("word " * 70)
    one = pin((), turn, 0, 0)
    with pytest.raises(NotPinned, match="“Title 1” is pinned already"):
        pin(one, turn, 0, 0)
    two = pin(one, turn, 1, 0)
    with pytest.raises(NotPinned, match="unpin one first"):
        pin(two, turn, 0, 1)
    assert unpin(two, 0) == two[1:] and unpin(two, 7) == two


@pytest.mark.parametrize("place", [(0, 2), (9, 0), (-1, 0), (0, -1)])
def test_a_passage_that_is_not_there_cannot_be_pinned(
    toy_turn: Callable[..., Turn], place: tuple[int, int]
):
    with pytest.raises(NotPinned, match="show the reply anew"):
        pin((), toy_turn(), *place)


def test_pins_come_back_from_the_log_with_the_settings_of_the_reply(
    scripted: Application, toy_turn: Callable[..., Turn]
):
    pins = pin((), toy_turn(), 0, 0)
    desk = Desk(scripted, Underway(), Example())
    desk.accept("page", "Who dug the harbour?", read(pinned=pins), Place())
    *_, last = desk.write("page")
    turn = scripted.log.turn(last.place.turns[0])
    assert turn.settings.pinned == pins
    assert all(chunk.neighbours[0] == pins[0] for chunk in turn.reply.chunks)


def test_pins_that_would_not_be_shown_are_refused(toy_turn: Callable[..., Turn]):
    pins = (*pin((), toy_turn(), 0, 0), *pin((), toy_turn(), 0, 1))
    with pytest.raises(
        BadSetting, match="2 passages are pinned, but the settings show the model 1"
    ):
        read(pinned=pins, k=1)
    with pytest.raises(BadSetting, match="turn it on, or unpin them"):
        read(pinned=pins, retrieve=False)


def test_what_no_field_shows_comes_from_the_preset():
    base = Settings(Sampling(seed=1), history=3, follow="chunk", template="{message}")
    settings = read(base, temperature=1.5)
    assert (settings.history, settings.follow, settings.template) == (3, "chunk", "{message}")
    assert settings.sampling == Sampling(1.5, 0, 0.9, 128, 5)


def test_the_closed_form_says_what_is_unusual():
    assert summary(OWN, True) == "Settings for the next reply"
    assert summary("careful", False) == (
        "Settings for the next reply: preset “careful”, retrieval is off"
    )


def test_a_blank_seed_is_drawn_anew():
    assert len({read(seed=" ").sampling.seed for _ in range(4)}) > 1


@pytest.mark.parametrize(
    ("values", "problem"),
    [({"seed": "-1"}, "seed is -1"), ({"seed": "many"}, "the seed is 'many'"),
     ({"temperature": None}, "settings:"), ({"top_p": 0}, "top_p is 0")],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_named(values: dict, problem: str):
    with pytest.raises(BadSetting, match=problem):
        read(**values)
