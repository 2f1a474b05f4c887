"""app.failures.reading: sentences, code, and what was asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.failures.reading import asks_for_fiction, reads_as_english, sentences, without_code


def split(text: str) -> list[str]:
    return [sentence.text for sentence in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rose. “It fell.” And then?", ["It rose.", "“It fell.”", "And then?"]),
        ("Dr. Lind met J. Brandt at 3.15 p.m. on Monday.", None),
        ("It costs 3.50. Good.", ["It costs 3.50.", "Good."]),
        ("- one\n- two\n\n3. three", ["one", "two", "three"]),
        ("海は青い。空も青い。", ["海は青い。", "空も青い。"]),
        ("Wait... what?", ["Wait...", "what?"]),
        ("...\n—\n", []),
        ("A poem\nhas lines", ["A poem", "has lines"]),
    ],
)
def test_sentences_end_where_a_reader_stops(text: str, expected: list[str] | None):
    assert split(text) == ([text] if expected is None else expected)


def test_code_is_passed_over_and_offsets_stay():
    text = "Do this:\n```\nx = 1. y = 2\n```\nThen `run. it` now."
    assert [text[s.start : s.end] for s in sentences(text)] == ["Do this:", "Then `run. it` now."]


@given(st.text(st.sampled_from("aB.!?\n \"”)`~-1。'"), max_size=60))
def test_every_sentence_is_its_span_and_code_keeps_the_length(text: str):
    blank = without_code(text)
    assert len(blank) == len(text)
    assert blank.count("\n") == text.count("\n")
    for sentence in sentences(text):
        assert blank[sentence.start : sentence.end] == sentence.text


@pytest.mark.parametrize(
    ("message", "fiction"),
    [
        ("Write a short poem about rain.", True),
        ("Tell me a joke.", True),
        ("Pretend to be a pirate.", True),
        ("Who wrote the poem?", False),
        ("What is a story?", False),
        ("How high is the tower?", False),
    ],
)
def test_a_message_that_asks_for_something_made_up(message: str, fiction: bool):
    assert asks_for_fiction(message) is fiction


def test_other_languages_do_not_read_as_english():
    assert reads_as_english("The tower is high and it was lit by the keeper in the evening.")
    assert not reads_as_english("Der Turm ist hoch und wurde jeden Abend vom Wärter angezündet.")
