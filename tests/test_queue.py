from collections import Counter
from collections.abc import Callable

import pytest

from app.records import DetectorRun, Finding, Turn
from app.store.ids import new_id
from app.store.log import Log
from app.store.marks import Marks
from app.store.queue import RATIO, Queue

FOUND = Finding("copy.neighbour", 0, 3, "The", 3.5, 3.0, "info", "It is long.")
RUNS = (DetectorRun("copy", "1", "found", 0.002, (FOUND,)),)
CLEAN = (DetectorRun("copy", "1", "ok", 0.002),)


@pytest.fixture
def fill(log: Log, toy_turn: Callable[..., Turn]) -> Callable[[int, int], None]:
    """Saves so many flagged turns, and so many others."""

    def save(flagged: int, others: int) -> None:
        for i in range(flagged + others):
            log.save(toy_turn(id=new_id()), RUNS if i < flagged else CLEAN)

    return save


def read(log: Log, annotator: str, state: str = "done") -> list[tuple[str, str]]:
    """Reads the whole queue; what came up and how it was drawn, in order."""
    queue, marks, seen = Queue(log), Marks(log), []
    while (place := queue.next(annotator)).turn:
        assert len(seen) == place.done + place.skipped < place.total
        marks.begin(place.turn, annotator, place.drawn, blind=False)
        marks.close(place.turn, annotator, state)  # type: ignore[arg-type]
        seen.append((place.turn, place.drawn))
    assert place.total == len(seen)
    return seen


@pytest.mark.parametrize(
    ("flagged", "others", "sample"),
    [(0, 0, 0), (0, 5, 1), (5, 0, 0), (1, 5, 1), (6, 9, 3), (7, 9, 4), (9, 2, 2)],
)
def test_every_flagged_reply_comes_up_and_one_other_for_two_of_them(
    log: Log, fill: Callable[[int, int], None], flagged: int, others: int, sample: int
):
    fill(flagged, others)
    seen = read(log, "Ada")
    assert len(set(seen)) == len(seen)
    assert Counter(drawn for _, drawn in seen) == Counter(
        {key: n for key, n in {"flagged": flagged, "sample": sample}.items() if n}
    )


def test_the_sample_is_mixed_in_where_nobody_can_count_it(
    log: Log, fill: Callable[[int, int], None]
):
    fill(16, 8)
    drawn = [drawn for _, drawn in read(log, "Ada")]
    blocks = [drawn[i : i + RATIO + 1] for i in range(0, len(drawn), RATIO + 1)]
    assert [block.count("sample") for block in blocks] == [1] * 8
    assert len({block.index("sample") for block in blocks}) > 1


def test_what_is_drawn_as_flagged_has_a_finding(log: Log, fill: Callable[[int, int], None]):
    fill(6, 6)
    for turn, drawn in read(log, "Ada"):
        assert bool(log.findings(turn)) == (drawn == "flagged")


def test_two_annotators_read_the_same_replies_in_the_same_order(
    log: Log, fill: Callable[[int, int], None]
):
    fill(6, 40)
    assert read(log, "Ada") == read(log, "Grace", "skipped")


def test_the_order_is_not_that_of_arrival(log: Log, fill: Callable[[int, int], None]):
    fill(30, 0)
    turns = [turn for turn, _ in read(log, "Ada")]
    assert turns != sorted(turns)


def test_the_current_reply_is_passed_over_and_comes_back(
    log: Log, fill: Callable[[int, int], None]
):
    fill(2, 0)
    queue = Queue(log)
    first = queue.next("Ada").turn
    assert first and queue.next("Ada", current=first).turn not in (None, first)
    assert queue.next("Ada").turn == first


def test_an_open_review_is_still_to_be_done(log: Log, fill: Callable[[int, int], None]):
    fill(1, 0)
    queue = Queue(log)
    turn = queue.next("Ada").turn
    assert turn
    Marks(log).begin(turn, "Ada", "flagged", blind=False)
    assert queue.next("Ada").turn == turn


def test_a_reply_that_is_being_written_is_in_no_queue(log: Log, toy_turn: Callable[..., Turn]):
    log.start(toy_turn())
    place = Queue(log).next("Ada")
    assert (place.turn, place.total) == (None, 0)
