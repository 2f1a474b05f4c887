"""Blocking iterators, run in threads, as items for the event loop."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Ended:
    """An iterator has come to its end."""


class Places:
    """How many requests may be under way at once. A place is given back when the last thread of
    its request has ended, so that the threads are bounded too."""

    def __init__(self, count: int):
        self._free = threading.BoundedSemaphore(count)
        self._count, self._taken, self._lock = count, 0, threading.Lock()

    @property
    def count(self) -> int:
        return self._count

    @property
    def taken(self) -> int:
        return self._taken

    def take(self) -> bool:
        """Takes a place if one is free."""
        taken = self._free.acquire(blocking=False)
        with self._lock:
            self._taken += taken
        return taken

    def give_back(self) -> None:
        with self._lock:
            self._taken -= 1
        self._free.release()


class Pump(Generic[T]):
    """Runs iterators, up to `parallel` at once and in their order, each to its end.

    After `close` an iterator is closed at its next item, and no other one is begun. `done` is
    called when all threads have ended. To be made inside an event loop.
    """

    def __init__(
        self, makes: Sequence[Callable[[], Iterator[T]]], parallel: int, done: Callable[[], None]
    ):
        self._makes, self._done = iter(enumerate(makes)), done
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[tuple[int, T | Ended | Exception]] = asyncio.Queue()
        self._closed, self._lock = threading.Event(), threading.Lock()
        self._running = max(1, min(parallel, len(makes)))
        for _ in range(self._running):
            threading.Thread(target=self._work, name="reply", daemon=True).start()

    async def next(self) -> tuple[int, T | Ended | Exception]:
        """The number of an iterator, and its next item, its end, or how it failed."""
        return await self._items.get()

    def close(self) -> None:
        self._closed.set()

    def _work(self) -> None:
        try:
            while (job := self._take()) is not None:
                self._run(*job)
        finally:
            with self._lock:
                self._running -= 1
                last = not self._running
            if last:
                self._done()

    def _take(self) -> tuple[int, Callable[[], Iterator[T]]] | None:
        with self._lock:
            return None if self._closed.is_set() else next(self._makes, None)

    def _run(self, index: int, make: Callable[[], Iterator[T]]) -> None:
        try:
            items = make()
            try:
                for item in items:
                    if self._closed.is_set():
                        return
                    self._put(index, item)
            finally:
                getattr(items, "close", lambda: None)()
            self._put(index, Ended())
        except Exception as error:
            self._put(index, error)

    def _put(self, index: int, item: T | Ended | Exception) -> None:
        with suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self._items.put_nowait, (index, item))
