"""app.cli log: what is in the log, read beside a running application."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.compose import lock
from app.export import collect, to_json, transcript_of
from app.markdown import to_markdown
from app.records import DetectorRun, Finding, Turn
from app.store.log import Log
from tests.terminal import Ran
from tests.test_effects import measured

Build = Callable[..., Turn]
Run = Callable[..., Ran]

FOUND = Finding("loop", 0, 3, "The", 3.5, 3.0, "warn", "Said often.")


@pytest.fixture
def turn(log: Log, toy_turn: Build) -> Turn:
    """The second version of a reply, with all that can be said of it."""
    first, turn = toy_turn(message="Tides?"), toy_turn("The tide rises.", message="Tides?")
    log.save(first)
    log.save(turn, (DetectorRun("repetition", "1", "found", 0.0, (FOUND,)),))
    log.save_attribution(turn.id, measured(turn))
    log.vote(log.compare(first.id, turn.id, "retrieval off").id, "b")
    log.judge(turn.id, 0, 1, "misleading")
    return turn


def test_list_has_a_line_for_each_conversation(log: Log, run: Run, toy_turn: Build):
    log.save(toy_turn(conversation="a", message="Tides", created="2026-01-01T00:00:00.000Z"))
    log.save(toy_turn(conversation="b", message="Moons", created="2026-01-02T00:00:00.000Z"))
    assert [line.split() for line in run("list").out.splitlines()] == [
        ["b", "2026-01-02T00:00:00.000Z", "1", "Moons"],
        ["a", "2026-01-01T00:00:00.000Z", "1", "Tides"],
    ]
    assert run("list", "--search", "tide").out.split()[0] == "a"
    assert "no conversation" in run("list", "--search", "river").out


def test_show_says_what_is_known_of_a_turn(run: Run, turn: Turn):
    ran = run("show", turn.id)
    assert (ran.status, ran.err) == (0, "")
    for expected in (
        f"turn {turn.id} of conversation toy, version 2 of 2",
        "Tides?",
        "The tide rises.",
        "all passages together changed the reply by +3.00 nats",
        "chunk 1, characters 0 to 15",
        "  1. Title 1 [10-19], distance 0.250, effect +0.50 nats",
        "  2. Title 2 [20-29], distance 0.500, effect +0.50 nats, judged misleading",
        "found loop (warn), characters 0 to 3: Said often.",
        "retrieval off; vote: b",
    ):
        assert expected in ran.out


def test_show_steers_no_terminal(log: Log, run: Run, toy_turn: Build):
    turn = toy_turn("\x1b[2J ebb\r\n\x9b31m", message="\x00\x1b]0;x\x07")
    log.save(turn)
    out = run("show", turn.id).out
    assert "ebb" in out
    assert not set(out) & {chr(i) for i in (*range(9), *range(11, 32), *range(127, 160))}


def test_json_is_the_whole_conversation(log: Log, run: Run, turn: Turn):
    expected = to_json(collect(log, "toy"))
    assert run("export", "toy").out == run("export", turn.id).out == expected


def test_markdown_is_the_tree_or_the_branch_of_a_turn(log: Log, run: Run, turn: Turn):
    transcript = collect(log, "toy")
    assert run("export", "toy", "--format", "markdown").out == to_markdown(transcript)
    branch = run("export", turn.id, "--format", "markdown").out
    assert branch == to_markdown(transcript, turn.id)


def test_export_writes_a_new_file_and_no_other(run: Run, turn: Turn, tmp_path: Path):
    out = tmp_path / "example.json"
    ran = run("export", "toy", "--out", out)
    assert (ran.status, ran.out) == (0, "")
    assert transcript_of(out.read_text()).turns[-1].turn == turn
    before = (tmp_path / "log.db").read_bytes()
    assert "exists already" in run("export", "toy", "--out", tmp_path / "log.db").problem
    assert (tmp_path / "log.db").read_bytes() == before
    assert "cannot write" in run("export", "toy", "--out", tmp_path / "none" / "x").problem


@pytest.mark.parametrize("verb", ["show", "export"])
@pytest.mark.parametrize("wrong", ["nowhere", "", "\udcff", "x' OR 1"])
def test_an_unknown_id_is_named(run: Run, turn: Turn, verb: str, wrong: str):
    assert re.search("has no|half a character", run(verb, wrong).problem)


@pytest.mark.parametrize("words", [["list"], ["show", "x"], ["export", "x"]])
def test_where_there_is_no_log_none_is_made(run: Run, tmp_path: Path, words: list[str]):
    problem = run(*words, "--data", tmp_path / "new").problem
    assert f"there is no log at {tmp_path / 'new' / 'log.db'}" in problem
    assert list(tmp_path.iterdir()) == []


def test_the_log_is_read_while_the_application_holds_it(
    log: Log, run: Run, turn: Turn, toy_turn: Build
):
    descriptor = lock(log.path.parent)
    log.start(toy_turn("", conversation="new"))
    assert run("list").out.split()[0] == "new"
    os.close(descriptor)


def test_a_reader_that_goes_away_is_no_error(run: Run, turn: Turn, monkeypatch: pytest.MonkeyPatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", gone)
        ran = run("export", "toy")
    assert (ran.status, ran.err) == (0, "")


def test_a_log_that_is_no_database_is_an_error(run: Run, tmp_path: Path):
    (tmp_path / "log.db").write_bytes(b"not a database " * 100)
    assert "not an SQLite database" in run("list").problem
