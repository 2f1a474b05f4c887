"""Comparisons of replies, and judgements of passages."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from app.records import Comparison, Judgement, Turn
from app.store.connection import LogError
from app.store.log import Log

Build = Callable[..., Turn]


def ask(log: Log, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(log.path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def pair(log: Log, toy_turn: Build) -> tuple[Turn, Turn]:
    """Two replies to one message."""
    a, b = toy_turn(), toy_turn("It was dug in 1920.")
    log.save(a)
    log.save(b)
    return a, b


def test_a_comparison_is_of_two_turns_and_a_change(log: Log, pair: tuple[Turn, Turn]):
    a, b = pair
    made = log.compare(a.id, b.id, "retrieval off")
    assert made == Comparison(made.id, a.id, b.id, "retrieval off", None, made.created)
    assert log.comparisons(a.id) == log.comparisons(b.id) == (made,)


def test_comparing_again_is_the_same_comparison(log: Log, pair: tuple[Turn, Turn]):
    a, b = pair
    made = log.compare(a.id, b.id, "half \ud800")
    log.vote(made.id, "b")
    assert log.compare(a.id, b.id, "half \ud800") == replace(made, vote="b")


def test_another_change_or_order_is_another_comparison(log: Log, pair: tuple[Turn, Turn]):
    a, b = pair
    made = [log.compare(a.id, b.id, "x"), log.compare(b.id, a.id, "x"), log.compare(a.id, b.id, "")]
    assert list(log.comparisons(a.id)) == made  # oldest first


def test_a_vote_can_be_changed_and_taken_back(log: Log, pair: tuple[Turn, Turn]):
    made = log.compare(pair[0].id, pair[1].id, "x")
    for vote in ("a", "b", "tie", None):
        log.vote(made.id, vote)
        assert log.comparisons(pair[0].id) == (replace(made, vote=vote),)
        voted = ask(log, "SELECT voted IS NOT NULL FROM comparisons")
        assert voted == [(int(vote is not None),)]


def test_a_vote_or_verdict_of_another_kind_is_refused(log: Log, pair: tuple[Turn, Turn]):
    made = log.compare(pair[0].id, pair[1].id, "x")
    with pytest.raises(LogError, match="'c'; give a, b or tie"):
        log.vote(made.id, "c")  # pyright: ignore[reportArgumentType]
    with pytest.raises(LogError, match="'bad'; give useful, not or misleading"):
        log.judge(pair[0].id, 0, 0, "bad")  # pyright: ignore[reportArgumentType]


def test_what_cannot_be_compared_is_refused(log: Log, pair: tuple[Turn, Turn], toy_turn: Build):
    a, _ = pair
    other = toy_turn(message="Another question?")
    log.save(other)
    for b, problem in ((a.id, "itself"), (other.id, "different messages"), ("x", "not in the log")):
        with pytest.raises(LogError, match=problem):
            log.compare(a.id, b, "x")
    with pytest.raises(LogError, match="no comparison x"):
        log.vote("x", "a")
    assert log.comparisons(a.id) == ()


def test_comparisons_survive_saving_and_go_with_either_conversation(log: Log, toy_turn: Build):
    a, b = toy_turn(), toy_turn(conversation="other")
    log.save(a)
    log.save(b)
    made = log.compare(a.id, b.id, "x")
    log.save(replace(b, reply=toy_turn("Other words.").reply))
    assert log.comparisons(a.id) == (made,)
    log.delete_conversation("other")
    assert log.comparisons(a.id) == ()


def test_both_texts_of_a_comparison_are_in_one_row(log: Log, pair: tuple[Turn, Turn]):
    a, b = pair
    made = log.compare(a.id, b.id, "x")
    log.vote(made.id, "tie")
    columns = "comparison_id, change, vote, message, reply_a, reply_b"
    assert ask(log, f"SELECT {columns} FROM compared_replies") == [
        (made.id, "x", "tie", a.message, a.reply.text, b.reply.text)
    ]


# ----- judgements


def test_judgements_come_in_the_order_of_the_reply(log: Log, toy_turn: Build):
    turn = toy_turn("word " * 70)
    log.save(turn)
    log.judge(turn.id, 1, 0, "not")
    log.judge(turn.id, 0, 1, "useful")
    log.judge(turn.id, 0, 1, "misleading", "Ann")
    assert log.judgements(turn.id) == (
        Judgement(turn.id, 0, 1, "useful"),
        Judgement(turn.id, 0, 1, "misleading", "Ann"),
        Judgement(turn.id, 1, 0, "not"),
    )


def test_a_judgement_can_be_changed_and_taken_back(log: Log, pair: tuple[Turn, Turn]):
    turn = pair[0].id
    log.judge(turn, 0, 0, "not", "Ann")
    log.judge(turn, 0, 0, "useful", "Ann")
    assert log.judgements(turn) == (Judgement(turn, 0, 0, "useful", "Ann"),)
    log.judge(turn, 0, 0, None)  # somebody else, who had said nothing
    assert len(log.judgements(turn)) == 1
    log.judge(turn, 0, 0, None, "Ann")
    assert log.judgements(turn) == ()


def test_a_passage_can_be_judged_while_the_reply_is_written(log: Log, toy_turn: Build):
    turn = toy_turn("word " * 70)
    log.start(toy_turn("", id=turn.id))
    log.progress(turn.id, toy_turn("word " * 10).reply)
    log.judge(turn.id, 0, 1, "useful")
    log.progress(turn.id, toy_turn("word " * 40).reply)
    log.save(turn)
    assert log.judgements(turn.id) == (Judgement(turn.id, 0, 1, "useful"),)


def test_a_judgement_goes_when_its_place_shows_another_passage(log: Log, pair: tuple[Turn, Turn]):
    turn = pair[0]
    log.judge(turn.id, 0, 0, "useful")
    log.judge(turn.id, 0, 1, "not")
    (chunk,) = turn.reply.chunks
    other = replace(chunk.neighbours[1], text="another passage")
    chunk = replace(chunk, neighbours=(chunk.neighbours[0], other))
    log.save(replace(turn, reply=replace(turn.reply, chunks=(chunk,))))
    assert log.judgements(turn.id) == (Judgement(turn.id, 0, 0, "useful"),)


@pytest.mark.parametrize("place", [("nowhere", 0, 0), (None, 1, 0), (None, 0, 2), (None, 0, -1)])
def test_a_place_without_a_passage_cannot_be_judged(
    log: Log, pair: tuple[Turn, Turn], place: tuple[str | None, int, int]
):
    turn, chunk, rank = place
    with pytest.raises(LogError, match="no passage to judge"):
        log.judge(turn or pair[0].id, chunk, rank, "useful")


def test_the_judged_passage_is_in_the_table(log: Log, pair: tuple[Turn, Turn]):
    log.judge(pair[0].id, 0, 1, "misleading", "Ann")
    columns = "verdict, annotator, title, source, passage"
    assert ask(log, f"SELECT {columns} FROM judgements") == [
        ("misleading", "Ann", "Title 2", "library/2.md", "passage 2")
    ]
    log.delete_conversation("toy")
    assert ask(log, "SELECT * FROM judgements") == []
