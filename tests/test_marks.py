import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.failures.taxonomy import taxonomy
from app.records import DetectorRun, Finding, Turn
from app.store.connection import LogError
from app.store.ids import new_id
from app.store.log import Log
from app.store.marks import Marks

Build = Callable[..., Turn]
FOUND = Finding("copy.neighbour", 4, 11, "harbour", 3.5, 3.0, "warn", "It is long.")
RUNS = (DetectorRun("copy", "1", "found", 0.002, (FOUND,)),)
REPLY = "The 🌊 harbour was dug."


@pytest.fixture
def marks(log: Log, toy_turn: Build) -> Marks:
    """The marks of a log with the turn "t", which has one finding."""
    log.save(toy_turn(REPLY, id="t"), RUNS)
    return Marks(log)


def status(log: Log) -> str:
    with log.reading("looking") as db:
        return db.execute("SELECT status FROM findings").fetchone()[0]


# ----- annotations


def test_an_annotation_quotes_its_code_points(marks: Marks):
    made = marks.annotate("t", "Ada", "wrong", (4, 13), severity=3, note="why", blind=True)
    assert made.quote == "🌊 harbour" == REPLY[4:13]
    assert marks.annotations("t") == (made,)
    assert (made.severity, made.note, made.blind) == (3, "why", True)
    assert made.version == taxonomy().version


def test_annotations_may_overlap_and_come_in_the_order_of_the_reply(marks: Marks):
    spans = [(6, 13), (0, len(REPLY)), (4, 8), (6, 13)]
    for span in spans:
        marks.annotate("t", "Ada", "wrong", span)
    assert [(a.start, a.end) for a in marks.annotations("t")] == sorted(spans)


def test_a_revised_annotation_takes_the_place_of_the_old_one_which_stays(marks: Marks, log: Log):
    old = marks.annotate("t", "Ada", "wrong", (0, 3), note="kept")
    new = marks.revise(old.id, "Ada", label="copy", span=(6, 13), severity=1)
    assert marks.annotations("t") == (new,)
    assert (new.supersedes, new.quote, new.note, new.severity) == (old.id, "harbour", "kept", 1)
    with log.reading("looking") as db:
        rows = db.execute("SELECT label, withdrawn IS NULL FROM annotations ORDER BY id").fetchall()
    assert rows == [("wrong", 0), ("copy", 1)]


@given(steps=st.lists(st.sampled_from(["revise", "withdraw"]), max_size=6))
def test_restoring_undoes_whatever_came_after(shared_log: Log, toy_turn: Build, steps: list[str]):
    marks, turn = Marks(shared_log), toy_turn(REPLY, id=new_id())
    shared_log.save(turn)
    first = marks.annotate(turn.id, "Ada", "wrong", (0, 3))
    last = first
    undo = []
    for step in steps:
        undo.append(last.id)
        if step == "withdraw":
            marks.withdraw(last.id, "Ada")
            break
        last = marks.revise(last.id, "Ada", note=last.note + "x")
    for id in reversed(undo):
        marks.restore(id, "Ada")
    assert marks.annotations(turn.id) == (first,)


def test_another_ones_annotation_stays_as_it_is(marks: Marks):
    made = marks.annotate("t", "Ada", "wrong", (0, 3))
    for change in (
        lambda: marks.revise(made.id, "Grace", severity=1),
        lambda: marks.withdraw(made.id, "Grace"),
        lambda: marks.restore(made.id, "Grace"),
    ):
        with pytest.raises(LogError, match="Ada's"):
            change()
    assert marks.annotations("t") == (made,)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"label": "nonsense"}, "no label 'nonsense'"),
        ({"span": (0, 99)}, "which has 22"),
        ({"span": (5, 4)}, "5 to 4"),
        ({"span": (-1, 4)}, "-1 to 4"),
        ({"severity": 4}, "a severity is 4"),
        ({"severity": 0}, "a severity is 0"),
        ({"note": "x" * 5000}, "5,000"),
        ({"annotator": " "}, "name has 0"),
        ({"annotator": "x" * 61}, "name has 61"),
        ({"turn_id": "gone"}, "no turn gone"),
    ],
)
def test_a_bad_annotation_is_refused_and_leaves_nothing(marks: Marks, given: dict, said: str):
    good = {"turn_id": "t", "annotator": "Ada", "label": "wrong", "span": (0, 3)}
    with pytest.raises(LogError, match=said):
        marks.annotate(**(good | given))
    assert marks.annotations("t") == ()


def test_a_withdrawn_annotation_can_only_be_restored(marks: Marks):
    made = marks.annotate("t", "Ada", "wrong", (0, 3))
    marks.withdraw(made.id, "Ada")
    with pytest.raises(LogError, match="restore it first"):
        marks.revise(made.id, "Ada", severity=1)
    marks.restore(made.id, "Ada")
    assert marks.annotations("t") == (made,)


def test_a_reply_that_is_being_written_cannot_be_marked(marks: Marks, log: Log, toy_turn: Build):
    log.start(toy_turn(id="running", parent="t"))
    with pytest.raises(LogError, match="still being written"):
        marks.annotate("running", "Ada", "wrong", (0, 1))


def test_half_a_character_in_a_note_is_stored_as_the_replacement(marks: Marks):
    marks.annotate("t", "Ada", "wrong", (0, 3), note="x\ud800")
    assert marks.annotations("t")[0].note == "x\ufffd"


# ----- rulings


def test_the_status_of_a_finding_follows_the_rulings(marks: Marks, log: Log):
    (logged,) = marks.findings("t")
    assert (logged.finding, logged.rulings, status(log)) == (FOUND, {}, "open")
    seen = []
    for name, ruling in [
        ("Ada", "accepted"), ("Grace", "accepted"), ("Grace", "rejected"), ("Ada", "rejected"),
        ("Ada", None), ("Grace", None), ("Grace", None),
    ]:  # fmt: skip
        marks.rule(logged.id, name, ruling)
        seen.append(status(log))
    assert seen == ["accepted", "accepted", "disputed", "rejected", "rejected", "open", "open"]
    marks.rule(logged.id, "Ada", "rejected")
    assert marks.findings("t")[0].rulings == {"Ada": "rejected"}


def test_a_bad_ruling_is_refused(marks: Marks):
    with pytest.raises(LogError, match="no finding 99"):
        marks.rule(99, "Ada", "accepted")
    with pytest.raises(LogError, match="give accepted or rejected"):
        marks.rule(marks.findings("t")[0].id, "Ada", "maybe")  # type: ignore[arg-type]


# ----- reviews


def test_a_review_is_begun_and_ended(marks: Marks):
    assert marks.review("t", "Ada") is None
    marks.begin("t", "Ada", "sample", blind=True)
    marks.close("t", "Ada", "done")
    review = marks.review("t", "Ada")
    assert review and (review.drawn, review.blind, review.state) == ("sample", True, "done")
    assert review.ended is not None


def test_who_has_seen_the_findings_is_not_blind_any_more(marks: Marks):
    for blind in (True, False, True):
        marks.begin("t", "Ada", "chosen", blind=blind)
    review = marks.review("t", "Ada")
    assert review and (review.blind, review.state, review.ended) == (False, "open", None)


def test_a_review_opened_again_keeps_how_it_was_drawn(marks: Marks):
    marks.begin("t", "Ada", "sample", blind=False)
    marks.close("t", "Ada", "done")
    marks.begin("t", "Ada", "chosen", blind=False)
    review = marks.review("t", "Ada")
    assert review and review.drawn == "sample"


def test_a_review_needs_a_turn_and_a_beginning(marks: Marks):
    with pytest.raises(LogError, match="no turn gone"):
        marks.begin("gone", "Ada", "chosen", blind=False)
    with pytest.raises(LogError, match="has been begun"):
        marks.close("t", "Ada", "done")


def test_all_annotators_are_known_once(marks: Marks):
    marks.annotate("t", "Grace", "wrong", (0, 3))
    marks.rule(marks.findings("t")[0].id, "Ada", "accepted")
    marks.begin("t", "Ada", "chosen", blind=False)
    assert marks.annotators() == ("Ada", "Grace")


def test_what_was_said_of_a_conversation_goes_with_it(marks: Marks, log: Log):
    made = marks.annotate("t", "Ada", "wrong", (0, 3))
    marks.revise(made.id, "Ada", severity=3)
    marks.rule(marks.findings("t")[0].id, "Ada", "accepted")
    marks.begin("t", "Ada", "chosen", blind=False)
    log.delete_conversation("toy")
    with sqlite3.connect(log.path) as shell:
        for table in ("annotations", "rulings", "reviews", "findings"):
            assert shell.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    shell.close()
