"""The log kept small, sound and without personal data: log stats, check, vacuum, delete, redact."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.compose import lock
from app.export import collect, to_json
from app.records import Turn
from app.store.log import Log
from app.store.soundness import check
from app.store.upkeep import compact, size
from tests.filled import Filled, change, contents, tables
from tests.terminal import Ran

Run = Callable[..., Ran]


@pytest.fixture
def log(full_log: Log) -> Log:
    return full_log


# ----- stats


def test_stats_count_what_is_there(log: Log, filled: Filled, run: Run):
    counted = json.loads(run("stats", "--json").out)
    flagged = [t for t in (filled.flagged, filled.other, filled.clean) if log.findings(t.id)]
    assert (counted["conversations"], counted["turns"]) == (2, 3)
    assert counted["flagged_turns"] == len(flagged) > 0
    assert (counted["annotations"], counted["withdrawn_annotations"]) == (3, 1)
    assert counted["models"] == [{"preset": "tiny", "weights": "f" * 12, "turns": 3}]
    assert {"label": "personal", "annotator": "Bo", "annotations": 1} in counted[
        "annotations_by_label"
    ]
    assert {"kind": "repetition.loop", "status": "accepted", "findings": 1} in counted[
        "findings_by_kind"
    ]
    assert counted["bytes"] > 100_000
    assert counted["first"] <= counted["last"]
    printed = run("stats").out
    assert "personal.email" in printed and "Ida" in printed


def test_stats_of_an_empty_log(run: Run, blank_log: Path, tmp_path: Path):
    shutil.copy(blank_log, tmp_path)
    assert run("stats").status == 0
    assert json.loads(run("stats", "--json").out)["first"] is None


# ----- check


def test_a_sound_log_is_said_to_be(log: Log, run: Run):
    before = contents(log.path)
    ran = run("check")
    assert (ran.status, ran.err) == (0, "")
    assert all(line.startswith("ok") for line in ran.out.splitlines())
    assert contents(log.path) == before


@pytest.mark.parametrize(
    ("sql", "name", "said"),
    [
        ("UPDATE findings SET quote = 'x' WHERE kind = 'repetition.loop'", "quotes", "finding "),
        ("UPDATE annotations SET quote = 'x'", "quotes", "annotation "),
        ('UPDATE annotations SET "end" = 10000', "quotes", "to 10000"),
        ("UPDATE findings SET status = 'open'", "statuses of findings", "is open, not "),
        ("DELETE FROM turn_tokens", "rows without their owner", "turns without their tokens"),
        ("DELETE FROM neighbours", "rows without their owner", "passage that is not at its place"),
        ("DELETE FROM findings", "rows without their owner", "without a finding"),
        ("DELETE FROM models", "references between rows", "lacks its models"),
        ("DELETE FROM conversations", "references between rows", "lacks its conversations"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(log: Log, run: Run, sql: str, name: str, said: str):
    change(log, sql)
    ran = run("check")
    assert ran.status == 1
    (wrong,) = [c for c in check(log, alone=True) if c.name == name]
    assert said in " ".join(wrong.wrong) and wrong.remedy
    assert f"WRONG {name}" in ran.out and f"what to do: {wrong.remedy}" in ran.out


def test_a_search_index_out_of_step_is_found_and_vacuum_mends_it(log: Log, run: Run):
    change(
        log,
        "DROP TRIGGER turns_fts_update",
        "UPDATE turns SET reply = reply || ' wharf' WHERE n = 1",
    )
    found = run("check")
    assert found.status == 1 and "log vacuum" in found.out
    with open(lock(log.path.parent)):  # beside the application its words are not compared
        assert "not compared" in run("check").out
    log.close()
    assert run("vacuum").status == 0
    assert [c.name for c in check(log_of(log), alone=True) if c.wrong] == []


def test_a_missing_entry_of_the_index_is_found_beside_the_application(log: Log, run: Run):
    change(log, "DELETE FROM turns_fts_docsize WHERE id = 1")
    with open(lock(log.path.parent)):
        ran = run("check")
    assert ran.status == 1 and "turn number 1" in ran.out


def test_a_damaged_file_is_an_error_or_wrong(log: Log, run: Run):
    log.close()
    raw = bytearray(log.path.read_bytes())
    raw[8192 : 8192 + 60_000] = b"\x55" * 60_000
    log.path.write_bytes(raw)
    ran = run("check")
    assert ran.status in (1, 2) and "Traceback" not in ran.err + ran.out


def log_of(log: Log) -> Log:
    return Log(log.path)


# ----- vacuum


def test_vacuum_keeps_everything_and_gives_space_back(log: Log, run: Run, toy_turn: Callable):
    log.save(toy_turn("word " * 4_000, conversation="large"))
    log.delete_conversation("large")
    expected, counted = to_json(collect(log, "talk")), tables(log)
    log.close()
    before = log.path.stat().st_size
    ran = run("vacuum")
    assert ran.status == 0 and "before" in ran.out and "now" in ran.out
    assert log.path.stat().st_size < before
    assert {k: v for k, v in tables(log).items() if "fts" not in k} == {
        k: v for k, v in counted.items() if "fts" not in k
    }
    with closing(Log(log.path)) as again:
        assert to_json(collect(again, "talk")) == expected
        assert [c.id for c in again.conversations("keeper")] == ["talk"]


def test_vacuum_says_how_much_room_it_lacks(closed: Log, run: Run, monkeypatch: pytest.MonkeyPatch):
    before = contents(closed.path)
    monkeypatch.setattr(
        "app.store.upkeep.shutil.disk_usage", lambda path: SimpleNamespace(free=1500)
    )
    problem = run("vacuum").problem
    assert "free on its disk" in problem and "there are 1.5 kB" in problem
    assert contents(closed.path)[:4096] == before[:4096]


@pytest.mark.parametrize(
    "words", [["vacuum"], ["delete", "--conversation=talk", "--yes"], ["redact", "--all", "--yes"]]
)
def test_nothing_is_changed_beside_the_application(log: Log, run: Run, words: list[str]):
    with open(lock(log.path.parent)):
        before = tables(log)
        assert "another Retroscope is using" in run(*words).problem
        assert tables(log) == before


@pytest.mark.parametrize(
    "words",
    [["stats"], ["check"], ["vacuum"], ["delete", "--older-than=1d"], ["redact", "--all"],
     ["export-failures"], ["pairs", "replies"]],
)  # fmt: skip
def test_where_there_is_no_log_none_is_made(run: Run, tmp_path: Path, words: list[str]):
    assert "there is no log at" in run(*words).problem
    assert list(tmp_path.iterdir()) == []


def test_sizes_are_said_in_words():
    assert [size(n) for n in (0, 999, 1500, 2_300_000, 4e12)] == [
        "0 bytes", "999 bytes", "1.5 kB", "2.3 MB", "4000.0 GB",
    ]  # fmt: skip


def test_compacting_a_turns_log_keeps_readers_right(log: Log, filled: Filled):
    before = log.turn(filled.flagged.id)
    compact(log.path)
    assert log.turn(filled.flagged.id) == before == Turn(**vars(before))
