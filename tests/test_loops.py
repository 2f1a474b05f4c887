"""app.failures.loops: the two searches for loops find what trying everything finds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.failures.loops import Words, tail_loop, tandem_runs


def slow_runs(folded: list[str]) -> set[tuple[int, int]]:
    """Every stretch with a unit said three times or more, by trying them all."""
    n = len(folded)
    found = {
        (start, end)
        for start in range(n)
        for end in range(start + 6, n + 1)
        for period in range(1, (end - start) // 3 + 1)
        if end - start >= (6 if period == 1 else 12)
        and all(folded[i] == folded[i - period] for i in range(start + period, end))
    }
    return {
        (s, e)
        for s, e in found
        if not any((a, b) != (s, e) and a <= s and e <= b for a, b in found)
    }


@given(st.lists(st.sampled_from("ab"), max_size=40))
@settings(max_examples=150, deadline=None)
def test_runs_are_those_that_trying_everything_finds(folded: list[str]):
    runs = tandem_runs(folded, copies=3, length=12, length_of_one=6)
    assert {(run.start, run.end) for run in runs} == slow_runs(folded)


def slow_tail(items: list[int]) -> tuple[int, int] | None:
    n = len(items)
    for period in range(1, n // 4 + 1):
        length = period
        while length < n and items[n - 1 - length] == items[n - 1 - length + period]:
            length += 1
        if length >= 24 and length // period >= 4:
            return period, length // period
    return None


@given(
    st.lists(st.integers(0, 1), max_size=30),
    st.lists(st.integers(0, 2), min_size=1, max_size=9),
    st.integers(0, 30),
    st.lists(st.integers(0, 1), max_size=2),
)
@settings(max_examples=300, deadline=None)
def test_the_tail_loop_is_the_shortest_that_trying_everything_finds(head, unit, copies, rest):
    items = head + unit * copies + rest
    assert tail_loop(items) == slow_tail(items)


@pytest.mark.parametrize(
    ("items", "found"),
    [
        ([], None),
        ([1] * 23, None),
        ([1] * 24, (1, 24)),
        ([0, 5, 6, 7] + [1, 2, 3, 4, 5, 6, 7] * 3, None),  # three copies
        (list(range(9)) * 4, (9, 4)),
        (["so", "it", "goes", "on", "and", "on", "it"] * 4, (7, 4)),
        ([1, 2] * 50 + [3], None),  # no longer at the end
    ],
)
def test_a_loop_at_the_end_has_four_copies_and_twenty_four_items(items: list, found):
    assert tail_loop(items) == found


def test_words_are_case_folded_with_their_code_points():
    words = Words.of("😀 Don’t STOP 海水")
    assert words.folded == ("don’t", "stop", "海", "水")
    assert words.spans == ((2, 7), (8, 12), (13, 14), (14, 15))
