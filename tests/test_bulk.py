"""What the browse view asks of the server, without a page."""

from collections.abc import Callable
from typing import Any

import pytest

from app.compose import Application
from app.records import DetectorRun, Finding, Turn
from app.store.cases import Cases
from app.store.log import Log
from app.ui.browsing import ROWS, Browsing, evidence, passages
from app.ui.bulk import MOST
from tests.casebook import fill

Build = Callable[..., Turn]
TEXT = "The 🌊 harbour was dug in 1411."


@pytest.fixture
def view(scripted: Application, toy_turn: Build) -> Browsing:
    """A log with two findings, and a failure that each of two people marked, in the turn "t"."""
    measured = TEXT[4:13], 1.0, 0.5
    found = [
        Finding("copy.neighbour", 4, 13, *measured, "warn", "So.", {"longest_run": 0.123456}),
        Finding("unsupported.name", 4, 13, *measured, "info", "So."),
    ]
    scripted.log.save(toy_turn(TEXT, id="t"), [DetectorRun("copy", "1", "found", 0, tuple(found))])
    scripted.marks.annotate("t", "Ada", "wrong", (0, 3), severity=3, note="Ada's note")
    scripted.marks.annotate("t", "Grace", "toxic", (4, 13))
    return Browsing(scripted)


def listed(view: Browsing, **fields: str) -> list[dict[str, Any]]:
    asked = {"filter": fields, "sort": "written", "descending": False, "page": 0}
    return view.cases(asked)["rows"]


def act(view: Browsing, ids: list[str], action: str, label: str = "", by: str = "Ada") -> Any:
    return view.act({"annotator": by, "ids": ids, "action": action, "label": label})


def state(view: Browsing) -> list[tuple[Any, ...]]:
    cases = Cases(view._app.log)  # type: ignore[attr-defined]
    return sorted((c.id, c.kind, c.status, sorted(c.rulings.items())) for c in cases.every())


@pytest.fixture
def ids(view: Browsing) -> dict[str, str]:
    """Ids of the cases by kind."""
    return {row["kind"]: row["id"] for row in listed(view)}


def test_accepting_many_is_told_with_what_could_not_be_done_and_undone(
    view: Browsing, ids: dict[str, str]
):
    before = state(view)
    answer = act(view, [*ids.values(), "f99", "f99"], "accepted")
    assert answer["told"] == (
        "Accepted 2 cases. Not done: 1 case (gone: withdrawn, checked again or deleted); 2 cases "
        "(marked by a person, not found by a detector; relabel or withdraw it)."
    )
    assert {row["status"] for row in listed(view, source="machine")} == {"accepted"}
    again = act(view, [ids["copy.neighbour"]], "accepted")
    assert again["done"] == 0 and "accepted by you before" in again["told"]
    assert act(view, [ids["copy.neighbour"]], "rejected", by="Grace")["done"] == 1
    assert listed(view, status="disputed")[0]["id"] == ids["copy.neighbour"]
    view.undo({"annotator": "Grace", "steps": [
        {"finding": int(ids["copy.neighbour"][1:]), "turn": "t", "before": None}]})  # fmt: skip
    undone = view.undo({"annotator": "Ada", "steps": answer["steps"]})
    assert undone["told"] == "Undone 2 changes."
    assert state(view) == before


def test_undoing_a_changed_ruling_gives_the_earlier_one_back(view: Browsing, ids: dict[str, str]):
    id = ids["copy.neighbour"]
    act(view, [id], "rejected")
    changed = act(view, [id], "accepted")
    view.undo({"annotator": "Ada", "steps": changed["steps"]})
    assert listed(view, status="rejected")[0]["id"] == id


def test_relabelling_a_finding_rejects_it_and_marks_the_same_words(
    view: Browsing, ids: dict[str, str]
):
    before = state(view)
    answer = act(view, [ids["copy.neighbour"]], "relabel", "off_topic")
    assert answer["told"] == "Relabelled 1 case as Off topic."
    assert listed(view, status="rejected")[0]["id"] == ids["copy.neighbour"]
    (made,) = listed(view, kind="off_topic")
    shown = view.case({"id": made["id"]})
    assert (shown["start"], shown["end"], shown["quote"]) == (4, 13, TEXT[4:13])
    assert (made["annotator"], made["severity"]) == ("Ada", 2)
    again = act(view, [ids["copy.neighbour"]], "relabel", "off_topic")
    assert again["done"] == 0 and "marked so by you before" in again["told"]
    view.undo({"annotator": "Ada", "steps": answer["steps"]})
    assert state(view) == before


def test_relabelling_changes_ones_own_mark_and_adds_to_that_of_another(
    view: Browsing, ids: dict[str, str]
):
    before = state(view)
    answer = act(view, [ids["wrong"], ids["toxic"]], "relabel", "off_topic")
    assert answer["done"] == 2
    assert [row["annotator"] for row in listed(view, kind="off_topic")] == ["Ada", "Ada"]
    assert listed(view, kind="wrong") == []
    assert listed(view, kind="toxic")[0]["annotator"] == "Grace"
    same = act(view, [ids["toxic"]], "relabel", "toxic")
    assert same["told"] == "Nothing was relabelled. Not done: 1 case (has this label already)."
    view.undo({"annotator": "Ada", "steps": answer["steps"]})
    assert state(view) == before


def test_nobody_undoes_what_another_did(view: Browsing, ids: dict[str, str]):
    answer = act(view, [ids["wrong"]], "relabel", "off_topic")
    told = view.undo({"annotator": "Grace", "steps": answer["steps"]})["told"]
    assert told.startswith("Nothing was undone") and "Ada's" in told
    assert listed(view, kind="off_topic")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (None, "no usable “action”"),
        ({"action": "burn", "ids": [], "annotator": "Ada"}, "no action 'burn'"),
        ({"action": "accepted", "ids": "f1", "annotator": "Ada"}, "no usable “ids”"),
        ({"action": "accepted", "ids": [], "annotator": " "}, "annotator's name"),
        ({"action": "relabel", "ids": [], "annotator": "Ada", "label": "x"}, "no label 'x'"),
        (
            {"action": "accepted", "ids": [f"f{i}" for i in range(MOST + 1)], "annotator": "Ada"},
            "501 cases are too many",
        ),
    ],
)
def test_an_action_without_sense_is_refused(view: Browsing, asked: Any, why: str):
    before = state(view)
    assert why in view.act(asked)["problem"]
    assert state(view) == before


@pytest.mark.parametrize("step", [None, 3, {}, {"finding": "x"}, {"made": 3}, {"made": "no"},
                                  {"finding": 1, "turn": "t", "before": "burn"}])  # fmt: skip
def test_a_step_without_sense_is_refused(view: Browsing, step: Any):
    before = state(view)
    assert view.undo({"annotator": "Ada", "steps": [step]})["done"] == 0
    assert state(view) == before


@pytest.mark.parametrize("asked", [None, [], "x", {}, {"filter": 1}, {"filter": {"since": "x"},
    "sort": "written", "descending": True, "page": 0}, {"filter": {}, "sort": "beauty",
    "descending": True, "page": 0}, {"id": 3}, {"id": "f99"}])  # fmt: skip
def test_whatever_the_page_sends_the_answer_says_what_is_wrong(view: Browsing, asked: Any):
    for serve in (view.cases, view.case, view.similar, view.undo):
        assert serve(asked)["problem"]


def test_a_page_beyond_the_last_is_the_last(view: Browsing):
    answer = view.cases({"filter": {}, "sort": "kind", "descending": True, "page": 10**9})
    assert (answer["page"], answer["pages"], len(answer["rows"])) == (0, 1, 4)
    assert answer["summary"] == "4 cases: 2 found by detectors (2 open), 2 marked by people"
    assert ROWS >= 4


@pytest.mark.parametrize("sort", ["written", "kind", "severity"])
def test_pages_share_the_cases_out_in_their_order(
    scripted: Application, toy_turn: Build, monkeypatch: pytest.MonkeyPatch, sort: str
):
    turns = fill(scripted.log, toy_turn, 9)
    monkeypatch.setattr("app.ui.browsing.ROWS", 4)
    view, cases = Browsing(scripted), Cases(scripted.log)
    asked = {"filter": {}, "sort": sort, "descending": True}
    whole = [case.id for case in cases.every(sort=sort)]  # type: ignore[arg-type]
    pages = [view.cases({**asked, "page": page}) for page in range(-(-len(whole) // 4))]
    assert [row["id"] for page in pages for row in page["rows"]] == whole
    assert len(pages) > 3 and [page["first"] for page in pages] == list(range(0, len(whole), 4))
    assert len(turns) == 9


def test_a_case_is_told_with_all_that_is_known_of_it(view: Browsing, ids: dict[str, str]):
    act(view, [ids["copy.neighbour"]], "accepted")
    view._app.marks.begin("t", "Mary", "chosen", blind=False)  # type: ignore[attr-defined]
    shown = view.case({"id": ids["copy.neighbour"], "annotator": "Ada"})
    assert shown["text"][shown["start"] : shown["end"]] == shown["quote"] == "🌊 harbour"
    assert shown["rulings"] == [{"annotator": "Ada", "ruling": "accepted"}]
    assert shown["mine"] == "accepted"
    assert shown["evidence"] == [{"name": "longest run", "value": "0.1235"}]
    assert {other["kind"] for other in shown["others"]} == set(ids) - {"copy.neighbour"}
    assert [p["title"] for p in shown["passages"][0]["passages"]] == ["Title 1", "Title 2"]
    assert shown["reviews"] == [{"annotator": "Mary", "state": "open", "drawn": "chosen"}]


def test_without_passages_it_is_said_why_nothing_is_similar(view: Browsing, ids: dict[str, str]):
    assert "without passages" in view.similar({"id": ids["wrong"]})["absent"]


def test_the_passages_of_a_span_are_those_of_its_chunks(toy_turn: Build):
    turn = toy_turn("word " * 130)
    chunks = turn.reply.chunks
    assert [p["chunk"] for p in passages(turn, 0, 5)] == [1]
    assert [p["chunk"] for p in passages(turn, chunks[0].end - 1, chunks[1].start + 1)] == [1, 2]
    assert [p["chunk"] for p in passages(turn, 0, len(turn.reply.text))] == [1, 2, 3]
    assert len(passages(turn, chunks[1].start, chunks[1].start)) == 1


def test_evidence_of_any_shape_becomes_words():
    found = evidence({"a_b": [1, 2.5], "c": {"d": None}, "e": [], "f": {}})
    assert [row["value"] for row in found] == ["1, 2.5", "d: None", "none", "none"]


def test_an_empty_log_is_told_as_such(log: Log):
    from app.records import Settings

    view = Browsing(Application(log, Settings()))
    answer = view.cases({"filter": {}, "sort": "written", "descending": True, "page": 0})
    assert (answer["rows"], answer["all"], answer["summary"]) == ([], 0, "No case")
    assert view.choices(None)["models"] == []
