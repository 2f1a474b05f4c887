from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.failures.endings import find_empty, find_truncated, last_sentence
from app.failures.protocol import NotApplicable
from app.records import Settings, Turn
from engine.protocol import Sampling

Build = Callable[..., Turn]

CUT = "A tide is a wave. It goes round the Ear"


@pytest.mark.parametrize("text", ["", "  \n\n", "...", "—", "👍", "\x00"])
def test_a_reply_without_a_word_is_empty(toy_turn: Build, text: str):
    (finding,) = find_empty(toy_turn(text))
    assert (finding.kind, finding.severity) == ("empty", "warn")
    assert (finding.start, finding.end, finding.quote) == (0, len(text), text)


@pytest.mark.parametrize("text", ["No.", "42", "é", "是", "да"])
def test_a_reply_with_a_word_is_not_empty(toy_turn: Build, text: str):
    assert find_empty(toy_turn(text)) == []


def test_an_empty_reply_that_a_person_stopped_is_only_noted(toy_turn: Build):
    assert find_empty(toy_turn("", finish="stopped"))[0].severity == "info"


@pytest.mark.parametrize(
    ("finish", "severity"),
    [
        ("length", "warn"), ("context", "warn"), ("error", "warn"), ("crashed", "warn"),
        ("stopped", "info"), ("loop", "info"),
    ],
)  # fmt: skip
def test_a_cut_reply_is_named_by_its_cause(toy_turn: Build, finish: str, severity: str):
    (finding,) = find_truncated(toy_turn(CUT, finish=finish))
    assert (finding.kind, finding.severity) == (f"truncated.{finish}", severity)
    assert finding.quote == "It goes round the Ear" == CUT[finding.start : finding.end]
    assert "within a sentence" in finding.explanation


@pytest.mark.parametrize("text", [CUT, "A list:\n- one\n- two", "code()", ""])
def test_a_reply_that_the_model_ended_is_never_truncated(toy_turn: Build, text: str):
    assert find_truncated(toy_turn(text, finish="stop")) == []


def test_a_cut_between_sentences_is_only_noted(toy_turn: Build):
    (finding,) = find_truncated(toy_turn("It rose. “It fell.”\n", finish="length"))
    assert (finding.severity, finding.quote) == ("info", "“It fell.”")
    assert "after a complete sentence" in finding.explanation


def test_the_limit_that_was_reached_is_the_threshold(toy_turn: Build):
    settings = Settings(Sampling(max_tokens=10))
    (finding,) = find_truncated(toy_turn(CUT, finish="length", settings=settings))
    assert (finding.score, finding.threshold) == (10.0, 10.0)
    assert "limit of 10 tokens" in finding.explanation
    (finding,) = find_truncated(toy_turn(CUT, finish="context"))
    assert (finding.score, finding.threshold) == (12 + 10, 2048)


def test_a_reply_cut_before_its_first_word_has_an_empty_span(toy_turn: Build):
    (finding,) = find_truncated(toy_turn("", finish="error", error="out of memory"))
    assert (finding.start, finding.end, finding.quote) == (0, 0, "")
    assert finding.evidence["error"] == "out of memory"


@pytest.mark.parametrize("find", [find_empty, find_truncated])
def test_a_reply_that_is_still_being_written_is_skipped(toy_turn: Build, find: Callable):
    with pytest.raises(NotApplicable, match="still being written"):
        find(toy_turn("", finish="running"))


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("One. Two", "Two"),
        ("One.\nTwo\n", "Two"),
        ("It costs 3.50 a day", "It costs 3.50 a day"),
        ("Why? Because.", "Because."),
        ("😀 Well! 😀 so", "😀 so"),
        ("海です。空", "空"),
        ("- one\n- two", "- two"),
    ],
)
def test_the_last_sentence_is_what_follows_the_last_break(text: str, last: str):
    start, end = last_sentence(text)
    assert text[start:end] == last


@given(st.text(alphabet=st.sampled_from("ab .!?\n”。😀")))
def test_the_last_sentence_is_the_end_of_the_text_without_space_around_it(text: str):
    start, end = last_sentence(text)
    assert 0 <= start <= end <= len(text)
    assert text[end:].strip() == ""
    assert text[start:end] == text[start:end].strip()
    assert bool(text.strip()) == (start < end)
