"""engine.remote: an engine behind a server writes as without one, and what fails is said."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from engine.local import LocalEngine
from engine.presets import preset
from engine.protocol import (
    ChunkEvent,
    DoneEvent,
    Event,
    PromptTooLong,
    Request,
    Sampling,
    Scoring,
    Segment,
    WaitEvent,
)
from engine.remote import RemoteEngine
from retrieval.protocol import Neighbour
from tests.attached import COUNT, KEY, Loopback, serve

TINY = preset("tiny")
M = TINY.chunk
ASK = (Segment("Why does bread rise?\nGOPHER:", ends_chunk=True),)


def neighbour(seed: int) -> Neighbour:
    ids = np.random.default_rng(seed).integers(4, TINY.vocab, 2 * M).tolist()
    return Neighbour(
        seed, seed, f"Title {seed}", "toy", 0, 0, 5, "text \ud800", "more", tuple(ids[:M]),
        tuple(ids[M:]), 1 / 3,
    )  # fmt: skip


def find(query: str, k: int) -> list[Neighbour]:
    return [neighbour(len(query) + i) for i in range(k)]


def fail(query: str, k: int) -> list[Neighbour]:
    raise OSError("index unreadable")


@pytest.fixture(scope="module")
def served(tiny: LocalEngine) -> Iterator[Loopback]:
    server = serve(tiny, {"note": "A toy."})
    yield server
    server.stop()


@pytest.fixture(scope="module")
def remote(served: Loopback) -> Iterator[RemoteEngine]:
    with closing(RemoteEngine(served.url, KEY)) as engine:
        yield engine


def timeless(event: Event) -> Event:
    if isinstance(event, ChunkEvent):
        return replace(event, seconds=0.0)
    return (
        replace(event, seconds=dict.fromkeys(event.seconds))
        if isinstance(event, DoneEvent)
        else event
    )


def events(engine, finder, **fields) -> list[Event]:
    fields = {"prompt": ASK, "query": "bread", "sampling": Sampling(max_tokens=M + 3)} | fields
    engine.use(finder)
    written = engine.generate(Request(**fields))
    return [timeless(event) for event in written if not isinstance(event, WaitEvent)]


EARLIER = (*ASK, Segment("", tokens=tuple(range(20, 29)), shown=((neighbour(1),), (neighbour(2),))))


@pytest.mark.parametrize(
    ("finder", "fields"),
    [
        (find, {}),
        (find, {"follow": "chunk", "k": 1, "sampling": Sampling(0.0, max_tokens=2 * M + 1)}),
        (find, {"retrieve": False}),
        (None, {}),
        (fail, {}),
        (None, {"pinned": {0: (neighbour(7), neighbour(8)), 1: ()}}),
        (find, {"always": (neighbour(9),), "without": frozenset({5})}),
        (find, {"prompt": (*EARLIER, *ASK), "stop": ("e",)}),
    ],
    ids=["found", "by chunk", "off", "none", "failing", "pinned", "always", "earlier"],
)
def test_the_events_are_those_of_the_engine_itself(tiny, remote, finder, fields):
    expected = events(tiny, finder, **fields)
    tiny.use(None)  # what the server finds by itself is not for this client
    assert events(remote, finder, **fields) == expected


def test_the_server_can_search_its_own_passages(tiny, remote):
    expected = events(tiny, find)
    assert events(remote, "server") == expected


def test_the_scores_are_those_of_the_engine_itself(tiny, remote):
    shown = ((neighbour(1), neighbour(2)), (neighbour(3),))
    scoring = Scoring(ASK, tuple(range(30, 30 + M + 2)), shown, (((), shown[1]), ((),)))
    assert remote.score(scoring) == tiny.score(scoring)


def test_it_says_of_itself_what_the_engine_says(tiny, remote, served):
    assert remote.info == tiny.info
    assert remote.count("Why does bread rise?") == tiny.count("Why does bread rise?")
    assert remote.tokenizer.fingerprint == tiny.tokenizer.fingerprint
    assert (remote.card, remote.url) == ({"note": "A toy."}, served.url)
    assert tiny.device in remote.device and served.url in remote.device


def test_a_prompt_that_does_not_fit_is_refused_in_the_same_words(tiny, remote):
    said = []
    for engine in (tiny, remote):
        with pytest.raises(PromptTooLong) as refused:
            events(engine, None, prompt=(Segment("", tokens=(9,) * 256),))
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_a_scoring_that_makes_no_sense_is_refused_in_the_same_words(tiny, remote):
    said = []
    for engine in (tiny, remote):
        with pytest.raises(ValueError, match="chunks") as refused:
            engine.score(Scoring(ASK, (5, 6), ()))
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_two_pages_at_once_get_what_each_gets_alone(tiny, served):
    finders: list[Callable] = [find, lambda query, k: [neighbour(77)]]
    expected = [events(tiny, finder) for finder in finders]
    got: list[list[Event]] = [[], []]

    def ask(number: int) -> None:
        with closing(RemoteEngine(served.url, KEY)) as engine:
            got[number] = events(engine, finders[number])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == expected


# ----- stopping


def test_closing_the_iterator_frees_the_engine(counted, counting):
    with closing(RemoteEngine(counted.url, KEY)) as engine:
        written = engine.generate(COUNT)
        assert isinstance(next(written), ChunkEvent)
        next(written)
        written.close()  # type: ignore[attr-defined]
        assert counting.ended.wait(5)
        assert counting.said < 500 and counting.running == 0
        assert isinstance(next(engine.generate(COUNT)), ChunkEvent)


def test_the_key_is_in_no_text_about_the_engine(remote):
    assert KEY not in repr(remote) + repr(vars(remote)) + remote.device + repr(remote._connection)
