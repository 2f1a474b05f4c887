"""app.cli replay: a reply from the log is written again by the command line and compared."""

import json
import os
import sqlite3
from contextlib import closing

import pytest

from app.compose import load, lock, open_application
from app.records import Turn
from app.turn import Finished
from tests.terminal import Terminal

QUESTION = "When was the harbour dug?"


def asked(terminal: Terminal, *words: object) -> dict:
    ran = terminal("ask", QUESTION, *words, "--json")
    assert ran.status == 0
    return json.loads(ran.out)


def replayed(terminal: Terminal, turn: str, status: int = 0) -> dict:
    ran = terminal("replay", turn, "--json")
    assert (ran.status, ran.err) == (status, "")
    return json.loads(ran.out)


def edit(terminal: Terminal, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(terminal.options.log)) as log, log:
        assert log.execute(sql, values).rowcount == 1


def test_an_answer_of_several_chunks_comes_again(terminal):
    said = asked(terminal, "--seed", 5)
    assert len(said["chunks"]) > 1
    found = replayed(terminal, said["turn_id"])
    assert set(found) == {"same_tokens", "turn", "tokens", "first", "passages", "seconds"}
    assert (found["same_tokens"], found["first"], found["passages"]) == (True, None, "same")
    assert found["turn"] == said["turn_id"] and found["tokens"] > 8 and found["seconds"] > 0


def test_an_answer_after_an_earlier_one_comes_again(terminal):
    with closing(open_application(terminal.options)) as application:
        load(application, terminal.options)
        turns: list[Turn] = []
        for message in (QUESTION, "And the tide?"):
            place = {"conversation": turns[0].conversation, "parent": turns[0].id} if turns else {}
            *_, last = application.turns.run(message, application.defaults, **place)
            assert isinstance(last, Finished)
            turns.append(last.turn)
    first, second = (t.reply.done.prompt_tokens for t in turns if t.reply.done)
    assert second > first + len(turns[0].reply.tokens)  # it was shown the first
    found = replayed(terminal, turns[1].id)
    assert (found["same_tokens"], found["passages"]) == (True, "same")


def test_another_seed_in_the_log_is_found_and_said(terminal):
    turn, other = (asked(terminal, "--seed", seed)["turn_id"] for seed in (3, 4))
    edit(
        terminal,
        "UPDATE turns SET settings = json_set(settings, '$.sampling.seed', 4) WHERE id = ?", turn,
    )  # fmt: skip
    with closing(open_application(terminal.options)) as application:
        a, b = (application.log.turn(id).reply.tokens for id in (turn, other))
    at = next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x.id != y.id)
    found = replayed(terminal, turn, status=1)
    assert not found["same_tokens"]
    assert (found["first"]["index"], found["tokens"]) == (at, at)
    ran = terminal("replay", turn)
    assert ran.status == 1
    assert f"turn {turn}: differs at token {at + 1}: " in ran.out


def test_after_more_passages_are_added_the_logged_ones_are_shown(terminal, tmp_path):
    said = asked(terminal)
    more = tmp_path / "more.md"
    more.write_text("The harbour was dug again in 1512, when the harbour was old. When was it dug?")
    assert terminal("ingest", more).status == 0
    found = replayed(terminal, said["turn_id"])
    assert found["same_tokens"]
    assert found["passages"] == "pinned, because the passages have changed since"
    assert "pinned, because" in terminal("replay", said["turn_id"]).out


def test_replaying_leaves_no_turn_in_the_log(terminal):
    said = asked(terminal, "--max-tokens", 3)
    replayed(terminal, said["turn_id"])
    with closing(sqlite3.connect(terminal.options.log)) as log:
        assert log.execute("SELECT count(*) FROM turns").fetchone() == (1,)


def test_a_turn_that_is_not_in_the_log_is_refused(terminal):
    assert "has no turn 01NOTHING" in terminal("replay", "01NOTHING").problem


def test_a_turn_of_another_model_is_refused_with_both_fingerprints(terminal, tiny):
    said = asked(terminal, "--max-tokens", 3)
    edit(
        terminal, "UPDATE turns SET model = json_set(model, '$.fingerprint', ?) WHERE id = ?",
        "0123456789abcdef" * 4, said["turn_id"],
    )  # fmt: skip
    problem = terminal("replay", said["turn_id"]).problem
    assert "0123456789ab (tiny)" in problem and tiny.info.fingerprint[:12] in problem
    assert "--weights" in problem


def test_a_data_directory_in_use_is_refused(terminal):
    said = asked(terminal, "--max-tokens", 3)
    descriptor = lock(terminal.options.data)
    try:
        assert "another Retroscope is using" in terminal("replay", said["turn_id"]).problem
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("words", [["replay"], ["replay", "a", "b"]])
def test_words_that_make_no_command_are_answered_with_the_usage(terminal, words):
    ran = terminal(*words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("usage: app.py")
