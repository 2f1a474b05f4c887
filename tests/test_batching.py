"""What a reply says does not depend on the others, nor on what was read before it."""

import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.local import LocalEngine
from engine.protocol import Info, Reply, Request, Segment
from engine.tokenizer import Tokenizer
from tests.crowd import LONG, SHORT, TINY, M, Make, alike, ask, find, idle, neighbour
from tests.toys import Endless, random_arrays


def conversation(draw: random.Random, count: int) -> list[Request]:
    """Requests whose prompts begin alike, some off the grid, with all kinds of retrieval."""
    stem = [draw.randrange(4, TINY.vocab) for _ in range(8 * M)]
    requests = []
    for seed in range(count):
        cut = draw.randrange(1, len(stem))
        own = [draw.randrange(4, TINY.vocab) for _ in range(draw.randrange(0, 3 * M))]
        earlier = stem[: 2 * M], stem[2 * M : 2 * M + cut]
        shown = tuple((neighbour(draw.randrange(3)),) for _ in range(-(-cut // M)))
        segments = (
            Segment("", tokens=tuple(earlier[0])),
            Segment("", tokens=tuple(earlier[1]), shown=draw.choice([(), shown])),
            Segment("", tokens=tuple(own), ends_chunk=draw.random() < 0.5),
        )
        how = draw.choice(
            [{}, {"retrieve": False}, {"pinned": {0: (neighbour(1),), 1: ()}}, {"k": 1}]
        )
        requests.append(ask(segments, draw.randrange(1, 4 * M), seed=seed, **how))
    return requests


def all_at_once(engine: LocalEngine, requests: Sequence[Request]) -> list[Reply]:
    """The replies to requests that come at random times."""
    draw = random.Random(len(requests))

    def write(request: Request) -> Reply:
        time.sleep(draw.random() * 0.02)
        return Reply.of(engine.generate(request))

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(write, requests))


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_a_reply_is_the_same_alone_cold_and_among_others(make: Make, uniform: bool, seed: int):
    draw = random.Random(seed)
    engine, _ = make(draw.randrange(1, 5), uniform, waiting=99)
    engine.use(find)
    requests = conversation(draw, draw.randrange(2, 9))
    together = all_at_once(engine, requests)
    again = all_at_once(engine, requests[::-1])[::-1]
    assert idle(engine)
    for request, reply, warm in zip(requests, together, again, strict=True):
        fresh, _ = make(1, uniform)
        fresh.use(find)
        alone = Reply.of(fresh.generate(request))
        assert alone.done and alike(alone, reply) and alike(alone, warm)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Iterator[LocalEngine]:
    info = Info("tiny", 1, "w", tokenizer.fingerprint, TINY.context, "")
    engine = LocalEngine(random_arrays(TINY), tokenizer, info, find, slots=Endless)
    yield engine
    engine.close()


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_model_writes_the_same_bits_alone_and_among_others(model: LocalEngine, count: int):
    requests = conversation(random.Random(count), count)
    together = all_at_once(model, requests)
    for request, reply in zip(requests, together, strict=True):
        for held in model._scheduler._held:
            model._scheduler.run(held.forget)
        assert alike(Reply.of(model.generate(request)), reply)


def test_a_second_turn_reads_only_what_is_new(make: Make):
    engine, slots = make()
    reply = Reply.of(engine.generate(ask(LONG, 3 * M)))
    written = tuple(t.id for t in reply.tokens)
    turn = (*LONG, Segment("", tokens=written), Segment("", tokens=(5, 6, 7), ends_chunk=True))
    slots.log.clear()
    list(engine.generate(ask(turn, 1)))
    read = [(at, count) for _, _, at, count in slots.log]
    assert read == [(15 * M - 1, M), (16 * M - 1, 1)]


def test_where_steps_are_not_uniform_a_reply_is_read_again(make: Make):
    engine, slots = make(uniform=False)
    reply = Reply.of(engine.generate(ask(LONG, 3 * M)))
    written = tuple(t.id for t in reply.tokens)
    slots.log.clear()
    list(engine.generate(ask((*LONG, Segment("", tokens=written)), 1)))
    assert [call[2] for call in slots.log] == [12 * M - 1, 13 * M - 1, 14 * M - 1, 15 * M - 1]


def test_a_request_takes_the_slot_that_holds_most_of_it_else_the_one_unused_for_longest(make: Make):
    engine, slots = make(3)
    other = (Segment("", tokens=tuple(range(200, 200 + 3 * M))),)
    third = (Segment("", tokens=tuple(range(300, 300 + 3 * M))),)
    for prompt in (LONG, other, third, SHORT):
        list(engine.generate(ask(prompt, 1)))
        assert idle(engine)
    assert [call[1] for call in slots.log if call[2] == 0] == [0, 1, 2, 0]
    slots.log.clear()
    list(engine.generate(ask(other, 1)))
    assert slots.log == [("read", 1, 3 * M - 1, 1)]


def test_warming_up_again_is_not_taken_for_what_was_read(make: Make):
    engine, slots = make()
    reply = Reply.of(engine.generate(ask(LONG, 3 * M)))
    engine.warm_up()
    slots.log.clear()
    assert alike(Reply.of(engine.generate(ask(LONG, 3 * M))), reply)
    assert slots.log[0][2] == 0


def test_a_reply_under_way_is_not_warmed_up_over(make: Make):
    engine, slots = make()
    expected = Reply.of(engine.generate(ask(SHORT, 100)))
    events = engine.generate(ask(SHORT, 100))
    seen = [next(events)]
    while slots.log.count(("step", 0)) < 100:
        seen.append(next(events))
    engine.warm_up()
    assert alike(Reply.of([*seen, *events]), expected)
