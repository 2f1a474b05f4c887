"""Searches for neighbours beside the model's thread, each given up when it takes too long."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.writing import Search
from retrieval.protocol import Neighbour, Retrieve

SEARCH_SECONDS = 10.0  # a longer search is given up, and the reply says so and goes on without

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """What a search found, or in `error` why the reply goes on without."""

    search: Search
    neighbours: tuple[Neighbour, ...]
    seconds: float
    error: str | None = None


class Searches(Generic[T]):
    """The searches under way, one at most for whoever asks. `told` is called, from any thread,
    when one has ended. All else belongs to one thread."""

    def __init__(self, told: Callable[[], None]):
        self._told = told
        self._under_way: dict[T, tuple[Search, float]] = {}  # and when it began
        self._ended: deque[tuple[T, Found]] = deque()

    def start(self, asker: T, search: Search, retrieve: Retrieve) -> None:
        """Begins a search, if it has not begun yet."""
        if self._under_way.get(asker, (None,))[0] is search:
            return
        start = time.monotonic()
        self._under_way[asker] = (search, start)

        def run() -> None:
            found, error = (), None
            try:
                found = tuple(retrieve(search.query, search.k))
            except Exception as problem:  # a broken search must not end the reply
                error = f"the search failed ({problem}); written without passages"
            self._ended.append((asker, Found(search, found, time.monotonic() - start, error)))
            self._told()

        threading.Thread(target=run, name="search", daemon=True).start()

    def forget(self, asker: T) -> None:
        """Nobody waits for what is found any more."""
        self._under_way.pop(asker, None)

    def ended(self) -> list[tuple[T, Found]]:
        """Those that have ended since, or were given up, with who asked for them."""
        results = []
        while self._ended:
            asker, found = self._ended.popleft()
            if self._under_way.get(asker, (None,))[0] is found.search:
                del self._under_way[asker]
                results.append((asker, found))
        now = time.monotonic()
        for asker, (search, start) in list(self._under_way.items()):
            if now - start >= SEARCH_SECONDS:
                del self._under_way[asker]
                error = f"the search took longer than {SEARCH_SECONDS:.0f} s"
                found = Found(search, (), now - start, f"{error}; written without passages")
                results.append((asker, found))
        return results

    @property
    def patience(self) -> float | None:
        """Seconds until the next is given up; None where nothing is searched."""
        starts = [start for _, start in self._under_way.values()]
        return max(0.0, min(starts) + SEARCH_SECONDS - time.monotonic()) if starts else None
