"""app.evaluation.effects: thresholds from random passages, and the command that finds them."""

import json

import pytest

from app.evaluation.effects import Measured, quantiles, settings_of, summarise, write_card
from app.records import Settings
from app.settings import ROOT
from engine.attribution import NeighbourEffect, Thresholds, Unmeasurable
from engine.protocol import Sampling

QUESTIONS = ROOT / "app/evaluation/questions.txt"


def chunk(gain: float, run: int, *shown: tuple[float, int]) -> Measured:
    effects = tuple((NeighbourEffect(value, value, 0.5), shared) for value, shared in shown)
    return Measured((gain,) * 4, (run,) * 4, effects)


def test_the_words_of_shown_passages_are_counted_with_the_thresholds_found():
    measured = [chunk(float(gain), 3) for gain in range(-20, 21)]
    measured += [chunk(0.0, 0, (30.0, 9), (30.0, 2)), chunk(0.0, 0, (-30.0, 9), (1.0, 9))]
    found = summarise(measured)
    assert (found["used"], found["hurt"], found["copied"]) == (18, -18, 4)
    assert (found["chunks"], found["random_passages"], found["shown_passages"]) == (43, 172, 4)
    assert found["words"] == {"copied": 1, "used": 1, "no measurable effect": 1, "hurt": 1}
    assert found["random_gain"]["50%"] == 0


def test_too_few_random_passages_set_no_threshold():
    with pytest.raises(Unmeasurable, match="need 100"):
        summarise([chunk(0.0, 0)])


def test_quantiles_of_nothing_are_left_out():
    assert quantiles([]) == {}
    assert quantiles([float(i) for i in range(101)]) == {"5%": 5, "50%": 50, "95%": 95}


def test_replies_are_greedy_and_as_recommended():
    warm = Settings(Sampling(temperature=0.7, max_tokens=9), k=1)
    greedy, same = settings_of(warm)
    assert same == warm
    assert (greedy.sampling.temperature, greedy.sampling.max_tokens, greedy.k) == (0, 9, 1)
    assert len(settings_of(greedy)) == 1


def test_a_card_keeps_what_it_says_beside_the_thresholds(tmp_path):
    (tmp_path / "card.json").write_text('{"preset": "tiny", "effects": {"used": 9}}')
    write_card(tmp_path, {"effects": {"used": 1.5, "hurt": -2.0, "copied": 4}})
    card = json.loads((tmp_path / "card.json").read_text())
    assert card == {"preset": "tiny", "effects": {"used": 1.5, "hurt": -2.0, "copied": 4}}


def test_there_are_about_a_hundred_different_questions():
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) > 90
    assert all(line.strip() == line and line.endswith("?") for line in lines)


@pytest.mark.slow
def test_the_command_prints_the_thresholds_of_a_model(terminal, tmp_path):
    file = tmp_path / "questions.txt"
    file.write_text("When was the harbour dug?\n\n" + "Why does bread rise?\n" * 4)
    ran = terminal("eval", "effects", file, "--limit", 1)
    assert ran.problem.endswith("ask more questions than 1")
    ran = terminal("eval", "effects", file)
    assert (ran.status, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert Thresholds(found["used"], found["hurt"], found["copied"])
    assert (found["questions"], found["replies"]) == (5, 10)
    assert found["chunks"] == 30
    assert sum(found["words"].values()) == found["shown_passages"] == 60
    assert len(found["database"]) == 64


@pytest.mark.parametrize("content", ["", "\n \n", None])
def test_a_file_without_questions_is_refused(terminal, tmp_path, content):
    file = tmp_path / "questions.txt"
    if content is not None:
        file.write_text(content)
    assert str(file) in terminal("eval", "effects", file).problem
