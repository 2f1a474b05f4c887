"""Who waits for whom: the order in which many sequences are fed to one model."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from unittest.mock import Mock

import pytest

from engine.protocol import ChunkEvent, EngineBusy, Reply, WaitEvent
from retrieval.protocol import Neighbour
from tests.crowd import LONG, SHORT, SOON, M, Make, ask, find, idle, started, until


def test_a_long_prompt_holds_no_reply_up(make: Make):
    engine, slots = make()
    slots.watch = lambda: slots.gate.clear() if len(slots.log) == 20 else None
    follow = started(engine.generate(ask(SHORT, 200)))
    until(lambda: not slots.gate.is_set())
    other = started(engine.generate(ask(LONG, 1)))
    until(lambda: engine._scheduler._queue)
    slots.gate.set()
    other.join(SOON)
    follow.join(SOON)
    reads = [i for i, call in enumerate(slots.log) if call[:2] == ("read", 1)]
    assert len(reads) == 13
    for a, b in pairwise(reads):
        assert any(call[0] == "step" or call[1] == 0 for call in slots.log[a + 1 : b])


def test_replies_are_stepped_together(make: Make):
    engine, slots = make(4)
    slots.gate.clear()
    threads = [started(engine.generate(ask(SHORT, 3 * M, seed=i))) for i in range(4)]
    until(lambda: len(engine._scheduler._queue) + len(engine._scheduler._active) == 4)
    slots.gate.set()
    for thread in threads:
        thread.join(SOON)
    assert any(call[0] == "step" and len(call) == 5 for call in slots.log)


def test_a_slow_search_holds_only_its_own_reply_up(make: Make):
    engine, _ = make()
    release, asked = threading.Event(), threading.Event()

    def slow(query: str, k: int) -> list[Neighbour]:
        asked.set()
        assert release.wait(SOON)
        return []

    waiting = engine.generate(ask(LONG, 3), slow)
    thread = started(waiting)
    assert asked.wait(SOON)
    assert len(Reply.of(engine.generate(ask(SHORT, 3 * M), find)).tokens) == 3 * M
    assert thread.is_alive()
    release.set()
    thread.join(SOON)
    assert not thread.is_alive()


def test_all_but_the_last_block_is_read_during_the_search(make: Make):
    engine, slots = make()
    reads: list[int] = []

    def search(query: str, k: int) -> list[Neighbour]:
        until(lambda: len(slots.log) == 12)
        time.sleep(0.02)
        reads.append(len(slots.log))
        return []

    list(engine.generate(ask(LONG, 1), search))
    assert reads == [12]
    assert slots.log[-1] == ("read", 0, 12 * M - 1, 1)


def test_who_comes_first_is_served_first_and_told_how_many_are_before(make: Make):
    engine, slots = make(1)
    slots.gate.clear()
    order: list[int] = []  # of the searches, which begin with the replies
    told: dict[int, list[int]] = {i: [] for i in range(4)}

    def follow(i: int) -> None:
        def search(query: str, k: int) -> list[Neighbour]:
            order.append(i)
            return []

        for event in engine.generate(ask(LONG, 2), search):
            if isinstance(event, WaitEvent) and event.ahead not in (0, *told[i][-1:]):
                told[i].append(event.ahead)

    threads = []
    for i in range(4):
        threads.append(threading.Thread(target=follow, args=[i]))
        threads[-1].start()
        if i == 0:
            until(lambda: engine._scheduler._active)
        else:
            until(lambda i=i: len(engine._scheduler._queue) == i)
    slots.gate.set()
    for thread in threads:
        thread.join(SOON)
    assert order == [0, 1, 2, 3]
    assert told == {0: [], 1: [1], 2: [2, 1], 3: [3, 2, 1]}


def test_who_follows_a_reply_hears_that_it_waits(make: Make, monkeypatch):
    monkeypatch.setattr("engine.scheduler._BEAT", 0.01)
    engine, slots = make(1)
    slots.gate.clear()
    first, second = engine.generate(ask()), engine.generate(ask())
    until(lambda: isinstance(next(first), ChunkEvent))
    assert [next(first) for _ in range(3)] == [WaitEvent(0)] * 3
    until(lambda: next(second) == WaitEvent(1))
    assert [next(second) for _ in range(3)] == [WaitEvent(1)] * 3
    second.close()  # type: ignore[attr-defined]
    slots.gate.set()
    assert Reply.of(first).done
    assert idle(engine)


def test_a_full_queue_refuses_with_when_to_come_back(make: Make):
    engine, slots = make(1, waiting=2)
    slots.gate.clear()
    threads = []
    for i in range(3):
        threads.append(started(engine.generate(ask(SHORT, 2, seed=i))))
        until(lambda i=i: engine._scheduler._active and len(engine._scheduler._queue) == i)
    with pytest.raises(EngineBusy, match=r"2 requests wait .* try again in about 3 s") as refused:
        next(engine.generate(ask()))
    assert refused.value.retry_after == 3
    slots.gate.set()
    for thread in threads:
        thread.join(SOON)
    assert idle(engine)
    assert Reply.of(engine.generate(ask())).done


def test_other_work_is_done_between_steps_in_the_models_thread(make: Make):
    engine, slots = make()
    reply = started(engine.generate(ask(SHORT, 200)))
    until(lambda: slots.log)
    works = [engine._scheduler.run(threading.current_thread) for _ in range(5)]
    assert {thread.name for thread in works} == {"model"}
    reply.join(SOON)


def test_other_work_gets_half_of_the_time_at_most(make: Make, monkeypatch):
    """By a clock that a call of the model moves by one and a piece of other work by five."""
    clock = Mock()
    clock.monotonic.side_effect = lambda: moved[0]
    moved = [0.0]
    monkeypatch.setattr("engine.scheduler.time", clock)
    engine, slots = make()

    def move(seconds: float) -> None:
        moved[0] += seconds

    def work() -> None:
        move(5)
        slots.log.append(("work",))

    slots.watch = lambda: move(1)
    slots.gate.clear()
    reply = started(engine.generate(ask(SHORT, 60)))
    until(lambda: engine._scheduler._active)
    with ThreadPoolExecutor(20) as pool:
        works = [pool.submit(engine._scheduler.run, work) for _ in range(20)]
        until(lambda: len(engine._scheduler._works) == 20)
        slots.gate.set()
        for done in works:
            done.result(SOON)
    reply.join(SOON)
    at = [i for i, call in enumerate(slots.log) if call == ("work",)]
    last = max(i for i, call in enumerate(slots.log) if call != ("work",))
    assert len(at) == 20
    assert all(b - a > 5 for a, b in pairwise(i for i in at if i < last))


def test_work_that_fails_fails_for_who_gave_it(make: Make):
    engine, _ = make()

    def broken() -> None:
        raise OSError("out of luck")

    with pytest.raises(OSError, match="out of luck"):
        engine._scheduler.run(broken)
    assert Reply.of(engine.generate(ask())).done
