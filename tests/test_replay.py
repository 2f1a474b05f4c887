"""app.replay and Turns.replay: a logged reply is written again with a tiny model and compared."""

import itertools
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from app.records import Settings, Turn
from app.replay import PINNED, NotReplayable, Parting, Replay
from app.store.log import Log
from app.turn import Finished, Started, Turns
from engine.local import LocalEngine
from engine.protocol import Sampling, TokenEvent
from retrieval.protocol import Neighbour

M = 8  # tokens in a chunk of the tiny model
PLAIN = Settings(Sampling(temperature=1, top_p=1, max_tokens=2 * M + 4, seed=3), history=2)


def passage(i: int) -> Neighbour:
    ids = np.random.default_rng(i).integers(4, 400, 2 * M).tolist()
    return Neighbour(
        i, i, f"Title {i}", "toy", 0, 0, 9, f"Passage {i}.", "", tuple(ids[:M]), tuple(ids[M:]), 0.5
    )


class Shelf:
    """Passages to find: which ones depends on the query and on the edition."""

    def __init__(self) -> None:
        self.edition, self.name = 0, "db"

    def find(self, query: str, k: int) -> Sequence[Neighbour]:
        first = sum(map(ord, query)) % 50 + 100 * self.edition
        return [passage(first + j) for j in range(k)]

    def draw(self, count: int, seed: int) -> Sequence[Neighbour]:
        return [passage(1000 + (seed + j) % 500) for j in range(count)]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def turns(tiny: LocalEngine, log: Log, shelf: Shelf) -> Turns:
    tiny.use(shelf.find)
    return Turns(
        tiny, log, retrieve=shelf.find, database=lambda: shelf.name, draw=shelf.draw,
        encode_offsets=tiny.tokenizer.encode_offsets,
    )  # fmt: skip


def say(turns: Turns, settings: Settings = PLAIN, message: str = "When?", after=None) -> Turn:
    place = {"parent": after.id, "conversation": after.conversation} if after else {}
    *_, last = turns.run(message, settings, **place)
    assert isinstance(last, Finished) and not last.unsaved
    return last.turn


def again(turns: Turns, turn: Turn) -> Replay:
    *_, last = turns.replay(turn.id)
    assert isinstance(last, Replay)
    return last


def test_a_reply_of_several_chunks_comes_again_with_its_passages(turns):
    turn = say(turns)
    assert len(turn.reply.chunks) == 3
    found = again(turns, turn)
    assert (found.turn, found.tokens, found.first) == (turn.id, 2 * M + 4, None)
    assert found.passages == "same"
    assert found.same and found.same_tokens and found.seconds > 0


def test_an_earlier_turn_and_every_kind_of_setting_come_again(turns):
    first = say(turns)
    shown, _ = first.reply.chunks[0].neighbours
    for settings in (
        PLAIN,
        replace(PLAIN, in_context=True, template="{passage}\n\nQ: {message}\nA:"),
        replace(PLAIN, pinned=(passage(7),), without=(shown.chunk_id,), follow="chunk"),
        replace(PLAIN, random=True),
        replace(PLAIN, retrieve=False),
    ):
        turn = say(turns, settings, after=first)
        assert turn.reply.done is not None and first.reply.done is not None
        assert turn.reply.done.prompt_tokens > first.reply.done.prompt_tokens + 2 * M
        found = again(turns, turn)
        assert (found.first, found.passages) == (None, "same")


def test_nothing_is_written_to_the_log(turns, log):
    turn = say(turns)
    with closing(sqlite3.connect(log.path)) as db:
        before = list(db.iterdump())
        again(turns, turn)
        assert list(db.iterdump()) == before


def test_another_seed_in_the_log_is_found_at_the_first_token_that_differs(turns, log):
    turn = say(turns)
    other = say(turns, replace(PLAIN, sampling=replace(PLAIN.sampling, seed=4)))
    at = next(i for i, (a, b) in enumerate(zip(turn.reply.tokens, other.reply.tokens, strict=False))
              if a.id != b.id)  # fmt: skip
    log.save(replace(turn, settings=other.settings))
    found = again(turns, turn)
    assert not found.same
    assert found.first is not None and (found.first.index, found.tokens) == (at, at)
    for said, written in ((found.first.logged, turn), (found.first.new, other)):
        token = written.reply.tokens[at]
        assert said == (token.text or f"token {token.id}")


def test_passages_that_come_back_differently_are_said_with_their_chunk(turns, log, shelf):
    turn = say(turns)
    first, second, third = turn.reply.chunks
    shown = (first, replace(second, neighbours=(passage(1), passage(2))), third)
    log.save(replace(turn, reply=replace(turn.reply, chunks=shown)))
    found = again(turns, turn)
    assert found.passages == "different at chunk 2"
    assert found.same_tokens and not found.same
    shelf.edition = 1
    assert again(turns, turn).passages == "different at chunk 1"


def test_where_the_passages_have_changed_the_logged_ones_are_shown(turns, shelf):
    turn = say(turns, replace(PLAIN, in_context=True))
    random = say(turns, replace(PLAIN, random=True))
    shelf.edition, shelf.name = 1, "another"
    for logged in (turn, random):
        found = again(turns, logged)
        assert (found.first, found.passages) == (None, PINNED)
        assert found.same


def test_where_no_passages_were_shown_it_does_not_matter_that_they_changed(turns, shelf):
    turn = say(turns, replace(PLAIN, retrieve=False))
    shelf.name = "another"
    assert again(turns, turn).passages == "same"


def test_a_search_that_failed_is_not_made_again(turns, tiny, shelf):
    def broken(query: str, k: int) -> Sequence[Neighbour]:
        if query == "When?":
            raise OSError("index unreadable")
        return shelf.find(query, k)

    tiny.use(broken)
    turn = say(turns)
    assert [bool(c.error) for c in turn.reply.chunks] == [True, False, False]
    tiny.use(shelf.find)
    found = again(turns, turn)
    assert (found.first, found.passages) == (None, "same")


def test_a_search_that_fails_now_is_said(turns, tiny):
    turn = say(turns)

    def broken(query: str, k: int) -> Sequence[Neighbour]:
        raise OSError("index unreadable")

    tiny.use(broken)
    assert (
        "different at chunk 1: the search failed (index unreadable" in again(turns, turn).passages
    )


@pytest.mark.parametrize("tokens", [0, 1, M, M + 3])
def test_a_stopped_reply_is_compared_as_far_as_it_came(turns, log, tokens):
    written = itertools.count(1)
    with closing(turns.run("When?", PLAIN)) as events:
        started = next(events)
        for event in events:
            if tokens == 0 or (isinstance(event, TokenEvent) and next(written) == tokens):
                break
    assert isinstance(started, Started)
    turn = log.turn(started.turn.id)
    assert (turn.finish, len(turn.reply.tokens)) == ("stopped", tokens)
    found = again(turns, turn)
    assert (found.tokens, found.first, found.passages) == (tokens, None, "same")


def test_a_reply_that_ends_elsewhere_now_differs_there(turns, log):
    turn = say(turns)
    tokens = turn.reply.tokens
    log.save(replace(turn, reply=replace(turn.reply, tokens=tokens[:-1])))
    shorter = again(turns, turn)
    assert shorter.first == Parting(len(tokens) - 1, "", tokens[-1].text)
    log.save(replace(turn, reply=replace(turn.reply, tokens=(*tokens, tokens[0]))))
    longer = again(turns, turn)
    assert longer.first == Parting(len(tokens), tokens[0].text, "")


@pytest.mark.parametrize("what", ["fingerprint", "tokenizer"])
def test_another_model_is_refused_and_both_are_named(turns, log, tiny, what):
    turn = say(turns)
    log.save(replace(turn, model=replace(turn.model, **{what: "0123456789abcdef" * 4})))
    with pytest.raises(NotReplayable) as refused:
        again(turns, turn)
    now = getattr(tiny.info, what)
    assert "0123456789ab (tiny)" in str(refused.value)
    assert f"{now[:12]} (tiny)" in str(refused.value)
    assert now not in str(refused.value)


def test_a_reply_under_way_is_refused(turns, log):
    turn = say(turns)
    log.save(replace(turn, finish="running"))
    with pytest.raises(NotReplayable, match="still being written"):
        again(turns, turn)


def test_closing_a_replay_frees_the_engine(turns):
    turn = say(turns)
    with closing(turns.replay(turn.id)) as events:
        next(events)
        next(events)
    assert again(turns, turn).same


def test_a_line_for_a_person_says_what_was_found():
    same = Replay("T1", 20, None, "same", 1.25)
    assert str(same) == "T1: the same 20 tokens again; passages: same (1.2 s)"
    other = Replay("T1", 3, Parting(3, " the", ""), PINNED, 1.25)
    assert "differs at token 4: “ the” in the log, its end now; passages: pinned" in str(other)
    assert other.to_dict()["first"] == {"index": 3, "logged": " the", "new": ""}
    assert (same.to_dict()["same_tokens"], other.to_dict()["same_tokens"]) == (True, False)
