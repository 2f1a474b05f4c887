import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.records import Turn
from app.store.connection import LogError
from app.store.log import Log
from engine.attribution import Attribution, ChunkEffect, NeighbourEffect
from tests.drawn import attributions, replies, turns

Build = Callable[..., Turn]


def measured(turn: Turn, shapley: float = 0.5) -> Attribution:
    """Effects that fit a turn: the passages together bring 1 nat a token."""
    effect = NeighbourEffect(shapley, shapley / 2, 0.5)
    chunks = []
    for chunk in turn.reply.chunks:
        n = chunk.last - chunk.first
        effects = (effect,) * len(chunk.neighbours)
        chunks.append(ChunkEffect((-1.0,) * n, (-2.0,) * n, effects, (0.1,)))
    return Attribution(tuple(chunks), (-2.0,) * len(turn.reply.tokens), 0.25)


def ask(log: Log, sql: str) -> list[tuple]:
    """What a person sees in the sqlite3 shell."""
    connection = sqlite3.connect(log.path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@given(data=st.data(), turn=turns(replies()))
@settings(max_examples=15, deadline=None)
def test_effects_are_read_back_as_they_were_saved(shared_log: Log, data: Any, turn: Turn):
    attribution = data.draw(attributions(turn.reply))
    shared_log.save(turn)
    shared_log.save_attribution(turn.id, attribution)
    assert shared_log.attribution(turn.id) == attribution


def test_a_turn_that_was_not_measured_has_no_effects(log: Log, toy_turn: Build):
    turn = toy_turn()
    log.save(turn)
    assert log.attribution(turn.id) is None
    assert log.attribution("nowhere") is None


def test_measuring_again_replaces_the_effects(log: Log, toy_turn: Build):
    turn = toy_turn("word " * 70)
    log.save(turn)
    log.save_attribution(turn.id, measured(turn))
    log.save_attribution(turn.id, measured(turn, 7.0))
    assert log.attribution(turn.id) == measured(turn, 7.0)
    assert ask(log, "SELECT chunk, rank, shapley FROM effects") == [
        (0, 0, 7.0), (0, 1, 7.0), (1, 0, 7.0), (1, 1, 7.0),
    ]  # fmt: skip


def test_effects_stay_when_the_same_reply_is_saved_again(log: Log, toy_turn: Build):
    turn = toy_turn()
    log.save(turn)
    log.save_attribution(turn.id, measured(turn))
    log.save(replace(turn, finish="length"))
    assert log.attribution(turn.id) == measured(turn)


@pytest.mark.parametrize(
    "change",
    [
        lambda turn: replace(turn.reply, tokens=tuple(reversed(turn.reply.tokens))),
        lambda turn: replace(
            turn.reply,
            chunks=tuple(replace(c, neighbours=c.neighbours[:1]) for c in turn.reply.chunks),
        ),
    ],
    ids=["tokens", "passages"],
)
def test_effects_go_when_the_turn_is_saved_with_other(log: Log, toy_turn: Build, change: Callable):
    turn = toy_turn()
    log.save(turn)
    log.save_attribution(turn.id, measured(turn))
    log.save(replace(turn, reply=change(turn)))
    assert log.attribution(turn.id) is None
    assert ask(log, "SELECT * FROM effects") == []


def test_effects_of_another_reply_are_refused_and_change_nothing(log: Log, toy_turn: Build):
    turn, other = toy_turn(), toy_turn("Another reply of more words than the first has.")
    log.save(turn)
    log.save_attribution(turn.id, measured(turn))
    with pytest.raises(LogError, match=r"of another reply .* measure it again"):
        log.save_attribution(turn.id, measured(other))
    assert log.attribution(turn.id) == measured(turn)


def test_effects_of_an_unfinished_or_unknown_turn_are_refused(log: Log, toy_turn: Build):
    turn = toy_turn()
    log.start(turn)
    with pytest.raises(LogError, match="still being written"):
        log.save_attribution(turn.id, measured(turn))
    with pytest.raises(LogError, match="no turn nowhere"):
        log.save_attribution("nowhere", measured(turn))


def test_effects_go_with_their_conversation(log: Log, toy_turn: Build):
    turn = toy_turn()
    log.save(turn)
    log.save_attribution(turn.id, measured(turn))
    log.delete_conversation(turn.conversation)
    assert ask(log, "SELECT * FROM attributions") == ask(log, "SELECT * FROM effects") == []


def test_the_tables_show_gain_and_effects(log: Log, toy_turn: Build):
    turn = toy_turn("word " * 70)
    log.save(turn)
    log.save_attribution(turn.id, measured(turn, 1.25))
    assert ask(log, "SELECT gain, seconds FROM attributions") == [(71.0, 0.25)]
    shown = ask(log, "SELECT chunk, rank, effect FROM shown_passages")
    assert shown == [(0, 0, 1.25), (0, 1, 1.25), (1, 0, 1.25), (1, 1, 1.25)]


def test_a_gain_that_is_no_number_is_left_out_of_the_table(log: Log, toy_turn: Build):
    turn = toy_turn()
    log.save(turn)
    never = replace(measured(turn), bare=(float("-inf"),) * len(turn.reply.tokens))
    log.save_attribution(turn.id, never)
    assert ask(log, "SELECT gain FROM attributions") == [(None,)]
    assert log.attribution(turn.id) == never


# ----- documents


def test_documents_are_counted_once_a_chunk_and_passage(log: Log, toy_turn: Build):
    log.save(toy_turn())
    log.save(toy_turn("word " * 70))
    assert log.shown_counts() == {
        ("library/1.md", "Title 1"): 2,
        ("library/2.md", "Title 2"): 2,
        ("library/3.md", "Title 3"): 1,
        ("library/4.md", "Title 4"): 1,
    }


def test_documents_are_shown_with_their_mean_gain_where_measured(log: Log, toy_turn: Build):
    for shapley in (1.0, 4.0):
        turn = toy_turn()
        log.save(turn)
        log.save_attribution(turn.id, measured(turn, shapley))
    log.save(toy_turn("word " * 70))
    columns = "title, source, times_shown, times_measured, mean_gain"
    assert ask(log, f"SELECT {columns} FROM retrieved_documents") == [
        ("Title 1", "library/1.md", 3, 2, 2.5),
        ("Title 2", "library/2.md", 3, 2, 2.5),
        ("Title 3", "library/3.md", 1, 0, None),
        ("Title 4", "library/4.md", 1, 0, None),
    ]
