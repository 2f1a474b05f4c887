"""What the runs page asks for: presets of the log, and the prompt of a sample message."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.compose import Application
from app.prompt import LaidOut, Piece
from app.records import Preset, Settings
from app.store.connection import LogError
from app.store.presets import NAME
from app.ui.fields import OWN, values_of
from app.ui.presets import Presets, fit_name, free_name
from app.ui.preview import Preview, parts_of, prompt_of
from engine.protocol import Sampling
from tests.bag import word_offsets
from tests.e2e.scripted import ScriptedEngine, passage

DEFAULTS = Settings(Sampling(temperature=0.2, max_tokens=64), history=0)
VALUES = values_of(DEFAULTS)


@pytest.fixture
def application(log) -> Application:
    return Application(log, DEFAULTS)


@pytest.fixture
def presets(application: Application) -> Presets:
    return Presets(application)


def names(answer: dict) -> list[str]:
    return [preset["name"] for preset in answer["presets"]]


def values(answer: dict, name: str) -> dict:
    return next(p["values"] for p in answer["presets"] if p["name"] == name)


# ----- presets


def test_the_models_own_settings_are_a_preset_and_the_first_default(presets: Presets):
    answer = presets.look()
    assert names(answer) == [OWN] and answer["preferred"] == OWN
    assert values(answer, OWN) == VALUES


def test_a_preset_is_made_with_the_values_given(presets: Presets, application: Application):
    answer = presets.save("  Warm\n one ", {**VALUES, "temperature": "1.5", "k": 1})
    assert answer["done"] == "Warm one" and "problems" not in answer
    (kept,) = application.log.presets()
    assert kept.name == "Warm one" and not kept.default
    assert kept.settings == replace(
        DEFAULTS, k=1, sampling=replace(DEFAULTS.sampling, temperature=1.5)
    )


def test_a_changed_preset_keeps_its_name_and_stays_the_default(
    presets: Presets, application: Application
):
    presets.save("Warm", VALUES)
    presets.prefer("Warm")
    presets.save("Warm", {**VALUES, "top_k": 5}, "Warm")
    (kept,) = application.log.presets()
    assert kept.default and kept.settings.sampling.top_k == 5


def test_what_no_field_shows_is_kept_by_a_change(presets: Presets, application: Application):
    application.log.save_preset(Preset("Odd", replace(DEFAULTS, without=(7,), random=True)))
    presets.save("Odd", {**VALUES, "k": 1}, "Odd")
    (kept,) = application.log.presets()
    assert kept.settings == replace(DEFAULTS, k=1, without=(7,), random=True)


def test_a_renamed_preset_leaves_no_old_one_and_stays_the_default(presets: Presets):
    presets.save("Warm", {**VALUES, "top_k": 5})
    presets.prefer("Warm")
    answer = presets.save("warm", {**VALUES, "top_k": 5}, "Warm")
    assert names(answer) == [OWN, "warm"] and answer["preferred"] == "warm"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("", "no name"),
        (" \u200b\n", "no name"),
        (None, "no name"),
        ("x" * (NAME + 1), f"{NAME + 1} characters; the limit is {NAME}"),
        ("WARM", "already a preset “Warm”"),
        (OWN.upper(), f"already a preset “{OWN}”"),
    ],
)
def test_a_bad_name_is_refused_beside_its_field_and_nothing_changes(
    presets: Presets, name, answer: str
):
    before = presets.save("Warm", VALUES)
    after = presets.save(name, {**VALUES, "top_k": 5})
    assert answer in after["problems"]["name"]
    assert after["presets"] == before["presets"] and "done" not in after


def test_a_bad_name_and_bad_values_are_said_together(presets: Presets):
    answer = presets.save("", {**VALUES, "k": 9})
    assert set(answer["problems"]) == {"name", "k"}


def test_a_change_of_a_preset_that_is_gone_does_not_bring_it_back(presets: Presets):
    answer = presets.save("Warm", VALUES, "Warm")
    assert "no preset “Warm” any more" in answer["problems"][""]
    assert names(answer) == [OWN]


def test_copies_have_names_of_their_own(presets: Presets):
    presets.save("Warm", {**VALUES, "top_k": 5})
    assert presets.copy("Warm")["done"] == "Warm (copy)"
    answer = presets.copy("Warm")
    assert answer["done"] == "Warm (copy 2)"
    assert values(answer, "Warm (copy 2)") == {**VALUES, "top_k": 5}
    assert presets.copy(OWN)["done"] == f"{OWN} (copy)"


def test_deleting_the_default_gives_the_models_own_its_place_back(presets: Presets):
    presets.save("Warm", VALUES)
    assert presets.prefer("Warm")["preferred"] == "Warm"
    answer = presets.delete("Warm")
    assert names(answer) == [OWN] and answer["preferred"] == OWN
    assert "problems" not in presets.delete("Warm")


def test_the_models_own_preset_stays(presets: Presets):
    answer = presets.delete(OWN)
    assert "cannot be deleted" in answer["problems"][""] and names(answer) == [OWN]


def test_one_preset_is_the_default_or_none(presets: Presets, application: Application):
    for name in ("A", "B"):
        presets.save(name, VALUES)
    presets.prefer("A")
    presets.prefer("B")
    assert [p.name for p in application.log.presets() if p.default] == ["B"]
    assert presets.prefer(OWN)["preferred"] == OWN
    assert application.log.default_preset() is None
    assert "any more" in presets.prefer("C")["problems"][""]


def test_a_log_that_cannot_be_written_is_said_in_words(
    presets: Presets, application: Application, monkeypatch: pytest.MonkeyPatch
):
    def full(*_):
        raise LogError("the disk is full")

    monkeypatch.setattr(application.log, "save_preset", full)
    answer = presets.save("Warm", VALUES)
    assert answer["problems"] == {"": "the disk is full"} and names(answer) == [OWN]


@given(st.text(max_size=80))
def test_a_name_that_is_taken_as_fit_can_be_saved(text: str):
    try:
        name = fit_name(text, [])
    except ValueError:
        return
    assert name == " ".join(name.split()) and 1 <= len(name) <= NAME
    assert fit_name(name, []) == name
    assert len(free_name(name, {})) <= NAME


# ----- the prompt of a sample message


@pytest.fixture
def ready(application: Application) -> Application:
    application.attach(ScriptedEngine(), lambda query, k: [passage(i) for i in range(k)])
    application.encode_offsets = word_offsets
    return application


def test_the_pieces_and_their_padding_fill_chunks(ready: Application):
    prompt = Preview(ready).look("Why does the Moon have phases?", VALUES)
    (piece,) = prompt["pieces"]
    assert piece["text"] == "USER: Why does the Moon have phases?\nGOPHER:"
    assert (piece["tokens"], piece["padding"]) == (8, 56)
    assert (prompt["text"], prompt["padding"], prompt["total"]) == (8, 56, 64)
    assert prompt["left"] == prompt["context"] - 64 - 64


def test_a_template_and_a_passage_are_rendered(ready: Application):
    wanted = {**VALUES, "template": "Read: {passage}\n\nQ: {message}\nA:", "in_context": True}
    (piece,) = Preview(ready).look("Who?", wanted)["pieces"]
    assert piece["text"].startswith("Read: Records say") and piece["text"].endswith("Q: Who?\nA:")


def test_earlier_exchanges_are_shown_as_settings_say(ready: Application, toy_turn):
    turn = toy_turn()
    ready.log.save(turn)
    look = Preview(ready).look
    assert len(look("And then?", VALUES, turn.id)["pieces"]) == 1
    labels = [p["label"] for p in look("And then?", {**VALUES, "history": 1}, turn.id)["pieces"]]
    assert labels == ["Earlier exchange", "Earlier exchange", "This exchange"]


@pytest.mark.parametrize(
    ("message", "changed", "field"),
    [
        ("Who?", {"template": "{message} {other}"}, "template"),
        ("Who?", {"top_p": ""}, "top_p"),
        ("  ", {}, "message"),
        (None, {}, "message"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    ready: Application, message, changed: dict, field: str
):
    assert set(Preview(ready).look(message, {**VALUES, **changed})["problems"]) == {field}


def test_before_the_model_is_ready_there_is_nothing_to_count(application: Application):
    assert set(Preview(application).look("Who?", VALUES)) == {"waiting"}


def test_an_earlier_turn_that_is_gone_is_a_problem_in_words(ready: Application):
    answer = Preview(ready).look("Who?", {**VALUES, "history": 1}, "gone")
    assert "gone" in answer["problem"]


def test_a_reply_that_does_not_fit_beside_the_prompt_is_counted():
    shown = LaidOut((Piece("a b", 2, 62),), 64, 100)
    assert prompt_of(shown, DEFAULTS, 64)["left"] == -28


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_the_parts_of_a_piece_are_its_text(tokenizer, text: str):
    offsets = tokenizer.encode_offsets
    parts = parts_of(Piece(text, len(offsets(text)), 0), offsets)
    assert parts is not None and "".join(parts) == text


def test_a_piece_that_was_written_with_other_tokens_is_shown_whole():
    assert parts_of(Piece("two words", 3, 0), word_offsets) is None
    assert parts_of(Piece("two words", 2, 0), None) is None
