"""What each open page has under way: one reply at most, to a message or to compare with another.

A reply is asked for in two steps, accepting and then writing, because between them the page may
wait for another page's reply to end. Stopping works in both.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar


class Busy(RuntimeError):
    """The page already has a reply under way."""


@dataclass
class Task:
    """A reply that was asked for. `conversation` is the one it belongs to, once that is known."""

    conversation: str | None
    stop: threading.Event = field(default_factory=threading.Event, kw_only=True)
    begun: bool = field(default=False, kw_only=True)


class Shown(Protocol):
    """What a page shows next; `busy` until the reply has ended."""

    @property
    def busy(self) -> bool: ...


T = TypeVar("T", bound=Task)
V = TypeVar("V", bound=Shown)


class Underway:
    """The tasks of all open pages. A page is known by its session."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._lock = threading.Lock()

    def add(self, session: str, task: Task) -> bool:
        """Takes a task on; whether it has to wait for another page's. Raises Busy."""
        with self._lock:
            if session in self._tasks:
                raise Busy("a reply is still being written on this page; stop it first")
            self._tasks[session] = task
            return any(t.begun for t in self._tasks.values())

    def write(self, session: str, kind: type[T], views: Callable[[T], Iterator[V]]) -> Iterator[V]:
        """Begins the page's task of this kind and passes its views on; nothing if there is none to
        begin. The task has ended before the last view shows, so that the page can ask again."""
        with self._lock:
            task = self._tasks.get(session)
            if not isinstance(task, kind) or task.begun:
                return
            task.begun = True
        try:
            for view in views(task):
                if not view.busy:
                    self._forget(session, task)
                yield view
        finally:
            self._forget(session, task)

    def stop(self, session: str, kind: type[T]) -> T | None:
        """Stops the page's task of this kind: one that had not begun is gone and returned, else
        its writer ends it."""
        with self._lock:
            task = self._tasks.get(session)
            if not isinstance(task, kind):
                return None
            task.stop.set()
            if task.begun:
                return None
            del self._tasks[session]
            return task

    def busy(self, session: str) -> bool:
        with self._lock:
            return session in self._tasks

    def writes_to(self, conversation: str) -> bool:
        """Whether any page has a task in this conversation."""
        with self._lock:
            return any(task.conversation == conversation for task in self._tasks.values())

    def leave(self, session: str) -> None:
        """The page was closed: its task is gone if it had not begun; else it ends by itself."""
        with self._lock:
            if session in self._tasks and not self._tasks[session].begun:
                del self._tasks[session]

    def _forget(self, session: str, task: Task) -> None:
        with self._lock:
            if self._tasks.get(session) is task:
                del self._tasks[session]
