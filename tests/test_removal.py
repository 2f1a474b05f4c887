"""Conversations deleted for good: log delete; and what is asked before that."""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from types import SimpleNamespace

import pytest

from app.logs.removal import age
from app.store.log import Log
from app.store.upkeep import going, moment
from tests.filled import CHANCE, PARTS, PIECE, VALUES, answer, asked, contents, tables
from tests.terminal import Ran

Run = Callable[..., Ran]


@pytest.fixture
def log(full_log: Log) -> Log:
    return full_log


def test_a_conversation_goes_with_every_byte_of_it(closed: Log, run: Run):
    assert PIECE.search(CHANCE.sub(b" ", contents(closed.path)))
    ran = run("delete", "--conversation", "talk", "--yes")
    assert ran.status == 0
    assert "1 conversation with 2 turns and 2 annotations are to be deleted" in ran.out
    assert "1 conversation deleted" in ran.out
    raw = contents(closed.path)
    for part in (*PARTS, "the sea is blue", "calm", "Who keeps"):
        assert part.encode() not in raw
    assert not PIECE.search(CHANCE.sub(b" ", raw))
    assert asked(closed, "SELECT id FROM conversations") == [("rest",)]
    assert run("check").status == 0


def test_only_whole_conversations_whose_newest_turn_is_old_go(
    log: Log, run: Run, toy_turn: Callable
):
    old, new = moment(timedelta(days=91)), moment(timedelta(days=89))
    first = toy_turn(conversation="old", created=old)
    mixed = toy_turn(conversation="mixed", created=old)
    log.save(first)
    log.save(mixed)
    log.save(toy_turn(conversation="mixed", parent=mixed.id, created=new))
    with closing(log):
        assert [c.id for c in going(log, older=timedelta(days=90))] == ["old"]
    assert run("delete", "--older-than", "90d", "--yes").status == 0
    assert {id for (id,) in asked(log, "SELECT id FROM conversations")} == {"talk", "rest", "mixed"}


def test_a_dry_run_changes_nothing(closed: Log, run: Run):
    before = tables(closed)
    ran = run("delete", "--older-than", "0h", "--dry-run")
    assert ran.status == 0 and "would be deleted" in ran.out and "talk" in ran.out
    ran = run("redact", "--all", "--dry-run")
    assert ran.status == 0 and "would be masked" in ran.out and "personal.email" in ran.out
    assert not any(value in ran.out for value in VALUES)
    assert tables(closed) == before


@pytest.mark.parametrize("words", [["delete", "--conversation=talk"], ["redact", "--all"]])
@pytest.mark.parametrize("typed", ["n\n", "\n", ""])
def test_no_is_no(
    closed: Log, run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], typed: str
):
    before = tables(closed)
    answer(monkeypatch, typed)
    ran = run(*words)
    assert ran.status == 1 and "nothing was changed" in ran.out
    assert "[y/N]" in ran.err
    assert tables(closed) == before


def test_yes_is_yes(closed: Log, run: Run, monkeypatch: pytest.MonkeyPatch):
    answer(monkeypatch, "y\n")
    assert run("delete", "--conversation=talk").status == 0
    assert len(asked(closed, "SELECT * FROM conversations")) == 1


def test_where_nobody_can_be_asked_nothing_is_done(
    closed: Log, run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    ran = run("delete", "--conversation=talk")
    assert ran.status == 2 and "say --yes" in ran.err
    assert len(asked(closed, "SELECT * FROM conversations")) == 2


def test_an_unknown_conversation_is_named(closed: Log, run: Run):
    assert "no conversation nowhere" in run("delete", "--conversation=nowhere", "--yes").problem
    assert "no conversation nowhere" in run("redact", "--conversation=nowhere", "--yes").problem


@pytest.mark.parametrize(
    "words",
    [["delete"], ["redact"], ["delete", "--older-than=x"], ["delete", "--older-than=-1d"],
     ["delete", "--conversation=a", "--older-than=1d"], ["redact", "--all", "--older-than=1d"]],
)  # fmt: skip
def test_what_goes_must_be_said_once(closed: Log, run: Run, words: list[str]):
    assert run(*words).status == 2
    assert len(asked(closed, "SELECT * FROM conversations")) == 2


def test_ages_have_a_unit():
    assert [age(text) for text in ("12h", "90d", "2w", " 1 d ")] == [
        timedelta(hours=12), timedelta(days=90), timedelta(weeks=2), timedelta(days=1),
    ]  # fmt: skip
    assert moment(age("999999w")) == "0001-01-01T00:00:00.000Z"
