import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from app.records import Turn
from app.store import migrations
from app.store.connection import LogError
from app.store.log import Log

Build = Callable[..., Turn]


def later(*extra: Callable[[Database], None]) -> Migrations:
    """The steps of a later version of the program."""
    steps = Migrations("log")
    for step in migrations.STEPS.pending(Database(memory=True)):
        steps(name=step.name)(step.fn)
    for step in extra:
        steps()(step)
    return steps


def m0002_add_a_note(db: Database) -> None:
    db.execute("ALTER TABLE turns ADD COLUMN note TEXT")


def m0003_fail_halfway(db: Database) -> None:
    db.execute("CREATE TABLE half (id INTEGER)")
    db.execute("INSERT INTO half VALUES (1)")
    db.execute("CREATE TABLE turns (id INTEGER)")


def ask(path: Path, sql: str) -> list[tuple]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def applied(path: Path) -> list[str]:
    return [row[0] for row in ask(path, "SELECT name FROM _sqlite_migrations ORDER BY id")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    Log(path).close()
    return path


def test_every_step_is_numbered_in_order():
    names = [step.name for step in migrations.STEPS.pending(Database(memory=True))]
    assert [name[:5] for name in names] == [f"{i:04}_" for i in range(1, len(names) + 1)]


def test_a_new_log_has_every_step_and_opening_it_again_applies_none(path: Path):
    before = ask(path, "SELECT name, applied_at FROM _sqlite_migrations")
    Log(path).close()
    assert ask(path, "SELECT name, applied_at FROM _sqlite_migrations") == before
    assert len(before) == len(list(migrations.STEPS.pending(Database(memory=True))))


def test_an_older_log_is_upgraded_and_keeps_its_turns(
    path: Path, toy_turn: Build, monkeypatch: pytest.MonkeyPatch
):
    log, turn = Log(path), toy_turn()
    log.save(turn)
    log.close()
    monkeypatch.setattr(migrations, "STEPS", later(m0002_add_a_note))
    log = Log(path)
    assert applied(path)[-1] == "m0002_add_a_note"
    assert ask(path, "SELECT note FROM turns") == [(None,)]
    assert log.turn(turn.id) == turn
    log.close()


def test_a_newer_log_is_refused_and_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", later(m0002_add_a_note))
        Log(path).close()
    before = path.read_bytes()
    with pytest.raises(LogError, match=r"newer version.*m0002_add_a_note.*update the program"):
        Log(path)
    assert path.read_bytes() == before


def test_a_step_that_fails_leaves_nothing_and_the_steps_before_it_stay(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(migrations, "STEPS", later(m0002_add_a_note, m0003_fail_halfway))
    with pytest.raises(LogError, match="already exists"):
        Log(path)
    assert applied(path)[-1] == "m0002_add_a_note"
    assert ask(path, "SELECT name FROM sqlite_master WHERE name = 'half'") == []


def test_every_table_is_strict(path: Path):
    loose = ask(
        path,
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict"
        " AND name NOT LIKE 'sqlite_%' AND name <> '_sqlite_migrations'",
    )
    assert loose == []


def test_commits_are_durable_and_readers_are_not_held_up(path: Path):
    log = Log(path)
    assert log._writer.journal_mode == "wal"
    assert log._writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert log._writer.execute("PRAGMA foreign_keys").fetchone() == (1,)
    log.close()


def test_a_reading_connection_cannot_write(path: Path):
    log = Log(path)
    with pytest.raises(LogError, match="readonly"), log._reading("trying") as db:
        db.execute("DELETE FROM turns")
    log.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM turns WHERE conversation_id = 'c' ORDER BY n DESC LIMIT 1",
        "SELECT id FROM turns WHERE parent_id = 'p'",
        "SELECT id FROM turns WHERE finish = 'running'",
        "SELECT * FROM chunks WHERE turn_id = 't'",
        "SELECT * FROM neighbours WHERE chunk_id = 'c' ORDER BY rank",
        "SELECT * FROM findings WHERE turn_id = 't'",
        "SELECT * FROM findings WHERE kind = 'repetition.loop' AND status = 'open'",
        "SELECT * FROM detector_runs WHERE turn_id = 't'",
        "SELECT id FROM conversations ORDER BY updated DESC",
    ],
)
def test_a_frequent_question_has_an_index(path: Path, sql: str):
    plan = " ".join(row[3] for row in ask(path, f"EXPLAIN QUERY PLAN {sql}"))
    assert "USING" in plan and "INDEX" in plan
    assert "TEMP B-TREE" not in plan
