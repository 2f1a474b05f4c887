"""Many requests at once to an engine without a model, and how they are followed."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from engine.local import LocalEngine
from engine.presets import preset
from engine.protocol import Event, Info, Reply, Request, Sampling, Segment
from engine.tokenizer import Tokenizer
from retrieval.protocol import Neighbour
from tests.ledger import LedgerSlots

TINY = preset("tiny")
M = TINY.chunk
LONG = (Segment("", tokens=tuple(range(10, 10 + 12 * M))),)
SHORT = (Segment("", tokens=tuple(range(50, 50 + M))),)
SOON = 20.0  # seconds that anything may take here

Make = Callable[..., tuple[LocalEngine, LedgerSlots]]


@contextmanager
def ledgers(tokenizer: Tokenizer) -> Iterator[Make]:
    """make(count=2, uniform=True, waiting=None): an engine and its ledger."""
    made: list[tuple[LocalEngine, LedgerSlots]] = []

    def make(count: int = 2, uniform: bool = True, waiting: int | None = None):
        slots = LedgerSlots(TINY, count=count, uniform=uniform)
        info = Info("tiny", 1, "w", tokenizer.fingerprint, TINY.context, "")
        engine = LocalEngine({}, tokenizer, info, slots=lambda *_: slots, waiting=waiting)
        made.append((engine, slots))
        return engine, slots

    try:
        yield make
    finally:
        for engine, slots in made:
            slots.gate.set()
            engine.close()


def neighbour(seed: int) -> Neighbour:
    ids = np.random.default_rng(seed).integers(4, TINY.vocab, 2 * M).tolist()
    return Neighbour(seed, 0, "", "", 0, 0, 0, "", "", tuple(ids[:M]), tuple(ids[M:]))


def find(query: str, k: int) -> list[Neighbour]:
    return [neighbour(len(query) % 7 + i) for i in range(k)]


def ask(prompt: Sequence[Segment] = SHORT, tokens: int = 2 * M, **fields) -> Request:
    seed = fields.pop("seed", 0)
    return Request(tuple(prompt), "why", Sampling(max_tokens=tokens, seed=seed), **fields)


def idle(engine: LocalEngine) -> bool:
    """Whether every slot is free again, soon."""
    scheduler, until = engine._scheduler, time.monotonic() + SOON
    while time.monotonic() < until:
        free = len(scheduler._free) == engine._slots.count
        if free and not scheduler._active and not scheduler._queue:
            return True
        time.sleep(0.001)
    return False


def until(ready: Callable[[], object]) -> None:
    end = time.monotonic() + SOON
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.001)


def started(events: Iterator[Event]) -> threading.Thread:
    """Follows a reply to its end in a thread."""
    thread = threading.Thread(target=lambda: list(events), daemon=True)
    thread.start()
    return thread


def alike(a: Reply, b: Reply) -> bool:
    """All but the seconds."""
    shown = [[c.neighbours for c in reply.chunks] for reply in (a, b)]
    return a.tokens == b.tokens and shown[0] == shown[1] and a.text == b.text
