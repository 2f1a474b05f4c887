"""How replies end, all of them at once or one by one: nothing is left over."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from engine.local import LocalEngine
from engine.protocol import ChunkEvent, EngineClosed, Info, Reply, Segment, TokenEvent, WaitEvent
from engine.tokenizer import Tokenizer
from retrieval.protocol import Neighbour
from tests.crowd import LONG, SHORT, SOON, TINY, M, Make, alike, ask, find, idle, started, until
from tests.ledger import LedgerSlots


def test_random_joins_and_leaves_leave_no_slot_taken(make: Make):
    engine, _ = make(3, waiting=99)
    draw = random.Random(0)
    hang = threading.Event()

    def search(query: str, k: int) -> list[Neighbour]:
        if draw.random() < 0.1:
            hang.wait(0.05)
        return find(query, k)

    def visit(seed: int) -> None:
        events = engine.generate(ask(draw.choice([SHORT, LONG]), 3 * M, seed=seed), search)
        with closing(events):  # type: ignore[type-var]
            for count, _ in enumerate(events):
                if count == seed % 23:
                    break

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(visit, range(200)))
    assert idle(engine)
    fresh, _ = make(1)
    assert alike(Reply.of(engine.generate(ask(LONG))), Reply.of(fresh.generate(ask(LONG))))


def test_closing_the_iterator_frees_the_slot_within_a_step(make: Make):
    engine, slots = make(1)
    events = engine.generate(ask(SHORT, 200))
    until(lambda: isinstance(next(events), TokenEvent))
    slots.gate.clear()
    time.sleep(0.01)
    calls = len(slots.log)
    events.close()  # type: ignore[attr-defined]
    slots.gate.set()
    assert idle(engine)
    assert len(slots.log) <= calls + 1


@pytest.mark.parametrize("where", ["queue", "search"])
def test_who_waits_can_leave(make: Make, where: str):
    engine, _ = make(1)
    release = threading.Event()

    def hang(query: str, k: int) -> list[Neighbour]:
        release.wait(SOON)
        return []

    first = engine.generate(ask(SHORT, 2), hang)
    thread = started(first)
    until(lambda: engine._scheduler._active)
    if where == "queue":
        second = engine.generate(ask(SHORT, 2))
        until(lambda: next(second) == WaitEvent(1))
        second.close()  # type: ignore[attr-defined]
        until(lambda: not engine._scheduler._queue)
        release.set()
    else:
        engine._scheduler._active[0].left = True  # as closing does, from the thread that reads
        engine._scheduler._poke()
    assert idle(engine)
    assert Reply.of(engine.generate(ask())).done
    release.set()
    if where == "queue":
        thread.join(SOON)


@pytest.mark.parametrize("what", ["a block", "a step"])
def test_a_failing_model_ends_only_the_reply_it_fails_for(make: Make, what: str):
    engine, slots = make(3)
    healthy = ask(SHORT, 3 * M, seed=1)
    expected = Reply.of(engine.generate(healthy))
    poison = 399
    if what == "a block":
        bad = ask((Segment("", tokens=(poison,) * M),), 3)
    else:
        bad = ask(SHORT, 3 * M, seed=2)
        poison = Reply.of(engine.generate(bad)).tokens[3].id
        assert poison not in [t.id for t in expected.tokens]
    slots.broken = {poison}
    slots.gate.clear()
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(Reply.of(engine.generate(healthy))))
    thread.start()
    failing = engine.generate(bad)
    errors: list[Exception] = []

    def fail() -> None:
        try:
            list(failing)
        except RuntimeError as error:
            errors.append(error)

    other = threading.Thread(target=fail)
    other.start()
    slots.gate.set()
    thread.join(SOON)
    other.join(SOON)
    assert [str(error) for error in errors] == ["the model broke"]
    assert alike(replies[0], expected)
    slots.broken = set()
    assert idle(engine)
    assert Reply.of(engine.generate(bad)).done


def test_a_closed_engine_ends_what_is_under_way_and_its_thread(make: Make):
    engine, _ = make(1)
    first, second = engine.generate(ask(SHORT, 200)), engine.generate(ask())
    until(lambda: isinstance(next(first), ChunkEvent))
    until(lambda: next(second) == WaitEvent(1))
    engine.close()
    assert not engine._scheduler._thread.is_alive()
    for events in (first, second):
        with pytest.raises(EngineClosed, match="closed before"):
            list(events)
    with pytest.raises(EngineClosed, match="open the model again"):
        next(engine.generate(ask()))
    with pytest.raises(EngineClosed):
        engine._scheduler.run(lambda: None)


def test_an_engine_that_nobody_has_any_more_ends_its_thread(tokenizer: Tokenizer):
    info = Info("tiny", 1, "w", tokenizer.fingerprint, TINY.context, "")
    engine = LocalEngine({}, tokenizer, info, slots=lambda p, arrays: LedgerSlots(p))
    thread = engine._scheduler._thread
    list(engine.generate(ask()))
    del engine
    thread.join(SOON)
    assert not thread.is_alive()
