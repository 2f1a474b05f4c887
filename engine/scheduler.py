"""Many sequences and one model: continuous batching over the slots of a `Slots`.

One thread feeds the model. Between two steps of all slots that have a token to feed, one block is
read and one piece of other work is done, so that a long prompt holds nobody up. Sequences join and
leave between steps; whoever finds no free slot waits in a queue, first come, first served.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np

from engine.prefixes import Held, best_of
from engine.protocol import EngineBusy, EngineClosed, Event, WaitEvent
from engine.searching import Found, Searches
from engine.slots import Drawn, Slots, Step
from engine.writing import Prompt, Read, Token, Writing
from retrieval.protocol import Retrieve

_QUEUE = 4  # requests that may wait for each slot
_BEAT = 0.5  # seconds without an event after which one says that it waits
_RECENT = 16  # replies that the time to wait is estimated from

T = TypeVar("T")


@dataclass(eq=False)
class _Task:
    """A sequence on its way: waiting, then in a slot."""

    prompt: Prompt
    retrieve: Retrieve | None = None
    ending: Callable[[int], Any] = lambda slot: None  # is given the slot when all is fed
    result: Any = None  # what that gives
    out: SimpleQueue[Event | Exception | None] = field(default_factory=SimpleQueue)  # None ends it
    left: bool = False  # whoever asked does not want it any more
    ahead: int = 0
    slot: int = -1
    begun: float = 0.0
    served: int = 0  # the turn when a block was read last


class Scheduler:
    """Drives the slots of one model. Safe to use from all threads but its own.

    `chunk` are the tokens of a chunk; `waiting` is the most requests that wait for a slot.
    """

    def __init__(self, slots: Slots, chunk: int, waiting: int | None = None):
        self._slots = slots
        self._waiting = _QUEUE * slots.count if waiting is None else waiting
        self._change = threading.Condition()  # guards what follows
        self._changed = self._closed = False
        self._queue: deque[_Task] = deque()
        self._works: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._free = set(range(slots.count))
        self._lasted: deque[float] = deque(maxlen=_RECENT)  # seconds in a slot
        self._active: list[_Task] = []  # the model's thread's own, as all that follows
        self._held = [Held(chunk, slots.length) for _ in range(slots.count)]
        self._searches: Searches[_Task] = Searches(self._poke)
        self._turns = 0
        self._owed = 0.0  # seconds of other work that sequences have not caught up with
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def write(self, writing: Writing, retrieve: Retrieve | None) -> Iterator[Event]:
        """The events of a reply. Closing the iterator frees its slot within one step.

        Raises EngineBusy before the first event, EngineClosed, and what the model raises.
        """
        return self._events(_Task(writing, retrieve))

    def read(self, prompt: Prompt, ending: Callable[[int], T]) -> T:
        """What `ending` makes, in the model's thread, of the slot that a prompt was read into.
        Raises as `write`."""
        task = _Task(prompt, ending=ending)
        deque(self._events(task), maxlen=0)  # waits for the end
        return task.result

    def run(self, work: Callable[[], T]) -> T:
        """Does some work between two steps, which takes half of the time at most. Raises
        EngineClosed, and what the work raises."""
        future: Future[T] = Future()
        with self._change:
            self._check_open()
            self._works.append((work, future))
        self._poke()
        return future.result()

    def warm_up(self) -> None:
        """Compiles what the model needs, unless it is at work and so has that. Raises as `run`."""

        def work() -> None:
            if not self._active:
                for held in self._held:
                    held.forget()  # it may be written over
                self._slots.warm_up()

        self.run(work)

    def close(self) -> None:
        """Ends the thread after the model's current call; who waits gets EngineClosed."""
        with self._change:
            self._closed = True
        self._poke()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _events(self, task: _Task) -> Iterator[Event]:
        self._join(task)
        try:
            while True:
                try:
                    item = task.out.get(timeout=_BEAT)
                except Empty:
                    item = WaitEvent(task.ahead)
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            task.left = True
            self._poke()

    def _join(self, task: _Task) -> None:
        with self._change:
            self._check_open()
            waiting = len(self._queue) - len(self._free)
            if waiting >= self._waiting:
                mean = sum(self._lasted) / len(self._lasted) if self._lasted else 1.0
                after = float(max(1, ceil(mean * (waiting + 1) / self._slots.count)))
                wait = f"{waiting} requests wait for the model already, and no more may"
                raise EngineBusy(f"{wait}; try again in about {after:.0f} s", after)
            self._queue.append(task)
            self._tell(task, max(0, waiting + 1))
        self._poke()

    def _tell(self, task: _Task, ahead: int) -> None:
        if task.ahead != ahead:
            task.ahead = ahead
            task.out.put(WaitEvent(ahead))

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosed("the engine was closed; open the model again to use it")

    def _poke(self) -> None:
        with self._change:
            self._changed = True
            self._change.notify_all()

    # ----- the model's thread

    def _run(self) -> None:
        busy = True
        try:
            while True:
                with self._change:
                    if not (busy or self._changed or self._closed):
                        self._change.wait(self._searches.patience)
                    self._changed = False
                    if self._closed:
                        return
                busy = self._turn()
        finally:  # nobody may wait for a thread that has ended
            with self._change:
                self._closed = True
                closed = EngineClosed("the engine was closed before this had ended")
                for task in (*self._active, *self._queue):
                    task.out.put(closed)
                for _, future in self._works:
                    future.set_exception(closed)

    def _turn(self) -> bool:
        """One block, one step and one work; whether there was any of them."""
        self._turns += 1
        self._admit()
        for task, found in self._searches.ended():
            self._do(task, partial(self._take, task, found))
        wanted = [(task, task.prompt.next()) for task in self._active]
        reads = [(task, item) for task, item in wanted if isinstance(item, Read)]
        tokens = [(task, item) for task, item in wanted if isinstance(item, Token)]
        if reads:
            task, read = min(reads, key=lambda pair: pair[0].served)
            self._do(task, partial(self._read, task, read))
        if tokens:
            self._step(tokens)
        fed = bool(reads or tokens)
        return self._work(alone=not fed) or fed

    def _admit(self) -> None:
        """Lets go who has left, and in who waits."""
        for task in [task for task in self._active if task.left]:
            self._release(task)
        with self._change:
            self._queue = deque(task for task in self._queue if not task.left)
            count = min(len(self._queue), len(self._free))
            places = [self._place(self._queue.popleft()) for _ in range(count)]
            for ahead, task in enumerate(self._queue, 1):
                self._tell(task, ahead)
        for task, at in places:
            self._do(task, partial(task.prompt.begin, at))

    def _place(self, task: _Task) -> tuple[_Task, int]:
        """Gives it the slot that suits it best; -> where reading begins."""
        free, p = {slot: self._held[slot] for slot in self._free}, task.prompt
        uniform = self._slots.uniform
        task.slot, at = best_of(free, p.tokens, p.valid, p.shown, p.latest, uniform=uniform)
        task.served, task.begun, task.ahead = self._turns, time.monotonic(), 0
        self._free.remove(task.slot)
        self._active.append(task)
        return task, at

    def _do(self, task: _Task, act: Callable[[], list[Event]]) -> None:
        """Does something for one sequence, tells what came of it, and ends it where it failed."""
        try:
            for event in act():
                task.out.put(event)
            if task.prompt.ended:
                task.result = task.ending(task.slot)
                self._release(task, lasted=time.monotonic() - task.begun)
                task.out.put(None)
            elif task.prompt.search and task.retrieve:
                self._searches.start(task, task.prompt.search, task.retrieve)
        except Exception as error:
            self._fail(task, error)

    def _fail(self, task: _Task, error: Exception) -> None:
        self._held[task.slot].forget()
        self._release(task)
        task.out.put(error)

    def _release(self, task: _Task, lasted: float | None = None) -> None:
        self._active.remove(task)
        self._searches.forget(task)
        self._held[task.slot].used = self._turns
        with self._change:
            self._free.add(task.slot)
            self._changed = True  # somebody may wait for it
            if lasted is not None:
                self._lasted.append(lasted)

    def _take(self, task: _Task, found: Found) -> list[Event]:
        assert isinstance(task.prompt, Writing)
        return task.prompt.found(found.neighbours, found.seconds, found.error)

    def _read(self, task: _Task, read: Read) -> list[Event]:
        block, task.served = read.block, self._turns
        start = time.monotonic()
        drawn = self._slots.read(task.slot, block, read.draw)
        self._held[task.slot].put(block.at, block.tokens, block.valid, block.shown, in_block=True)
        return task.prompt.fed(drawn, self._spent(start))

    def _step(self, tokens: list[tuple[_Task, Token]]) -> None:
        start = time.monotonic()
        try:
            drawn = self._slots.step([Step(t.slot, k.at, k.token, k.draw) for t, k in tokens])
        except Exception as error:
            if len(tokens) == 1:
                self._fail(tokens[0][0], error)
            else:  # whose fault it was shows one by one; feeding a token again changes nothing
                for pair in tokens:
                    self._step([pair])
            return
        seconds = self._spent(start)
        for (task, token), one in zip(tokens, drawn, strict=True):
            self._do(task, partial(self._fed, task, token, one, seconds))

    def _fed(self, task: _Task, token: Token, drawn: Drawn, seconds: float) -> list[Event]:
        ids = np.array([token.token], np.int32)
        self._held[task.slot].put(token.at, ids, np.ones(1, bool), None, in_block=False)
        return task.prompt.fed(drawn, seconds)

    def _spent(self, start: float) -> float:
        seconds = time.monotonic() - start
        self._owed = max(0.0, self._owed - seconds)
        return seconds

    def _work(self, *, alone: bool) -> bool:
        """Does the next piece of other work if the sequences have had as much time as the last."""
        with self._change:
            if not self._works or (self._owed and not alone):
                return False
            work, future = self._works.popleft()
        start = time.monotonic()
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        self._owed = time.monotonic() - start
        return True
