"""The quality and repetition rules, against slow and plain ways to say the same."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.training.quality import QUALITY, Words, first_broken, measure_quality
from engine.training.repeated import COVERED, REPETITION, TOP, measure_repetition

PROSE = " ".join(
    f"The {n} boats of harbour {n} lie in the bay and wait to leave with the tide of {n} o'clock."
    for n in ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
)


def quality(text: str) -> str | None:
    broken = first_broken(QUALITY, measure_quality(text, Words(text)))
    return broken and QUALITY[broken[0]].measure


def repetition(text: str) -> dict[str, float]:
    return measure_repetition(text, Words(text))


def test_the_thresholds_are_those_of_the_paper():
    assert [(b.low, b.high) for b in QUALITY[:6]] == [
        (50, 100_000), (3, 10), (0, 0.1), (0, 0.1), (0, 0.9), (0, 0.3),
    ]  # fmt: skip
    assert (QUALITY[6].low, QUALITY[7].low) == (0.8, 2)
    assert [b.high for b in REPETITION] == [
        0.30, 0.30, 0.20, 0.20, 0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10,
    ]  # fmt: skip


def test_prose_keeps_all_quality_rules():
    assert quality(PROSE) is None


@pytest.mark.parametrize(
    ("text", "measure"),
    [
        ("", "words"),
        ("word", "words"),
        ("The boats of the bay. " * 9, "words"),
        ("the " * 100_001, "words"),
        ("x" * 10_000_000, "words"),
        ("to be of a " * 30, "characters a word"),
        ("the and " + "incomprehensibility " * 50, "characters a word"),
        (PROSE + " #" * 30, "hash symbols a word"),
        (PROSE + " wait..." * 15 + " wait…" * 10, "ellipses a word"),
        ("\n".join("• " + line for line in PROSE.split(". ")),
         "share of lines that begin with a bullet"),
        (PROSE.replace(". ", "…\n", 4), "share of lines that end with an ellipsis"),
        (PROSE + " 12345" * 60, "share of words with a letter"),
        ("boats lie near harbour walls " * 20, "different stop words"),
        ("the boats lie near the harbour " * 20, "different stop words"),
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_a_broken_rule_is_named(text: str, measure: str):
    assert quality(text) == measure


@pytest.mark.parametrize(
    ("count", "kept"), [(49, False), (50, True), (100_000, True), (100_001, False)]
)
def test_the_bounds_on_words_are_included(count: int, kept: bool):
    text = " ".join(["the", "and", *["word"] * (count - 2)])
    assert (quality(text) is None) == kept


def test_letters_of_every_alphabet_are_letters():
    text = "the and " + "слово λόγος 言葉言 " * 20
    assert quality(text) is None


def shares(text: str) -> list[float]:
    """Slow and plain: the shares of n-grams for n = 2 to 10."""
    words = text.split()
    total = max(1, sum(map(len, words)))
    found = []
    for n in (*TOP, *COVERED):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts = Counter(grams)
        if n in TOP:
            sizes = [c * sum(map(len, g)) for g, c in counts.items() if c > 1]
            found.append(max(sizes, default=0) / total)
        else:
            inside = {i + j for i, g in enumerate(grams) if counts[g] > 1 for j in range(n)}
            found.append(sum(len(words[i]) for i in inside) / total)
    return found


@given(st.text(alphabet="ab  \n", max_size=120), st.integers(1, 4))
def test_ngram_shares_equal_the_plain_count(text: str, times: int):
    text = f"{text} " * times
    assert list(repetition(text).values())[4:] == pytest.approx(shares(text))


def test_ngram_shares_of_long_text_equal_the_plain_count():
    rng = random.Random(0)
    text = " ".join(rng.choice(["sea", "bay", "harbour", "of"]) for _ in range(2000))
    assert list(repetition(text).values())[4:] == pytest.approx(shares(text))


def test_a_part_is_duplicate_if_an_equal_one_stands_before_it():
    text = "one line\n\nother\n\none line\n\nlast"
    measures = repetition(text)
    assert measures["share of lines that are duplicates"] == pytest.approx(1 / 4)
    assert measures["share of paragraphs that are duplicates"] == pytest.approx(1 / 4)
    assert measures["share of characters in duplicate lines"] == pytest.approx(8 / 25)
    assert measures["share of characters in duplicate paragraphs"] == pytest.approx(8 / 25)


@pytest.mark.parametrize("text", ["", "one", " \n\n ", "one two"])
def test_short_texts_repeat_nothing(text: str):
    assert set(repetition(text).values()) == {0.0}


def test_text_that_is_said_twice_breaks_a_repetition_rule():
    assert first_broken(REPETITION, repetition(f"{PROSE}\n\n{PROSE}")) is not None
