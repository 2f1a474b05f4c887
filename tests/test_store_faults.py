"""The log when the machine does not play along: full disk, locks, kills, damage."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.records import DetectorRun, Turn
from app.store import connection
from app.store.connection import LogError
from app.store.log import Log
from engine.protocol import Reply
from tests.test_effects import measured

Build = Callable[..., Turn]

RUNS = (DetectorRun("empty", "1", "ok", 0.001),)
ROOT = Path(__file__).parent.parent


def assert_sound(path: Path) -> None:
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.execute("INSERT INTO turns_fts (turns_fts, rank) VALUES ('integrity-check', 1)")
    db.close()


def limit_pages(log: Log, more: int) -> None:
    """Lets the file grow by so many pages, after which SQLite meets a full disk."""
    pages = log._writer.execute("PRAGMA page_count").fetchone()[0]
    log._writer.execute(f"PRAGMA max_page_count = {pages + more}")


# Every place at which the disk can fill within the transaction: 0 fails at the first new page.
@pytest.mark.parametrize("more", [0, 1, 2, 5, 10, 20])
def test_a_full_disk_costs_nothing_that_was_saved(log: Log, toy_turn: Build, more: int):
    before, turn = toy_turn(), toy_turn("word " * 3000)
    partial = replace(turn, reply=toy_turn("half a reply").reply, finish="running")
    log.save(before, RUNS)
    log.start(partial)
    limit_pages(log, more)
    with pytest.raises(LogError, match=r"log\.db failed: the disk is full .*free some space"):
        log.save(turn, RUNS)
    assert log.turn(before.id) == before
    assert log.turn(turn.id) == partial
    assert_sound(log.path)

    limit_pages(log, 10_000)
    log.save(turn, RUNS)
    assert log.turn(turn.id) == turn
    assert log.runs(turn.id) == RUNS
    assert_sound(log.path)


@pytest.mark.parametrize("more", [0, 2])
def test_a_full_disk_costs_no_effects_that_were_measured(log: Log, toy_turn: Build, more: int):
    turn = toy_turn()
    log.save(turn)
    log.save_attribution(turn.id, measured(turn))
    (chunk,) = measured(turn).chunks
    large = replace(measured(turn), chunks=(replace(chunk, controls=(0.123456789,) * 20_000),))
    limit_pages(log, more)
    with pytest.raises(LogError, match=r"saving the effects .* the disk is full"):
        log.save_attribution(turn.id, large)
    assert log.attribution(turn.id) == measured(turn)
    limit_pages(log, 10_000)
    log.save_attribution(turn.id, large)
    assert log.attribution(turn.id) == large
    assert_sound(log.path)


def test_small_turns_are_still_saved_after_a_large_one_met_a_full_disk(log: Log, toy_turn: Build):
    limit_pages(log, 8)
    with pytest.raises(LogError):
        log.save(toy_turn("word " * 3000))
    small = toy_turn()
    log.save(small)
    assert log.turn(small.id) == small


FILE_SIZE_LIMIT = """
import json, resource, sys
from pathlib import Path
from app.store.connection import LogError
from app.store.log import Log
from tests.kill_rounds import RUNS, whole

log = Log(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
saved, refused = [], None
for i in range(1000):
    try:
        log.save(whole(f"t{i}"), RUNS)
        saved.append(f"t{i}")
    except LogError as error:
        refused = str(error)
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
kept = all(log.turn(name) == whole(name) for name in saved)
log.save(whole(f"t{len(saved)}"), RUNS)
again = log.turn(f"t{len(saved)}") == whole(f"t{len(saved)}")
log.close()
print(json.dumps({"saved": len(saved), "refused": refused, "kept": kept, "again": again}))
"""


def test_a_file_that_may_not_grow_is_a_clear_error_and_loses_nothing(tmp_path: Path):
    path = tmp_path / "log.db"
    command = [sys.executable, "-c", FILE_SIZE_LIMIT, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert "saving turn" in result["refused"]
    assert str(path) in result["refused"]
    assert "try again" in result["refused"]
    assert result["saved"] > 0
    assert result["kept"]
    assert result["again"]
    assert_sound(path)


def test_a_locked_log_is_a_clear_error_and_can_be_saved_to_later(
    tmp_path: Path, toy_turn: Build, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connection, "WAIT", 0.05)
    log, turn = Log(tmp_path / "log.db"), toy_turn()
    other = sqlite3.connect(log.path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogError, match="another program is writing"):
        log.save(turn)
    assert log.conversations() == ()  # reading goes on
    other.rollback()
    other.close()
    log.save(turn)
    assert log.turn(turn.id) == turn
    log.close()


def test_an_error_of_ours_within_a_transaction_rolls_it_back(log: Log, toy_turn: Build):
    turn = toy_turn()
    broken = replace(turn, reply=Reply("text", (None,), ()))  # pyright: ignore[reportArgumentType]
    with pytest.raises(AttributeError):
        log.save(broken)
    assert log.conversations() == ()
    log.save(turn)
    assert log.turn(turn.id) == turn


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path):
    path = tmp_path / "log.db"
    path.write_bytes(b"not a database " * 100)
    with pytest.raises(LogError, match=r"not an SQLite database.*move it away"):
        Log(path)
    assert path.read_bytes() == b"not a database " * 100


def test_a_damaged_log_is_a_clear_error(tmp_path: Path, toy_turn: Build):
    path = tmp_path / "log.db"
    log, turn = Log(path), toy_turn("word " * 3000)
    log.save(turn)
    log.close()
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = bytes(len(data) - 4096 * 2)
    path.write_bytes(data)
    with pytest.raises(LogError, match="damaged"):
        Log(path).turn(turn.id)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["folder", "file"])
def test_a_path_that_cannot_hold_a_log_is_named(tmp_path: Path, make: Callable[[Path], None]):
    make(tmp_path / "taken")
    path = tmp_path / "taken" if make is Path.mkdir else tmp_path / "taken" / "log.db"
    with pytest.raises(LogError, match=str(path)):
        Log(path)


def kill(program: str, path: Path, rounds: int) -> dict[str, int]:
    command = [sys.executable, "-m", f"tests.{program}", str(path), str(rounds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_process_loses_nothing_it_was_told_was_saved(tmp_path: Path, rounds: int):
    counts = kill("kill_rounds", tmp_path / "log.db", rounds)
    assert counts["rounds"] == rounds
    assert counts["saved"] > 0
    assert counts["crashed"] > 0
    assert (counts["lost"], counts["partial_lost"], counts["unsound"]) == (0, 0, 0)


@pytest.mark.parametrize("rounds", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_two_annotators_and_a_kill_lose_nothing_they_were_told_was_saved(
    tmp_path: Path, rounds: int
):
    counts = kill("kill_marks", tmp_path / "log.db", rounds)
    assert counts["told"] > rounds
    assert (counts["lost"], counts["back"], counts["wrong"], counts["unsound"]) == (0, 0, 0, 0)
