"""What each open page has under way: one reply at most, to a message or to compare with another.

A reply is asked for in two steps, accepting and then writing, because between them the page may
wait for another page's reply to end. Stopping works in both.
"""

import threading
from dataclasses import dataclass, field
from typing import TypeVar


class Busy(RuntimeError):
    """The page already has a reply under way."""


@dataclass
class Task:
    """A reply that was asked for. `conversation` is the one it belongs to, once that is known."""

    conversation: str | None
    stop: threading.Event = field(default_factory=threading.Event, kw_only=True)
    begun: bool = field(default=False, kw_only=True)


T = TypeVar("T", bound=Task)


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

    def begin(self, session: str, kind: type[T]) -> T | None:
        """The page's task of this kind, from now on begun; None if there is none to begin."""
        with self._lock:
            task = self._tasks.get(session)
            if not isinstance(task, kind) or task.begun:
                return None
            task.begun = True
            return task

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

    def forget(self, session: str, task: Task) -> None:
        """The task has ended."""
        with self._lock:
            if self._tasks.get(session) is task:
                del self._tasks[session]
