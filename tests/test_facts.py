"""`python app.py eval facts`: who was asked how, what counts as right, and what is summed up."""

import json

import pytest

from app.evaluation.facts import Told, missing, read_facts, summarise, ways_of
from app.evaluation.held import NothingToMeasure
from app.records import Settings
from engine.protocol import Sampling

HARBOUR = {"question": "When was the harbour dug?", "article": "Harbour", "facts": [["1411"]]}
BREAD = {"question": "What makes bread rise?", "article": "Bread", "facts": [["gas", "gases"]]}


def told(right: bool, found: bool = False, declined: bool = False) -> Told:
    return Told("", right, declined, found)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (HARBOUR, BREAD)))
    return path


# ----- the file


@pytest.mark.parametrize(
    "line",
    [
        "{broken",
        "[]",
        "7",
        json.dumps({"question": "Why?", "article": "Bread"}),
        json.dumps({**BREAD, "question": " "}),
        json.dumps({**BREAD, "facts": []}),
        json.dumps({**BREAD, "facts": [[]]}),
        json.dumps({**BREAD, "facts": ["gas"]}),
        json.dumps({**BREAD, "facts": [["gas", 7]]}),
        json.dumps({**BREAD, "facts": {"gas": ["gas"]}}),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path, line):
    path = tmp_path / "facts.jsonl"
    path.write_text(json.dumps(BREAD) + "\n" + line + "\n")
    with pytest.raises(NothingToMeasure, match=r"facts\.jsonl, line 2 is not a question; give"):
        read_facts(path)


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"\xff"])
def test_a_file_without_questions_is_refused_before_anything_is_loaded(
    terminal, tmp_path, content, monkeypatch
):
    monkeypatch.setattr("app.evaluation.language.open_all", lambda options: pytest.fail("loaded"))
    path = tmp_path / "facts.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert str(path) in terminal("eval", "facts", path).problem


# ----- what is asked and counted


def test_ways_differ_in_passages_alone_and_are_greedy():
    page = Settings(Sampling(temperature=0.7, top_p=0.5, max_tokens=9), k=1, in_context=True)
    ways = ways_of(page)
    shown = {way: (s.retrieve, s.in_context) for way, s in ways.items()}
    assert shown == {"on": (True, False), "off": (False, False), "in context": (True, True)}
    assert {s.sampling for s in ways.values()} == {
        Sampling(temperature=0, top_p=0.5, max_tokens=9)
    }  # fmt: skip
    assert {s.k for s in ways.values()} == {1}


def test_shares_have_intervals_also_where_all_replies_agree():
    rows = [{w: told(w != "off", w != "off") for w in ("on", "off", "in context")}] * 10
    found = summarise(rows)
    by_way = {row["way"]: row for row in found["ways"]}
    assert by_way["on"]["right"] == {"value": 1, "low": pytest.approx(0.7225, abs=1e-4), "high": 1}
    assert by_way["off"]["right"]["value"] == 0 < by_way["off"]["right"]["high"] < 0.3
    assert by_way["on"]["right_where_found"]["value"] == 1
    assert by_way["off"]["right_where_found"] is None


def test_two_ways_are_compared_question_by_question():
    pairs = [(True, False), (True, False), (False, True), (True, True), (False, False)]
    rows = [{"on": told(a), "off": told(b), "in context": told(True)} for a, b in pairs]
    more, context = summarise(rows)["differences"]
    assert (more["way"], more["only_on"], more["only_off"]) == ("on less off", 2, 1)
    assert more["right"]["value"] == pytest.approx(0.2)
    assert more["right"]["low"] < 0 < more["right"]["high"]
    assert (context["only_in_context"], context["only_on"]) == (2, 0)


def test_articles_that_are_not_in_the_database_are_named(passages, file):
    assert missing(read_facts(file), passages._database) == ""
    file.write_text(json.dumps({**BREAD, "article": "Cake"}))
    assert "1 of the articles asked about" in missing(read_facts(file), passages._database)


# ----- the command


def test_the_command_asks_in_every_way_and_says_what_was_found(terminal, file):
    ran = terminal("eval", "facts", file, "--show")
    assert (ran.status, ran.err) == (0, "")
    rows = [json.loads(line) for line in ran.out.splitlines() if line.startswith("{")]
    found = {row["way"]: row.get("found") for row in rows}
    assert set(found) == {"on", "off", "in context", "on less off", "in context less on"}
    assert found["on"]["value"] == found["in context"]["value"] == 1
    assert found["off"]["value"] == 0
    assert ran.out.count("[in context]") == ran.out.count("[off]") == 2
    assert not list(terminal.options.data.glob("log*"))  # what is asked is not logged


def test_ctrl_c_tells_what_was_measured(terminal, file, monkeypatch):
    def ended(name, total, rows):
        yield {way: told(True) for way in ("on", "off", "in context")}
        raise KeyboardInterrupt

    monkeypatch.setattr("app.evaluation.language.watch", ended)
    ran = terminal("eval", "facts", file)
    assert (ran.status, ran.err) == (130, "ended early: 1 of 2 questions\n")
    assert json.loads(ran.out.splitlines()[0])["questions"] == 1
