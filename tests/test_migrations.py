import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from app.records import DetectorRun, Preset, Settings, Turn
from app.store import migrations
from app.store.connection import LogError
from app.store.log import Log
from app.store.queries import open_reader
from retrieval.sqlite import Database, Migrations

Build = Callable[..., Turn]

RUNS = (DetectorRun("empty", "1", "ok", 0.001),)


def later(*extra: Callable[[Database], None]) -> Migrations:
    """The steps of a later version of the program."""
    steps = Migrations("log")
    for step in migrations.STEPS.pending(Database(memory=True)):
        steps(name=step.name)(step.fn)
    for step in extra:
        steps()(step)
    return steps


def m0003_add_a_note(db: Database) -> None:
    db.execute("ALTER TABLE turns ADD COLUMN note TEXT")


def m0004_fail_halfway(db: Database) -> None:
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


def first(count: int) -> Migrations:
    """The steps of an earlier version of the program."""
    steps = Migrations("log")
    for step in migrations.STEPS.pending(Database(memory=True))[:count]:
        steps(name=step.name)(step.fn)
    return steps


@pytest.fixture
def path(blank_log: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(blank_log, tmp_path))


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
    monkeypatch.setattr(migrations, "STEPS", later(m0003_add_a_note))
    log = Log(path)
    assert applied(path)[-1] == "m0003_add_a_note"
    assert ask(path, "SELECT note FROM turns") == [(None,)]
    assert log.turn(turn.id) == turn
    log.close()


@pytest.fixture
def first_log(tmp_path: Path, toy_turn: Build, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log as the first version wrote it: one step, settings without later fields."""
    path = tmp_path / "first.db"
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", first(1))
        patch.setattr("app.store.effects.basis", lambda db, turn: [])
        patch.setattr("app.store.judgements.drop_stale", lambda db, turn: None)
        patch.setattr("app.store.labels.renew", lambda db: None)
        log = Log(path, "0.1.0")
        log.save(toy_turn("word " * 70, id="a"), RUNS)
        log.save(toy_turn(id="b", parent="a"))
        log.start(toy_turn("half a", id="c", parent="a"))
        log.close()
    with closing(sqlite3.connect(path)) as db:
        later = "'$.pinned', '$.without', '$.random', '$.template'"
        db.execute(f"UPDATE turns SET settings = json_remove(settings, {later})")
        db.commit()
    return path


def test_a_log_of_the_first_version_is_upgraded_and_read_back(first_log: Path, toy_turn: Build):
    assert applied(first_log) == ["0001_turns_and_findings"]
    log = Log(first_log)
    turns = log.tree("toy")
    log.close()
    assert applied(first_log)[:2] == ["0001_turns_and_findings", "0002_effects_and_opinions"]
    expected = (toy_turn("word " * 70, id="a"), toy_turn(id="b"), toy_turn("half a", id="c"))
    assert [turn.reply for turn in turns] == [turn.reply for turn in expected]
    assert [turn.settings for turn in turns] == [Settings()] * 3
    assert [turn.parent for turn in turns] == [None, "a", "a"]
    assert ask(first_log, "PRAGMA integrity_check") == [("ok",)]
    assert ask(first_log, "PRAGMA foreign_key_check") == []


def test_an_upgraded_log_can_do_what_a_new_one_can(first_log: Path):
    log = Log(first_log)
    assert log.runs("a") == RUNS
    assert log.recover() == ("c",)
    assert [c.turns for c in log.conversations("word")] == [3]
    assert log.shown_counts()["library/1.md", "Title 1"] == 3
    made = log.compare("a", "b", "x")
    log.vote(made.id, "a")
    log.judge("b", 0, 0, "useful")
    log.save_preset(Preset("mine", Settings(), default=True))
    log.save(log.turn("b"))
    assert log.comparisons("b") == (replace(made, vote="a"),)
    assert [j.verdict for j in log.judgements("b")] == ["useful"]
    assert log.default_preset() == Preset("mine", Settings(), default=True)
    log.close()


def test_a_step_of_ours_that_is_cut_off_leaves_nothing(
    first_log: Path, monkeypatch: pytest.MonkeyPatch
):
    before = ask(first_log, "SELECT sql FROM sqlite_master ORDER BY sql")
    with monkeypatch.context() as patch:
        broken = migrations.schema_0002.VIEWS.replace("FROM comparisons x", "FROM (")
        patch.setattr("app.store.schema_0002.VIEWS", broken)
        with pytest.raises(LogError, match="syntax error"):
            Log(first_log)
    assert ask(first_log, "SELECT sql FROM sqlite_master ORDER BY sql") == before
    Log(first_log).close()


def test_reading_alone_neither_makes_nor_upgrades_a_log(first_log: Path, tmp_path: Path):
    before = first_log.read_bytes()
    with pytest.raises(LogError, match=r"older version.*start the application once"):
        open_reader(first_log)
    with pytest.raises(LogError, match="there is no log at"):
        open_reader(tmp_path / "none" / "log.db")
    assert first_log.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["first.db"]


def test_a_newer_log_is_refused_and_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", later(m0003_add_a_note))
        Log(path).close()
    before = path.read_bytes()
    with pytest.raises(LogError, match=r"newer version.*m0003_add_a_note.*update the program"):
        Log(path)
    assert path.read_bytes() == before


def test_a_step_that_fails_leaves_nothing_and_the_steps_before_it_stay(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(migrations, "STEPS", later(m0003_add_a_note, m0004_fail_halfway))
    with pytest.raises(LogError, match="already exists"):
        Log(path)
    assert applied(path)[-1] == "m0003_add_a_note"
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
    with pytest.raises(LogError, match="readonly"), log.reading("trying") as db:
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
        "SELECT source, title, count(*) FROM neighbours GROUP BY source, title",
        "SELECT data FROM attributions WHERE turn_id = 't'",
        "SELECT source, title, avg(shapley) FROM effects GROUP BY source, title",
        "SELECT * FROM comparisons WHERE a_turn_id = 't'",
        "SELECT * FROM comparisons WHERE b_turn_id = 't'",
        "SELECT * FROM judgements WHERE turn_id = 't' ORDER BY chunk, rank, annotator",
        "SELECT * FROM presets WHERE is_default",
    ],
)
def test_a_frequent_question_has_an_index(path: Path, sql: str):
    plan = " ".join(row[3] for row in ask(path, f"EXPLAIN QUERY PLAN {sql}"))
    assert "USING" in plan and "INDEX" in plan
    assert "TEMP B-TREE" not in plan
