"""The course of one reply, step by step, without a model."""

from collections.abc import Sequence

import numpy as np
import pytest

from engine.layout import Layout
from engine.presets import preset
from engine.protocol import ChunkEvent, DoneEvent, Event, Request, Sampling, TokenEvent
from engine.slots import Drawn
from engine.tokenizer import EOS, Tokenizer
from engine.writing import Prompt, Read, Search, Token, Writing
from retrieval.protocol import Neighbour

TINY = preset("tiny")
M = TINY.chunk


def neighbour(id: int) -> Neighbour:
    return Neighbour(id, id, "", "", 0, 0, 0, "", "", (id,), ())


A, B, C = map(neighbour, (1, 2, 3))


def layout_of(size: int, shown: dict[int, tuple[Neighbour, ...]] | None = None) -> Layout:
    return Layout(np.arange(size, dtype=np.int32) + 4, np.arange(size) > 0, shown or {})


class Clock:
    """One second later each time it is looked at."""

    def __init__(self) -> None:
        self.now = -1.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def begin(tokenizer: Tokenizer):
    """begin(size, at=0, ...): a reply to a prompt of so many tokens, and its first events."""

    def make(
        size: int, at: int = 0, *, tokens: int = 3 * M, searches: bool = True, shown=None, p=TINY,
        **fields,
    ) -> tuple[Writing, list[Event]]:  # fmt: skip
        request = Request((), "why", Sampling(max_tokens=tokens), **fields)
        writing = Writing(
            request, layout_of(size, shown), p, tokenizer, TINY.context, searches=searches,
            clock=Clock(),
        )  # fmt: skip
        return writing, writing.begin(at)

    return make


def drawn(token: int = 70) -> Drawn:
    return Drawn(token, -0.123456, ((token, -0.123456), (71, -2.0)))


def feed(writing: Writing, token: int = 70) -> list[Event]:
    """Does what is next; a token is drawn where it asks for one."""
    item = writing.next()
    assert item is not None
    return writing.fed(drawn(token) if item.draw else None, 0.25)


def read(prompt: Prompt) -> list[tuple[int, int, Sequence[Neighbour] | None]]:
    """Reads what can be read of a prompt: where each block begins, its length and neighbours."""
    blocks = []
    while isinstance(item := prompt.next(), Read) and item.draw is None:
        blocks.append((item.block.at, len(item.block.tokens), item.block.shown))
        prompt.fed(None, 0.1)
    return blocks


@pytest.mark.parametrize("size", [1, M - 1, M, M + 1, 3 * M - 1, 3 * M, 3 * M + 2])
def test_a_prompt_is_read_in_blocks_that_begin_with_the_last_token_of_a_chunk(begin, size: int):
    writing, events = begin(size, shown={0: (A,), 1: (B,)})
    blocks = read(writing)
    assert events == [] and writing.next() is None  # the rest waits for the search
    writing.found((C,), 0.5)
    last = writing.next()
    assert isinstance(last, Read) and last.draw
    blocks.append((last.block.at, len(last.block.tokens), last.block.shown))
    starts = [0, *range(M - 1, size, M)]
    assert [at for at, *_ in blocks] == starts
    assert [count for _, count, _ in blocks] == np.diff([*starts, size]).tolist()
    expected = {0: (A,), 1: (B,)} | ({size // M - 1: (C,)} if size >= M else {})
    assert [shown for *_, shown in blocks] == [
        None, *(expected.get(u, ()) for u in range(len(starts) - 1))
    ]  # fmt: skip
    for at, count, _ in blocks:
        assert at + count <= size
    assert last.block.valid.all() == (size > M - 1)  # the first token is padding


def test_what_is_held_already_is_not_read(begin):
    writing, _ = begin(3 * M, 2 * M - 1)
    assert [at for at, *_ in read(writing)] == [2 * M - 1]
    for size, latest in ((3 * M, 3 * M - 1), (3 * M + 3, 3 * M - 1), (M - 1, 0)):
        assert begin(size)[0].latest == latest


def test_a_prompt_alone_is_read_up_to_its_end():
    prompt = Prompt(layout_of(3 * M), M, 3 * M - 1)
    prompt.begin(0)
    assert [(at, count) for at, count, _ in read(prompt)] == [
        (0, M - 1),
        (M - 1, M),
        (2 * M - 1, M),
    ]
    assert prompt.ended
    prompt.begin(3 * M - 1)
    assert prompt.ended and prompt.next() is None


def test_each_chunk_is_searched_before_its_last_token_is_fed(begin):
    writing, _ = begin(M)
    read(writing)
    assert writing.search == Search(0, "why", 2)
    (chunk,) = writing.found((A, B), 0.25)
    assert chunk == ChunkEvent(0, "why", (A, B), 0.25)
    for _ in range(M):
        assert writing.search is None
        feed(writing)
    assert writing.next() is None
    assert writing.search and writing.search.query.startswith("why\n")
    writing.found((C,), 0.25)
    item = writing.next()
    assert isinstance(item, Read)
    assert (item.block.at, item.block.tokens.tolist()) == (2 * M - 1, [70])
    assert item.block.shown == (C,)


def test_tokens_inside_a_chunk_are_stepped_and_numbered(begin):
    writing, _ = begin(M, searches=False)
    read(writing)
    numbers = []
    for _ in range(2 * M + 2):
        item = writing.next()
        assert isinstance(item, Token) == ((M - 1 + len(numbers) + 1) % M != 0)
        numbers.append(item.draw.number)
        writing.fed(drawn(), 0.1)
    assert numbers == list(range(2 * M + 2))


def test_without_retrieval_chunks_begin_at_once(begin):
    writing, events = begin(2 * M, retrieve=False, always=(A,))
    assert events == [ChunkEvent(0, "", (A,), 0.0)]
    assert writing.search is None
    gopher = TINY.__class__(**{**TINY.__dict__, "retrieval": None})
    writing, events = begin(2 * M + 3, p=gopher, always=(A,))
    assert events == [ChunkEvent(0, "", (), 0.0)]
    assert writing.latest == 2 * M + 2


def test_a_reply_ends_by_its_length_by_eos_by_a_stop_string_or_with_the_context(begin, tokenizer):
    def reason(token: int = 70, size: int = M, **fields) -> tuple[str, int]:
        writing, events = begin(size, searches=False, **fields)
        while not writing.ended:
            events += feed(writing, token)
        done = events[-1]
        assert isinstance(done, DoneEvent) and done.prompt_tokens == size - 1
        assert writing.next() is None
        return done.reason, sum(isinstance(e, TokenEvent) for e in events)

    assert reason() == ("length", 3 * M)
    assert reason(EOS) == ("stop", 0)
    assert reason(size=TINY.context - 5) == ("context", 5)
    (word,) = tokenizer.encode("1")[-1:]
    assert reason(word, stop=("111",)) == ("stop", 0)


def test_seconds_are_told_by_what_they_were_spent_on(begin):
    writing, events = begin(2 * M, tokens=3)
    while not writing.ended:
        events += feed(writing) if writing.next() else writing.found((), 0.125)
    (done,) = (e for e in events if isinstance(e, DoneEvent))
    assert done.seconds == {  # the clock is looked at three times
        "retrieval": 0.125, "prefill": 0.75, "decode": 0.5, "first_token": 1.0, "total": 2.0
    }  # fmt: skip


def test_a_search_that_failed_is_told(begin):
    writing, _ = begin(M, always=(A,))
    assert writing.found((), 1.0, "no luck") == [ChunkEvent(0, "why", (A,), 1.0, "no luck")]
