import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.records import Turn
from app.store.connection import LogError
from app.store.log import Log

Build = Callable[..., Turn]


@pytest.fixture
def say(log: Log, toy_turn: Build) -> Build:
    """Saves a turn and returns it."""

    def say(parent: Turn | None = None, text: str = "A reply.", **fields) -> Turn:
        turn = toy_turn(text, parent=parent and parent.id, **fields)
        log.save(turn)
        return turn

    return say


def ids(turns: list[Turn]) -> list[str]:
    return [turn.id for turn in turns]


def test_turns_follow_the_newest_branch(log: Log, say: Build):
    first = say()
    old = say(first)
    say(old)
    retry = say(first)
    assert log.turns("toy") == [first, retry]
    after = say(retry)
    assert log.turns("toy") == [first, retry, after]


def test_an_older_branch_is_found_through_one_of_its_turns(log: Log, say: Build):
    first = say()
    old = say(first)
    end = say(old)
    retry = say(first)
    assert ids(log.turns("toy", through=old.id)) == [first.id, old.id, end.id]
    assert ids(log.turns("toy", through=first.id)) == [first.id, retry.id]


def test_saving_an_older_turn_again_does_not_make_its_branch_the_newest(log: Log, say: Build):
    first = say()
    retry = say()
    log.save(first)
    assert log.turns("toy") == [retry]


def test_siblings_share_the_parent_oldest_first(log: Log, say: Build):
    first, edited = say(), say()
    say(conversation="elsewhere")
    a = say(first)
    b = say(first)
    assert log.siblings(edited.id) == (first.id, edited.id)
    assert log.siblings(a.id) == (a.id, b.id)


def test_an_unknown_conversation_has_no_turns(log: Log):
    assert log.turns("nowhere") == []


def test_an_unknown_turn_is_named(log: Log):
    with pytest.raises(LogError, match="no turn 42"):
        log.turn("42")


def test_a_turn_whose_parent_is_missing_is_refused(log: Log, toy_turn: Build):
    with pytest.raises(LogError, match="save that first"):
        log.save(toy_turn(parent="nobody"))
    assert log.conversations() == ()


def test_a_turn_may_not_follow_one_of_another_conversation(log: Log, say: Build):
    with pytest.raises(LogError, match="belongs to conversation"):
        say(say(), conversation="other")


def test_conversations_come_newest_first_with_titles_and_counts(log: Log, say: Build):
    first = say(message="\n  Tides\tand   moons \nmore", created="2026-01-01T00:00:00.000Z")
    say(conversation="b", message="\x07", created="2026-01-02T00:00:00.000Z")
    assert [(c.id, c.title, c.turns) for c in log.conversations()] == [
        ("b", "Untitled", 1), ("toy", "Tides and moons", 1),
    ]  # fmt: skip
    say(first, created="2026-01-03T00:00:00.000Z")
    newest = log.conversations()[0]
    assert (newest.id, newest.turns, newest.updated) == ("toy", 2, "2026-01-03T00:00:00.000Z")


def test_a_long_title_is_cut(log: Log, say: Build):
    say(message="x" * 61)
    assert log.conversations()[0].title == "x" * 59 + "…"


def test_renaming_keeps_the_order(log: Log, say: Build):
    say(created="2026-01-01T00:00:00.000Z")
    say(conversation="b", created="2026-01-02T00:00:00.000Z")
    log.rename("toy", " Harbours ")
    assert [c.title for c in log.conversations()][1] == "Harbours"
    with pytest.raises(LogError, match="no conversation nowhere"):
        log.rename("nowhere", "x")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("photosynthesis", {"a"}),  # in the reply
        ("LEAF", {"a"}),  # in the message, any case
        ("leaf photo", {"a"}),  # all words, the last unfinished
        ("leaf river", set()),
        ("river", {"b"}),  # in the title too
        ("100%", {"b"}),
        ("%", {"b"}),  # no wildcard
        ('"', set()),
        ("'; DROP TABLE turns --", set()),
        ("NOT", set()),
        ("_", set()),
        ("\ud800", set()),
        ("\x00", {"a", "b"}),  # nothing to search for
        (None, {"a", "b"}),
    ],
)
def test_search_finds_words_in_titles_messages_and_replies(
    log: Log, say: Build, search: str | None, found: set[str]
):
    say(text="It is photosynthesis.", conversation="a", message="What does a leaf do?")
    say(text="A hundred.", conversation="b", message="How sure, 100%, is a river?")
    assert {c.id for c in log.conversations(search)} == found


def test_search_survives_a_vacuum(log: Log, say: Build):
    gone = say(text="ebb", conversation="gone")
    say(text="flow", conversation="kept")
    log.delete_conversation(gone.conversation)
    connection = sqlite3.connect(log.path)
    connection.execute("VACUUM")
    connection.close()
    assert [c.id for c in log.conversations("flow")] == ["kept"]
    assert log.conversations("ebb") == ()


def test_deleting_a_conversation_deletes_every_row_of_it(log: Log, say: Build):
    first = say(conversation="gone")
    say(first, conversation="gone")
    kept = say(conversation="kept")
    log.delete_conversation("gone")
    assert [c.id for c in log.conversations()] == ["kept"]
    connection = sqlite3.connect(log.path)
    counts = {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("turns", "turn_tokens", "chunks", "neighbours")
    }
    connection.execute("INSERT INTO turns_fts (turns_fts, rank) VALUES ('integrity-check', 1)")
    connection.close()
    assert counts == {"turns": 1, "turn_tokens": 1, "chunks": 1, "neighbours": 2}
    assert log.turn(kept.id) == kept


def test_a_turn_of_a_deleted_conversation_does_not_come_back(log: Log, toy_turn: Build):
    turn = toy_turn()
    log.start(turn)
    log.delete_conversation(turn.conversation)
    with pytest.raises(LogError, match="deleted"):
        log.progress(turn.id, turn.reply)
    with pytest.raises(LogError, match="deleted"):
        log.save(turn)
    assert log.conversations() == ()


def test_a_very_long_conversation_can_be_deleted(log: Log, say: Build):
    turn = say()
    connection = sqlite3.connect(log.path)
    names = [str(row[1]) for row in connection.execute("PRAGMA table_info(turns)")]
    changed = {
        "id": "'t' || i",
        "n": "n + i",
        "parent_id": "CASE i WHEN 1 THEN id ELSE 't' || (i - 1) END",
    }
    columns = ", ".join(changed.get(name, name) for name in names)
    connection.execute(
        "WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000) "
        f"INSERT INTO turns SELECT {columns} FROM turns, c WHERE turns.id = ?",
        [turn.id],
    )
    connection.commit()
    connection.close()
    assert log.conversations()[0].turns == 3001
    log.delete_conversation("toy")
    assert log.conversations() == ()


def test_a_conversation_goes_on_after_a_restart(log: Log, say: Build, tmp_path: Path):
    first = say()
    log.close()
    again = Log(tmp_path / "log.db")
    second = replace(first, id="second", parent=first.id)
    again.save(second)
    assert again.turns("toy") == [first, second]
    again.close()


def test_the_tree_has_every_turn_oldest_first(log: Log, say: Build):
    first = say()
    old = say(first)
    retry = say(first)
    after = say(old)
    say(conversation="elsewhere")
    assert log.tree("toy") == (first, old, retry, after)
    assert log.tree("nowhere") == ()


def test_a_conversation_is_found_by_its_id(log: Log, say: Build):
    say(conversation="other")
    say(message="Tides")
    assert log.conversation("toy") in log.conversations()
    assert log.conversation("toy").title == "Tides"
    with pytest.raises(LogError, match="no conversation nowhere"):
        log.conversation("nowhere")


def test_half_a_character_is_a_clear_error(log: Log):
    with pytest.raises(LogError, match="half a character"):
        log.turn("\ud800")
