"""Annotations come back from files."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.exports.formats import export
from app.exports.imports import BadImport, Imported, origin_of, put_all, read
from app.failures.masking import MASK
from app.records import Annotation
from app.store.filters import Filter
from app.store.imported import Importing
from app.store.log import Log
from app.store.marks import Marks
from tests.filled import MAIL, REPLY, Filled

Put = Callable[[str], list[Imported]]


@pytest.fixture
def log(full_log: Log) -> Log:
    return full_log


@pytest.fixture
def put(log: Log, filled: Filled, tmp_path: Path) -> Put:
    """Imports a text as a file."""

    def put(text: str, name: str = "given.json") -> list[Imported]:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", newline="")
        origin = origin_of(path)
        return list(put_all(Importing(log, origin), read(path, origin)))

    return put


def outcomes(done: list[Imported]) -> list[str]:
    return [one.outcome for one in done]


def standing(log: Log, filled: Filled) -> list[Annotation]:
    marked = Marks(log)
    return [a for turn in (filled.flagged, filled.clean) for a in marked.annotations(turn.id)]


def forget(log: Log) -> None:
    with log.writing("deleting every annotation") as db:
        db.execute("DELETE FROM annotations")


def exported(log: Log, format: str, *, personal: bool = True) -> str:
    return "".join(export(log, format, Filter(), personal=personal))


def line_of(filled: Filled, **changed: object) -> str:
    """A line with an annotation of "1411" in the clean reply."""
    row = {
        "schema": "retroscope.failure/1", "source": "person", "id": "", "turn": filled.clean.id,
        "annotator": "Eve", "kind": "wrong.fact", "start": 23, "end": 27, "quote": "1411",
        "severity": 2, "note": "", "blind": False, "version": "1", "created": "",
    }  # fmt: skip
    return json.dumps({**row, **changed}) + "\n"


def task_of(filled: Filled, *regions: dict, text: str | None = None, **annotation: object) -> str:
    data = {"turn": filled.flagged.id, "text": REPLY if text is None else text}
    made = {"completed_by": {"email": "eve@here"}, "result": list(regions), **annotation}
    return json.dumps([{"data": data, "annotations": [made]}])


def region_of(start: int, end: int, text: str, label: str = "wrong", **more: object) -> dict:
    value = {"start": start, "end": end, "text": text, "labels": [label]}
    return {"id": "r1", "type": "labels", "value": value, **more}


# ----- round trips


@pytest.mark.parametrize("format", ["jsonl", "labelstudio"])
@pytest.mark.parametrize("personal", [True, False])
def test_what_was_exported_comes_back_equal(
    log: Log, filled: Filled, put: Put, format: str, personal: bool
):
    before, text = standing(log, filled), exported(log, format, personal=personal)
    forget(log)
    assert set(outcomes(put(text))) == {"added"}
    if personal:
        assert standing(log, filled) == before
    else:  # a masked note stays masked; the quote is the log's own
        assert [a.quote for a in standing(log, filled)] == [a.quote for a in before]
        assert [a.id for a in standing(log, filled)] == [a.id for a in before]


@pytest.mark.parametrize("format", ["jsonl", "labelstudio"])
def test_importing_again_adds_nothing(log: Log, filled: Filled, put: Put, format: str):
    before, text = standing(log, filled), exported(log, format)
    assert outcomes(put(exported(log, format, personal=False))) == ["there"] * 3
    assert outcomes(put(text)) == ["there"] * 3
    forget(log)
    put(text)
    assert outcomes(put(text)) == ["there"] * 3
    assert standing(log, filled) == before


def test_the_log_says_where_an_annotation_came_from(log: Log, filled: Filled, put: Put):
    put(line_of(filled))
    with closing(sqlite3.connect(log.path)) as db:
        assert db.execute("SELECT source, format FROM imports").fetchall() == [
            ("given.json", "jsonl")
        ]


def test_an_annotation_that_was_taken_back_stays_away(log: Log, filled: Filled, put: Put):
    text = exported(log, "jsonl")
    Marks(log).withdraw(filled.annotations[0].id, "Ida")
    assert outcomes(put(text)) == ["there"] * 3
    assert filled.annotations[0].id not in {a.id for a in standing(log, filled)}


def test_one_that_was_changed_elsewhere_takes_the_place_of_ours(log: Log, filled: Filled, put: Put):
    tasks = json.loads(exported(log, "labelstudio"))
    region = next(
        region for a in tasks[0]["annotations"] for region in a["result"]
        if region["meta"]["retroscope"]["annotator"] == "Ida"
    )  # fmt: skip
    region["value"]["labels"] = ["incoherent"]
    text = json.dumps(tasks)
    assert sorted(outcomes(put(text))) == ["changed", "there", "there"]
    ours = [a for a in standing(log, filled) if a.annotator == "Ida"]
    assert [(a.label, a.supersedes) for a in ours] == [("incoherent", filled.annotations[0].id)]
    assert set(outcomes(put(text))) == {"there"}


def test_lines_of_findings_are_passed_over(log: Log, filled: Filled, put: Put):
    text = exported(log, "jsonl")
    assert text.count("\n") > 3 and len(put(text)) == 3


# ----- what is refused


@pytest.mark.parametrize(
    ("changed", "given", "expected"),
    [
        ({"turn": "elsewhere"}, "elsewhere", "in this log"),
        ({"quote": "1412"}, "'1412'", "'1411'"),
        ({"start": 22, "end": 26}, "'1411' was given at characters 22 to 26", "' 141'"),
        ({"start": 23, "end": 999}, "23 to 999", "inside it"),
        ({"start": -1}, "-1 to 27", "inside it"),
        ({"kind": "nonsense"}, "'nonsense'", "code of the list"),
        ({"severity": 9}, "severity 9", "1, 2 or 3"),
        ({"severity": "2"}, "severity is '2'", "a whole number"),
        ({"start": True}, "start is True", "a whole number"),
        ({"end": 1e3}, "end is 1000.0", "a whole number"),
        ({"start": 10**30}, "start is 10000", "a whole number"),
        ({"annotator": " "}, "0 characters", "give one of 1 to 60"),
        ({"annotator": None}, "annotator is None", "a text"),
        ({"note": "x" * 5000}, "5,000 characters", "at most 4,000"),
        ({"note": ["x"]}, "note is a list", "a text"),
        ({"blind": "no"}, "blind is 'no'", "true or false"),
        ({"created": "yesterday"}, "'yesterday'", "2026-11-23T09:30:00.250Z"),
        ({"id": "a b'"}, "a b'", "letters and digits"),
        ({"turn": "\ud800"}, "half a character", "half a character"),
        ({"schema": "other/2"}, "'other/2'", "retroscope.failure/1"),
        ({"quote": MASK * 4}, "'\\u2588", "'1411'"),
    ],
)
def test_a_line_without_sense_is_refused_and_the_rest_goes_in(
    log: Log, filled: Filled, put: Put, changed: dict, given: str, expected: str
):
    text = line_of(filled, annotator="Ann") + line_of(filled, **changed) + line_of(filled)
    first, second, third = put(text)
    assert (first.outcome, third.outcome) == ("added", "added")
    assert (second.place, second.outcome) == ("line 2", "refused")
    assert given in second.problem and expected in second.problem


@pytest.mark.parametrize("line", ["{", "[]", "3", '"x"', "{}", "NaN", '{"schema":', "[" * 99999])
def test_a_line_that_is_no_object_of_ours_is_refused(filled: Filled, put: Put, line: str):
    done = put(line_of(filled) + line + "\n" + line_of(filled, annotator="Ann"))
    assert outcomes(done) == ["added", "refused", "added"]
    assert done[1].place == "line 2" and done[1].problem


def test_a_running_turn_is_refused(log: Log, filled: Filled, put: Put, toy_turn: Callable):
    turn = toy_turn("", conversation="new")
    log.start(turn)
    (done,) = put(line_of(filled, turn=turn.id, start=0, end=0, quote=""))
    assert done.outcome == "refused" and "still being written" in done.problem


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe", b'[{"a":', b"[1, ["])
def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path, content: bytes):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(BadImport, match=str(path)):
        list(read(path, origin_of(path)))


@pytest.mark.parametrize("name", ["none", "."])
def test_what_is_no_file_is_one_error(tmp_path: Path, name: str):
    with pytest.raises(BadImport, match="cannot read"):
        origin_of(tmp_path / name)


# ----- Label Studio


def test_a_region_made_in_label_studio_is_its_annotators(log: Log, filled: Filled, put: Put):
    start = REPLY.index("1411")
    meta = {"text": ["not in", "the passage"]}
    (done,) = put(task_of(filled, region_of(start, start + 4, "1411", meta=meta)))
    assert done.outcome == "added"
    made = next(a for a in standing(log, filled) if a.annotator == "eve@here")
    assert (made.quote, made.severity, made.note) == ("1411", 2, "not in\nthe passage")


def test_offsets_of_an_older_label_studio_are_counted_again(log: Log, filled: Filled, put: Put):
    start = REPLY.index("1411")  # a wave before it counts twice in UTF-16
    (done,) = put(task_of(filled, region_of(start + 1, start + 5, "1411")))
    assert done.outcome == "added"
    made = next(a for a in standing(log, filled) if a.annotator == "eve@here")
    assert (made.start, made.end, made.quote) == (start, start + 4, "1411")


def test_the_newlines_of_a_region_are_as_label_studio_writes_them(
    log: Log, filled: Filled, put: Put, toy_turn: Callable
):
    turn = toy_turn("One\ntwo.", conversation="new")
    log.save(turn)
    data = {"turn": turn.id, "text": "One\ntwo."}
    made = {"completed_by": 7, "result": [region_of(0, 7, "One\\ntwo")]}
    (done,) = put(json.dumps([{"data": data, "annotations": [made]}]))
    assert done.outcome == "added"
    (annotation,) = Marks(log).annotations(turn.id)
    assert (annotation.quote, annotation.annotator) == ("One\ntwo", "Label Studio user 7")


def test_a_region_on_a_masked_text_is_put_on_the_words_of_the_log(
    log: Log, filled: Filled, put: Put
):
    (task, _) = json.loads(exported(log, "labelstudio", personal=False))
    masked, start = task["data"]["text"], REPLY.index(MAIL)
    region = region_of(start, start + len(MAIL), masked[start : start + len(MAIL)])
    (done,) = put(task_of(filled, region, text=masked))
    assert done.outcome == "added"
    assert MAIL in {a.quote for a in standing(log, filled)}


@pytest.mark.parametrize(
    ("region", "problem"),
    [
        (region_of(0, 4, "Fin"), "expected what the reply says there: 'Fine'"),
        (region_of(0, 4, "Fine", "nonsense"), "'nonsense'"),
        (region_of(0, 4, "Fine", type="choices"), "expected labels"),
        (region_of(0, 4, "Fine", value=None), "value is None"),
        (region_of(0, 4, "Fine", meta=[1]), "not what was expected"),
        ({"type": "labels", "value": {"start": 0, "end": 4, "labels": ["wrong"]}}, "text is None"),
        ({"type": "labels", "value": {"start": 0, "labels": ["a", "b"]}}, "a list of one"),
    ],
)
def test_a_region_without_sense_is_refused(filled: Filled, put: Put, region: dict, problem: str):
    (done,) = put(task_of(filled, region))
    assert done.outcome == "refused" and problem in done.problem
    assert done.place.startswith("task 1, region")


def test_a_cancelled_annotation_is_none(filled: Filled, put: Put):
    assert put(task_of(filled, region_of(0, 4, "Fine"), was_cancelled=True)) == []


def test_an_annotation_of_nobody_is_refused(filled: Filled, put: Put):
    (done,) = put(task_of(filled, region_of(0, 4, "Fine"), completed_by=None))
    assert done.outcome == "refused" and "completed_by" in done.problem


@pytest.mark.parametrize("task", [3, {}, {"data": {}}, {"data": {"turn": "x", "text": 1}}])
def test_a_task_without_sense_is_refused(filled: Filled, put: Put, task: object):
    (done,) = put(json.dumps([task]))
    assert (done.place, done.outcome) == ("task 1", "refused")
