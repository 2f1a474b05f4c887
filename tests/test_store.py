import re
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from app.records import DetectorRun, Finding, Settings, Turn
from app.store.connection import LogError
from app.store.ids import new_id, now
from app.store.log import Log
from engine.protocol import Reply, Sampling, TokenEvent
from tests.drawn import turns

Build = Callable[..., Turn]

FOUND = Finding(
    kind="repetition.loop", start=4, end=11, quote="harbour", score=3.5, threshold=3.0,
    severity="warn", explanation="Said <b>often</b>.", evidence={"period": 2, "spans": [[4, 11]]},
)  # fmt: skip
RUNS = (
    DetectorRun("repetition", "1", "found", 0.002, (FOUND, replace(FOUND, start=0, end=3))),
    DetectorRun("empty", "1", "ok", 0.001),
    DetectorRun("broken", "2", "error", 0.0, (), "KeyError: 'x'"),
)


def ask(log: Log, sql: str, *parameters: object) -> list[tuple]:
    """What a person sees in the sqlite3 shell."""
    connection = sqlite3.connect(log.path)
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def assert_sound(log: Log) -> None:
    assert ask(log, "PRAGMA integrity_check") == [("ok",)]
    assert ask(log, "PRAGMA foreign_key_check") == []
    # rank 1 compares the search index with the text of the turns
    ask(log, "INSERT INTO turns_fts (turns_fts, rank) VALUES ('integrity-check', 1)")


# ----- nothing is lost between a turn and its rows


@given(turn=turns())
@settings(max_examples=60, deadline=None)
def test_a_turn_is_read_back_as_it_was_saved(shared_log: Log, turn: Turn):
    shared_log.save(turn)
    assert shared_log.turn(turn.id) == turn


@given(before=turns(), after=turns())
@settings(max_examples=25, deadline=None)
def test_saving_again_replaces_every_part(shared_log: Log, before: Turn, after: Turn):
    after = replace(after, id=before.id, conversation=before.conversation)
    shared_log.save(before, RUNS)
    shared_log.save(after, RUNS[1:])
    assert shared_log.turn(before.id) == after
    assert shared_log.runs(before.id) == RUNS[1:]


def test_the_search_index_and_foreign_keys_hold_after_many_odd_turns(shared_log: Log):
    assert_sound(shared_log)


def test_a_lone_surrogate_is_stored_as_one_replacement_character(log: Log, toy_turn: Build):
    event = TokenEvent(1, "a\ud83d", -1.0, (("\ude00", -1.0),), 0)
    turn = toy_turn(message="\udfff?", reply=Reply("a\ud83d\ude00b", (event,), ()))
    log.save(turn, (DetectorRun("d", "1", "error", 0.0, (), "bad \ud800"),))
    read = log.turn(turn.id)
    assert (read.message, read.reply.text) == ("\ufffd?", "a\ufffd\ufffdb")
    assert read.reply.tokens == (TokenEvent(1, "a\ufffd", -1.0, (("\ufffd", -1.0),), 0),)
    assert log.runs(turn.id)[0].message == "bad \ufffd"


def test_a_megabyte_of_message_is_kept_and_its_title_is_short(log: Log, toy_turn: Build):
    turn = toy_turn(message="harbour \x00 wall\n" * 65_536)
    log.save(turn)
    assert log.turn(turn.id) == turn
    assert log.conversations()[0].title == "harbour wall"


# ----- what a person sees in the tables


def test_findings_and_runs_are_read_back_as_they_were_saved(log: Log, toy_turn: Build):
    turn = toy_turn()
    log.save(turn, RUNS)
    assert log.runs(turn.id) == RUNS
    assert log.findings(turn.id) == (RUNS[0].findings[1], FOUND)  # in the order of the reply


def test_evidence_that_json_does_not_know_does_not_lose_the_turn(log: Log, toy_turn: Build):
    turn = toy_turn()
    odd = replace(FOUND, evidence={"path": Path("a"), "nan": float("nan"), "set": (1, 2)})
    log.save(turn, (DetectorRun("d", "1", "found", 0.0, (odd,)),))
    assert log.findings(turn.id)[0].evidence == {"path": "a", "nan": "nan", "set": [1, 2]}


def test_the_views_show_failures_and_passages(log: Log, toy_turn: Build):
    turn = toy_turn("word " * 70)
    log.save(turn, RUNS)
    cases = ask(log, "SELECT turn_id, kind, status, quote, model, prompt FROM failure_cases")
    assert cases[0] == (turn.id, FOUND.kind, "open", "harbour", "tiny", turn.message)
    shown = ask(log, "SELECT chunk, rank, title, distance, passage, written FROM shown_passages")
    assert shown[0] == (0, 0, "Title 1", 0.25, "passage 1", turn.reply.text[:160])
    assert [row[:3] for row in shown] == [
        (0, 0, "Title 1"), (0, 1, "Title 2"), (1, 0, "Title 3"), (1, 1, "Title 4"),
    ]  # fmt: skip


def test_a_turn_has_columns_to_sort_and_filter_by(log: Log, toy_turn: Build):
    turn = toy_turn(settings=Settings(Sampling(temperature=0, seed=7), retrieve=False, k=3))
    log.save(turn)
    columns = "seed, temperature, retrieve, k, n_tokens, prompt_tokens, first_token_ms, total_ms"
    row = ask(log, f"SELECT {columns}, mean_logprob, app_version, model_id FROM turns")
    assert row == [(7, 0.0, 0, 3, 6, 12, 125, 2000, -0.5, "0.1.0", "f" * 64)]


# ----- from start to save


def test_a_started_turn_is_in_the_log_as_running(log: Log, toy_turn: Build):
    turn = toy_turn("")
    log.start(turn)
    assert log.turn(turn.id) == replace(turn, finish="running")


def test_progress_replaces_the_partial_reply(log: Log, toy_turn: Build):
    turn, partial = toy_turn("word " * 200), toy_turn("word " * 100).reply
    log.start(replace(turn, reply=Reply("", (), ())))
    log.progress(turn.id, toy_turn("word " * 10).reply)
    log.progress(turn.id, partial)
    assert log.turn(turn.id) == replace(turn, reply=partial, finish="running")
    log.save(turn, RUNS)
    assert log.turn(turn.id) == turn
    assert_sound(log)


def test_progress_after_save_is_refused_and_changes_nothing(log: Log, toy_turn: Build):
    turn = toy_turn()
    log.save(turn)
    with pytest.raises(LogError, match="has been saved"):
        log.progress(turn.id, toy_turn("other").reply)
    assert log.turn(turn.id) == turn


def test_a_turn_cannot_be_started_twice(log: Log, toy_turn: Build):
    turn = toy_turn()
    log.save(turn)
    with pytest.raises(LogError, match="started before"):
        log.start(replace(turn, message="another"))
    assert log.turn(turn.id) == turn


def test_recover_marks_only_unfinished_turns_as_crashed(log: Log, toy_turn: Build):
    done, cut = toy_turn(), toy_turn("half a rep")
    log.save(done)
    log.start(cut)
    assert log.recover() == (cut.id,)
    assert log.turn(done.id) == done
    assert log.turn(cut.id).finish == "crashed"
    assert log.turn(cut.id).reply == cut.reply
    assert log.recover() == ()


def test_many_threads_write_and_read_at_once(log: Log, toy_turn: Build):
    together = threading.Barrier(8)

    def work(i: int) -> list[bool]:
        together.wait()
        kept = []
        for j in range(5):
            turn = toy_turn(f"reply {i} {j}", conversation=f"c{i}")
            log.start(turn)
            log.progress(turn.id, turn.reply)
            log.save(turn, RUNS)
            kept.append(log.turn(turn.id) == turn and len(log.runs(turn.id)) == len(RUNS))
        return kept

    with ThreadPoolExecutor(8) as pool:
        assert all(all(kept) for kept in pool.map(work, range(8)))
    assert [c.turns for c in log.conversations()] == [5] * 8
    assert_sound(log)


def test_a_closed_log_says_so(log: Log, toy_turn: Build):
    log.close()
    with pytest.raises(LogError, match="closed"):
        log.conversations()
    with pytest.raises(LogError, match="closed"):
        log.save(toy_turn())


# ----- ids and times


def test_ids_are_ulids_that_sort_in_the_order_they_were_made():
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert all(len(i) == 26 and set(i) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for i in ids)
    assert ids[0][0] in "01234567"  # 128 bits in 130


def test_times_are_utc_with_milliseconds():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())
