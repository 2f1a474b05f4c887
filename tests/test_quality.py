"""app.failures.quality and labelled: what the figures mean, and that they are up to date."""

import json
from dataclasses import replace

import pytest

from app.failures import labelled
from app.failures.detectors import DETECTORS
from app.failures.evaluation import text_of
from app.failures.labelled import BadCase, evaluate, read_cases, split_of, table_of
from app.failures.quality import TABLE, Measured, Quality, Share, graded, quality_of
from app.records import Finding


@pytest.fixture(scope="module")
def cases():
    return read_cases()


def case(directory, **fields):
    """The directory's only case."""
    row = {"id": "x-1", "split": split_of("x-1"), "message": "What?", "reply": "It is 27 m high.",
           "passages": [{"title": "T", "text": "It is tall.", "continuation": ""}],
           "expected": [], "note": ""} | fields  # fmt: skip
    (directory / "passages.json").write_text("{}")
    (directory / "x.jsonl").write_text(json.dumps(row))
    return read_cases(directory)


def counts(cases, kind):
    (half,) = [row for row in evaluate(cases)[kind].values() if any(row.values())]
    return half


# ----- the table


def test_the_committed_table_is_what_the_cases_give(cases):
    assert text_of(table_of(cases)) == TABLE.read_text(encoding="utf-8"), (
        "make it anew with: python app.py log evaluate-detectors --write"
    )


def test_there_are_enough_cases_in_both_halves(cases):
    halves = [sum(case.split == split for case in cases) for split in labelled.SPLITS]
    assert sum(halves) >= 400 and min(halves) >= 0.45 * sum(halves)


def test_every_detector_is_measured():
    kinds = json.loads(TABLE.read_text(encoding="utf-8"))["kinds"]
    for detector in DETECTORS:
        assert any(f"{kind}.".startswith(f"{detector.kind}.") for kind in kinds)


# ----- what is counted


def test_a_finding_on_a_label_is_right_and_found(tmp_path):
    label = {"kind": "unsupported.number", "quote": "27"}
    found = counts(case(tmp_path, expected=[label]), "unsupported.number")
    assert found == {"flagged": 1, "right": 1, "expected": 1, "found": 1}


def test_a_finding_without_a_label_is_flagged_and_not_right(tmp_path):
    found = counts(case(tmp_path), "unsupported.number")
    assert found == {"flagged": 1, "right": 0, "expected": 0, "found": 0}


def test_a_label_elsewhere_is_not_found(tmp_path):
    label = {"kind": "unsupported.number", "quote": "high"}
    found = counts(case(tmp_path, expected=[label]), "unsupported.number")
    assert found == {"flagged": 1, "right": 0, "expected": 1, "found": 0}


def test_an_open_kind_counts_neither_way(tmp_path):
    assert evaluate(case(tmp_path, open=["unsupported"])) == {}


def test_a_label_of_the_same_family_makes_a_finding_right_but_not_found(tmp_path):
    label = {"kind": "unsupported.coverage", "quote": "It is 27 m high."}
    cases = case(tmp_path, expected=[label])
    assert counts(cases, "unsupported.number")["right"] == 1
    assert counts(cases, "unsupported.coverage") == {
        "flagged": 0, "right": 0, "expected": 1, "found": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"split": "neither"}, "belongs to the"),
        ({"expected": [{"kind": "x", "quote": "gone"}]}, "“gone” is not in the reply"),
        ({"passages": ["nowhere"]}, "no 'nowhere'"),
    ],
)
def test_a_case_that_cannot_be_read_is_named_by_its_line(tmp_path, fields, problem):
    with pytest.raises(BadCase, match=f"x.jsonl, line 1: .*{problem}"):
        case(tmp_path, **fields)


def test_a_directory_without_cases_says_what_to_name(tmp_path):
    with pytest.raises(BadCase, match="--cases"):
        read_cases(tmp_path)


# ----- what follows from it


def test_wilsons_interval_is_that_of_the_textbook():
    assert Share(8, 10).interval == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert Share(0, 10).interval[0] == 0 and Share(10, 10).interval[1] == pytest.approx(1)
    assert Share(0, 0).interval == (0, 1)


@pytest.mark.parametrize(
    ("right", "flagged", "most"),
    [(0, 0, "info"), (15, 15, "info"), (16, 16, "warn"), (34, 34, "warn"), (35, 35, "alert"),
     (30, 40, "info")],
)  # fmt: skip
def test_severity_follows_from_the_lower_bound_of_precision(right, flagged, most):
    measured = Measured(Share(right, flagged), Share(0, 0))
    assert Quality("k", "1", Measured(Share(0, 9), Share(0, 9)), measured).severity == most


def finding(kind, severity):
    return Finding(kind, 0, 0, "", 1.0, 1.0, severity, "Measured.")


def test_a_kind_that_was_never_measured_is_information():
    assert quality_of("no.such") is None
    assert graded(finding("no.such", "alert")).severity == "info"


def test_grading_never_raises_a_severity():
    for detector in ("copy.neighbour", "refusal.declined", "repetition.loop"):
        given = finding(detector, "info")
        assert graded(given) == given


def test_what_is_on_record_keeps_its_severity():
    for kind in ("empty", "truncated.length"):
        assert graded(finding(kind, "warn")).severity == "warn"


def test_a_kind_is_as_severe_as_its_quality_allows():
    quality = quality_of("repetition.loop")
    assert quality is not None
    assert graded(finding("repetition.loop", "alert")).severity == quality.severity


def test_the_words_for_the_page_name_counts_and_interval():
    quality = Quality(
        "k", "1", Measured(Share(1, 1), Share(1, 1)), Measured(Share(37, 40), Share(3, 9))
    )
    assert quality.words() == (
        "right in 37 of 40 (95 % interval 0.80 to 0.97) labelled cases it was not tuned on; "
        "found 3 of 9 that it should"
    )
    none = replace(quality, held_out=Measured(Share(0, 0), Share(0, 3)))
    assert none.words().startswith("not measured")
