from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.compose import Application
from app.records import Settings, Turn
from app.store.figures import Day, Gains, Kinds, Reading
from app.store.log import Log
from app.ui.charting import (
    MOST_POINTS,
    Charting,
    agreement,
    by_day,
    by_kind,
    gains_told,
    missed,
    precision,
    ruling_agreement,
)
from tests.casebook import fill

Build = Callable[..., Turn]


@given(
    offsets=st.sets(st.integers(0, 4000), min_size=1, max_size=20),
    counts=st.lists(st.integers(0, 9), min_size=20, max_size=20),
)
def test_points_have_all_days_once_without_a_gap(offsets: set[int], counts: list[int]):
    first = date(2026, 1, 1)
    days = [
        Day(str(first + timedelta(at)), count, warn=count)
        for at, count in zip(sorted(offsets), counts, strict=False)
    ]
    found = by_day(days)
    points = found["points"]
    assert len(points) <= MOST_POINTS
    assert (points[0]["since"], points[-1]["until"]) == (days[0].day, days[-1].day)
    for one, following in pairwise(points):
        assert date.fromisoformat(one["until"]) + timedelta(1) == date.fromisoformat(
            following["since"]
        )
    for name in ("replies", "warn"):
        assert sum(p[name] for p in points) == sum(getattr(d, name) for d in days)


def test_days_stay_days_where_they_are_few():
    found = by_day([Day("2026-02-27", 1), Day("2026-03-02", 2, alert=1)])
    assert found["step"] == 1
    assert [p["since"][5:] for p in found["points"]] == ["02-27", "02-28", "03-01", "03-02"]
    assert by_day([])["points"] == []


KINDS = Kinds(
    {"a": 10, "b": 4},
    {
        ("copy.neighbour", "machine", "open", "a"): 3,
        ("copy.database", "machine", "accepted", "a"): 2,
        ("copy.database", "machine", "disputed", "b"): 1,
        ("copy", "person", "marked", "b"): 5,
        ("toxic", "person", "marked", "a"): 1,
    },
)


def test_kinds_are_put_together_at_the_top_of_their_tree():
    found = by_kind(KINDS)
    assert found["models"] == [{"name": "a", "replies": 10}, {"name": "b", "replies": 4}]
    assert [(row["kind"], row["cells"]) for row in found["rows"]] == [
        ("copy", [{"found": 5, "marked": 0}, {"found": 1, "marked": 5}]),
        ("toxic", [{"found": 0, "marked": 1}, {"found": 0, "marked": 0}]),
    ]


def test_precision_counts_disputed_findings_as_not_accepted():
    database, neighbour = precision(KINDS)
    assert (database["kind"], database["ruled"]["hits"], database["ruled"]["of"]) == (
        "copy.database", 2, 3,
    )  # fmt: skip
    assert neighbour["ruled"]["value"] is None and neighbour["open"] == 3
    assert neighbour["labelled"]["of"] > 0


def test_missed_failures_are_counted_by_reply_in_the_random_sample_alone():
    none, copy = frozenset(), frozenset({"copy.neighbour"})
    readings = [
        Reading("1", "Ada", "sample", none), Reading("1", "Mary", "sample", copy),
        Reading("2", "Ada", "sample", none), Reading("3", "Ada", "flagged", copy),
        Reading("4", "Ada", "chosen", copy),
    ]  # fmt: skip
    found = missed(readings)
    assert (found["share"]["hits"], found["share"]["of"]) == (1, 2)
    assert found["labels"] == [{"kind": "copy", "title": "Copied", "replies": 1}]
    assert missed([])["share"]["value"] is None


@given(
    flagged=st.lists(st.floats(-1e6, 1e6), max_size=40),
    clean=st.lists(st.floats(-1e6, 1e6), max_size=40),
)
def test_every_gain_is_in_one_bin(flagged: list[float], clean: list[float]):
    found = gains_told(Gains(tuple(sorted(flagged)), tuple(sorted(clean)), 3))
    for name, values in (("flagged", flagged), ("clean", clean)):
        assert sum(one[name] for one in found["bins"]) == len(values) == found[name]["count"]
        if values:
            spread = found[name]
            assert min(values) <= spread["low"] <= spread["median"] <= spread["high"] <= max(values)


def test_agreement_is_on_any_failure_and_on_labels_at_the_top():
    readings = [
        Reading("1", "Ada", "sample", frozenset({"copy.neighbour"})),
        Reading("1", "Mary", "sample", frozenset({"copy.database"})),
        Reading("2", "Ada", "flagged", frozenset()), Reading("2", "Mary", "flagged", frozenset()),
    ]  # fmt: skip
    found = agreement(readings)
    assert [(row["title"], row["both"], row["neither"], row["kappa"]) for row in found["rows"]] == [
        ("Any failure", 1, 1, 1.0), ("Copied", 1, 1, 1.0),
    ]  # fmt: skip
    rulings = ruling_agreement({"A": {1: True, 2: False}, "B": {2: True, 1: True}, "C": {9: True}})
    assert [(r["first"], r["second"], r["both"], r["only_second"]) for r in rulings] == [
        ("A", "B", 1, 1)
    ]


@pytest.fixture
def charting(log: Log, toy_turn: Build) -> Charting:
    fill(log, toy_turn, 12)
    return Charting(Application(log, Settings()))


def numbers(answer: dict[str, Any], *path: str) -> int:
    return sum(point[path[-1]] for point in answer[path[0]]["points"])


def test_the_parts_of_the_dashboard_agree(charting: Charting):
    answer = charting.figures({})
    by_days = sum(numbers(answer, "days", n) for n in ("info", "warn", "alert", "marked"))
    cells = [cell for row in answer["kinds"]["rows"] for cell in row["cells"]]
    assert by_days == sum(c["found"] + c["marked"] for c in cells) == answer["cases"]
    assert answer["replies"] == numbers(answer, "days", "replies") == 12
    statuses = ("accepted", "rejected", "disputed", "open")
    ruled = sum(row[status] for row in answer["precision"] for status in statuses)
    assert ruled == sum(c["found"] for c in cells)
    halves = [charting.figures({"model": model})["cases"] for model in answer["models"]]
    assert sum(halves) == answer["cases"]


@pytest.mark.parametrize("asked", [None, [], "x", {}, {"since": ""}])
def test_all_is_counted_where_no_limit_is_sent(charting: Charting, asked: Any):
    assert charting.figures(asked)["replies"] == 12


@pytest.mark.parametrize(
    "asked", [{"since": "x"}, {"model": 3}, {"since": "2026-02-02", "until": "2026-02-01"}]
)
def test_a_limit_without_sense_is_refused(charting: Charting, asked: Any):
    assert charting.figures(asked)["problem"]


def test_an_empty_log_has_an_answer(log: Log):
    answer = Charting(Application(log, Settings())).figures(None)
    assert (answer["replies"], answer["cases"], answer["runs"]) == (0, 0, [])
