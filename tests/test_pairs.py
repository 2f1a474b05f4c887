"""Judgements, rulings and votes as training data."""

import json

import pytest

from app.exports.pairs import KINDS, pairs
from app.store.log import Log
from app.store.marks import Marks
from tests.filled import MAIL, PHONE, REPLY, Filled


@pytest.fixture
def log(full_log: Log) -> Log:
    return full_log


def lines_of(log: Log, what: str, **given: bool) -> list[dict]:
    return [json.loads(line) for line in pairs(log, what, **given)]


def test_judged_passages_come_with_their_query(log: Log, filled: Filled):
    first, second = lines_of(log, "passages", personal=True)
    assert (first["verdict"], second["verdict"]) == ("misleading", "useful")
    assert (second["query"], second["passage"]) == ("query 0", "passage 2")
    assert first["passage"] + first["continuation"] == f"-Mail {MAIL} or {PHONE}"
    assert first["annotator"] == "Ida"


def test_ruled_findings_come_with_what_stands_round_them(log: Log, filled: Filled):
    rows = lines_of(log, "findings", personal=True)
    assert {row["label"] for row in rows} == {"accepted", "rejected"}
    for row in rows:
        assert row["before"] + row["quote"] + row["after"] in REPLY


def test_a_vote_chooses_between_replies_to_one_message(log: Log, filled: Filled):
    (row,) = lines_of(log, "replies", personal=True)
    assert (row["chosen"], row["rejected"]) == ("The keeper did.", REPLY)
    assert (row["chosen_turn"], row["message"]) == (filled.other.id, filled.flagged.message)


@pytest.mark.parametrize("what", KINDS)
def test_pairs_have_no_personal_data_unless_asked_for(log: Log, filled: Filled, what: str):
    lines = "".join(pairs(log, what))
    assert lines and MAIL not in lines and PHONE not in lines
    assert {tuple(json.loads(line)) for line in lines.splitlines()} == {
        tuple(json.loads(line)) for line in "".join(pairs(log, what, personal=True)).splitlines()
    }


def test_many_rulings_are_read_in_parts(log: Log, filled: Filled, monkeypatch: pytest.MonkeyPatch):
    whole = lines_of(log, "findings")
    marks = Marks(log)
    for i in range(3):
        marks.rule(whole[0]["finding"], f"Annotator {i}", "rejected")
    whole = lines_of(log, "findings")
    for size in (1, 2, 3, 4):
        monkeypatch.setattr("app.exports.pairs.TOGETHER", size)
        assert lines_of(log, "findings") == whole
