"""Failures as files, in every format."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.exports import avid, jsonl, labelstudio, table, webannotation
from app.exports.failure import Failure, Written
from app.exports.formats import FORMATS, export
from app.failures.masking import MASK, Value
from app.failures.taxonomy import taxonomy
from app.store.filters import Filter
from app.store.gathering import basis, failures
from app.store.log import Log
from tests.filled import LOOP, MAIL, PHONE, REPLY, Filled

EVERYTHING = Filter()


@pytest.fixture
def log(full_log: Log) -> Log:
    return full_log


def rows_of(log: Log, filter: Filter = EVERYTHING, *, personal: bool = False) -> list[dict]:
    return [json.loads(line) for line in export(log, "jsonl", filter, personal=personal)]


def failure(reply: str, start: int, end: int, **fields) -> Failure:
    """A finding in a reply of its own."""
    turn = Written(
        "t1", "c1", "Why?", reply, "", "stop", "2026-11-23T09:30:00.250Z", "tiny", "f" * 64,
        "d" * 64, "0.1.0", {"k": 2}, (),
    )  # fmt: skip
    made = Failure(
        "1", "machine", "repetition.loop", 2, "open", start, end, reply[start:end], "Said often.",
        "2026-11-23T09:30:00.250Z", turn, detector="repetition", version="1", evidence={},
    )  # fmt: skip
    return replace(made, **fields)


# ----- what is exported


def test_findings_and_standing_annotations_come_with_their_turns_oldest_first(
    log: Log, filled: Filled
):
    found = list(failures(log, EVERYTHING, personal=True))
    assert [f.turn.id for f in found] == sorted(f.turn.id for f in found)
    people = {f.id: f for f in found if f.source == "person"}
    assert set(people) == {a.id for a in filled.annotations}
    assert {f.kind for f in found if f.source == "machine"} >= {"repetition.loop", "personal.email"}
    ida = people[filled.annotations[0].id]
    assert (ida.turn.reply, ida.turn.message) == (REPLY, filled.flagged.message)
    assert ida.turn.model == "tiny" and ida.turn.settings["k"] == 2
    assert [p.text for p in ida.passages][1] == "passage 2"
    loop = next(f for f in found if f.kind == "repetition.loop" and f.source == "machine")
    assert (loop.rulings, loop.status) == ({"Ida": "accepted"}, "accepted")
    assert all(f.turn.reply[f.start : f.end] == f.quote for f in found)


def test_a_filter_leaves_some(log: Log, filled: Filled):
    chosen = list(failures(log, Filter.of({"annotator": "Bo"}), personal=True))
    assert {f.id for f in chosen} == {a.id for a in filled.annotations if a.annotator == "Bo"}
    assert list(failures(log, Filter.of({"model": "none"}), personal=True)) == []


def test_failures_are_read_some_turns_at_a_time(
    log: Log, filled: Filled, monkeypatch: pytest.MonkeyPatch
):
    whole = list(failures(log, EVERYTHING, personal=True))
    monkeypatch.setattr("app.store.gathering.TOGETHER", 1)
    each = failures(log, EVERYTHING, personal=True)
    first = next(each)
    log.delete_conversation("rest")  # what is gone meanwhile is left out
    assert [first, *each] == [f for f in whole if f.turn.conversation == "talk"]


@pytest.mark.parametrize("format", ["jsonl", "csv", "w3c", "labelstudio"])
def test_an_export_takes_what_comes_without_waiting_for_the_end(format: str):
    taken = []

    def endless() -> Iterator[Failure]:
        while True:
            taken.append(1)
            yield failure("Fine.", 0, 4)

    write = FORMATS[format].write
    assert write is not None
    pieces = write(replace(f, turn=replace(f.turn, id=str(i))) for i, f in enumerate(endless()))
    for _ in range(5):
        next(pieces)
    assert len(taken) <= 6


# ----- personal data


@pytest.mark.parametrize("format", FORMATS)
def test_no_value_leaves_unless_asked_for(log: Log, filled: Filled, format: str):
    text = "".join(export(log, format, EVERYTHING))
    for value in (MAIL, PHONE, MAIL[:12], MAIL[12:]):
        assert value not in text and json.dumps(value)[1:-1] not in text
    if format != "avid":
        assert MAIL in "".join(export(log, format, EVERYTHING, personal=True))


def test_a_masked_text_keeps_its_length_and_its_quotes(log: Log, filled: Filled):
    for row in rows_of(log):
        assert row["reply"][row["start"] : row["end"]] == row["quote"]
        if row["turn"] == filled.flagged.id:
            assert row["reply"] == REPLY.replace(MAIL, MASK * len(MAIL))
            assert len(row["message"]) == len(filled.flagged.message)
            assert json.loads(row["passages"])[0]["text"] == "-Mail " + MASK * 12


def test_a_finding_of_a_value_has_its_kind_and_hash(log: Log, filled: Filled):
    (row,) = [row for row in rows_of(log) if row["kind"] == "personal.email"]
    assert row["quote"] == MASK * len(MAIL)
    assert row["value_hash"] == Value("personal.email", MAIL).hash
    assert len(row["value_hash"]) == 12


# ----- JSON Lines


def test_every_line_has_the_same_columns_of_plain_values(log: Log, filled: Filled):
    rows = rows_of(log)
    assert {tuple(row) for row in rows} == {jsonl.HEADER}
    for name in jsonl.HEADER:
        kinds = {type(row[name]) for row in rows} - {type(None)}
        assert kinds <= {int, float} or len(kinds) == 1, name
        assert not kinds & {dict, list}


def test_a_line_ends_only_where_a_failure_does():
    lines = "".join(jsonl.write([failure("a\u2028b\nc\x85", 0, 3)] * 2))
    assert lines.count("\n") == 2 and lines.endswith("\n")


# ----- CSV


def test_a_table_reads_back_as_the_columns(log: Log, filled: Filled):
    text = "".join(export(log, "csv", EVERYTHING, personal=True))
    assert "\r\n" in text
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    rows = rows_of(log, personal=True)
    assert [list(row) for row in read] == [list(jsonl.HEADER)] * len(rows)
    for row, expected in zip(read, rows, strict=True):
        assert row["reply"] == expected["reply"] and row["turn"] == expected["turn"]
        assert row["message"].removeprefix("'") == expected["message"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\n=x"])
def test_no_cell_is_a_formula(text: str):
    lines = "".join(table.write([failure(text, 0, len(text), note=text, annotator=text)]))
    (row,) = csv.DictReader(io.StringIO(lines, newline=""))
    assert {row[name] for name in ("reply", "quote", "note", "annotator")} == {f"'{text}"}


def test_a_number_below_zero_stays_one():
    (_, line) = table.write([failure("x", 0, 1, score=-0.5)])
    assert "-0.5" in line and "'-0.5" not in line


def test_a_cell_with_quotes_commas_and_newlines_is_one_cell():
    text = 'say "a", b\r\nand c'
    lines = "".join(table.write([failure(text, 0, 3)]))
    (row,) = csv.DictReader(io.StringIO(lines, newline=""))
    assert row["reply"] == text


def test_an_empty_table_has_its_header():
    assert next(csv.reader(["".join(table.write([]))])) == list(jsonl.HEADER)


# ----- W3C


def test_web_annotations_select_code_points_and_words(log: Log, filled: Filled):
    document = json.loads("".join(export(log, "w3c", EVERYTHING, personal=True)))
    assert document["@context"] == "http://www.w3.org/ns/anno.jsonld"
    items = document["first"]["items"]
    assert len(items) == len(rows_of(log))
    by_id = {item["id"].rsplit(":", 1)[1]: item for item in items}
    assert len(by_id) == len(items)
    ida = by_id[filled.annotations[0].id]
    position, quote = ida["target"]["selector"]
    assert (position["type"], quote["type"]) == ("TextPositionSelector", "TextQuoteSelector")
    start = REPLY.index(LOOP)
    assert (position["start"], position["end"]) == (start, start + 24)
    assert len(REPLY[:start].encode("utf-16-le")) // 2 == start + 1  # the wave counts twice there
    assert REPLY[:start].endswith(quote["prefix"]) and quote["prefix"]
    assert quote["prefix"] + quote["exact"] + quote["suffix"] in REPLY
    assert ida["creator"] == {"type": "Person", "name": "Ida"}
    assert [body["purpose"] for body in ida["body"]] == ["classifying", "commenting"]


def test_a_web_annotation_of_a_finding_says_which_program_and_what_people_say():
    made = webannotation.annotation(failure("Fine.", 0, 4, rulings={"Ida": "rejected"}))
    assert made["creator"] == {"type": "Software", "name": "Retroscope repetition 1"}
    ruling = made["body"][-1]
    assert (ruling["purpose"], ruling["value"]) == ("assessing", "rejected")
    assert ruling["creator"]["name"] == "Ida"


@pytest.mark.parametrize("format", ["w3c", "labelstudio", "avid"])
def test_without_any_failure_there_is_still_a_document(log: Log, format: str):
    nothing = Filter.of({"kind": "none"})
    assert json.loads("".join(export(log, format, nothing))) is not None


# ----- Label Studio


def test_a_task_has_findings_as_predictions_and_marks_as_annotations(log: Log, filled: Filled):
    tasks = json.loads("".join(export(log, "labelstudio", EVERYTHING, personal=True)))
    assert [task["data"]["turn"] for task in tasks] == [filled.flagged.id, filled.clean.id]
    first = tasks[0]
    assert first["data"]["text"] == REPLY
    versions = {prediction["model_version"] for prediction in first["predictions"]}
    assert any(version.startswith("retroscope repetition ") for version in versions)
    by = [a["result"][0]["meta"]["retroscope"]["annotator"] for a in first["annotations"]]
    assert sorted(by) == ["Bo", "Ida"]
    for found in (*first["predictions"], *first["annotations"]):
        for region in found["result"]:
            value = region["value"]
            assert value["labels"][0] in taxonomy().labels
            assert value["text"] == REPLY[value["start"] : value["end"]]
            assert (region["from_name"], region["to_name"]) == ("label", "text")


def test_label_studio_gets_code_points_after_an_emoji():
    (region,) = labelstudio.task([failure("a 🌊 b", 4, 5)])["predictions"][0]["result"]
    assert region["value"]["start"] == 4 and region["value"]["text"] == "b"


# ----- AVID


def test_a_report_counts_replies_with_intervals_and_names_risks(log: Log, filled: Filled):
    report = json.loads("".join(export(log, "avid", EVERYTHING)))
    metrics = {
        (m["results"]["kind"], "detector" in m["detection_method"]["name"]): m
        for m in report["metrics"]
    }
    loop = metrics["repetition.loop", True]["results"]
    assert (loop["replies"]["hits"], loop["replies"]["of"]) == (1, 3)
    low, high = loop["replies"]["interval_95"]
    assert 0 < low < 1 / 3 < high < 1
    assert loop["accepted_by_people"]["hits"] == loop["accepted_by_people"]["of"] == 1
    marked = metrics["repetition.loop", False]["results"]
    assert (marked["replies"]["hits"], marked["replies"]["of"]) == (1, 2)  # two were read
    impact = report["impact"]["avid"]
    assert "Security" in impact["risk_domain"] and "S0301: Information Leak" in impact["sep_view"]
    assert metrics["personal.email", True]["results"]["risks"] == ["W.II.1", "W.II.2"]
    names = [artifact["name"] for artifact in report["affects"]["artifacts"]]
    assert names == ["tiny (ffffffffffff)", "passage database dddddddddddd"]


def test_a_report_has_no_text_of_any_reply(log: Log, filled: Filled):
    text = "".join(export(log, "avid", EVERYTHING))
    assert LOOP[:12] not in text and filled.clean.reply.text[:12] not in text


def test_every_label_leads_to_a_risk_domain():
    found = {code: avid.sep_of(code) for code in taxonomy().labels}
    assert all(found.values())
    for domain, category in (pair for each in found.values() for pair in each):
        assert domain in ("Ethics", "Security", "Performance") and category[0] == domain[0]
    assert found["repetition.loop"] == [("Performance", "P0200: Model issues")]
    assert found["copy.neighbour"][-1] == ("Security", "S0301: Information Leak")


def test_replies_behind_a_selection_follow_its_model_day_and_words(log: Log, filled: Filled):
    def replies(**given: str) -> tuple[int, int]:
        found = basis(log, Filter.of(given))
        return found.replies, found.reviewed

    assert replies() == (3, 2)
    assert replies(kind="repetition", source="machine", status="open") == (3, 2)
    assert replies(model="tiny") == (3, 2) and replies(model="other") == (0, 0)
    assert replies(preset="on k2") == (3, 2) and replies(preset="off") == (0, 0)
    assert replies(text="harbour dug") == (1, 1)
    assert replies(drawn="sample") == (1, 1)
    assert replies(until="2020-01-01") == (0, 0)
