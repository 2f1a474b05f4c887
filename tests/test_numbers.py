"""app.failures.numbers: quantities, however they are written."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.failures.numbers import quantities


def values(text: str) -> list[float]:
    return [value for q in quantities(text) for value in q.values]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("40,000 and 40 thousand and forty thousand", [40_000] * 3),
        ("1.5 billion, 1,500 million", [1.5e9] * 2),
        ("four thousand million", [4e9]),
        ("three hundred and five, twenty-one, nineteen forty-five", [305, 21, 1945]),
        ("a dozen, half a dozen", [12, 12]),
        ("two or three", [2, 3]),
        ("the nineteenth, the 19th", [19, 19]),
        ("the 1930s, mid-1820", [1930, 1820]),
        ("3 October 1869, 1869-10-03, 3/10/1869", [3, 1869, 1869, 10, 3, 3, 10, 1869]),
        ("88km, 30%, 5 °C, $7", [88, 30, 5, 7]),
        ("7,5 and 7.5", [7.5, 7.5]),
        ("12\u202f345 people", [12_345]),
    ],
)
def test_a_number_is_the_same_however_it_is_written(text: str, expected: list[float]):
    assert values(text) == expected


@pytest.mark.parametrize(
    "text",
    ["H2O and CO2", "COVID-19", "the one", "[3]", "[1, 2]", "1. Flour\n2. Water", "see passage 2",
     "mp3", "x86_64", "thousands of birds", ""],
)  # fmt: skip
def test_names_lists_and_citations_are_no_numbers(text: str):
    assert values(text) == []


@given(st.integers(0, 10**9))
def test_digits_are_read_with_and_without_commas(number: int):
    assert values(f"So {number} it is") == values(f"So {number:,} it is") == [number]


@given(st.text(st.sampled_from("12 ,.:-/ab one hundred and forty k\n")))
def test_spans_are_in_order_and_do_not_overlap(text: str):
    spans = [(q.start, q.end) for q in quantities(text)]
    assert all(start < end for start, end in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
