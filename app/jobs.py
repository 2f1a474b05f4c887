"""Uploaded files become documents in the background, one upload at a time.

A job belongs to the process, not to a page. One that was cancelled, has failed, or ended with the
process keeps its files and can be resumed: it then takes up what it had done.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from app.uploads import UNDER, Batch, Refused, Upload, left_over, take_over
from retrieval.manifest import DatabaseBusy, DatabaseError
from retrieval.protocol import Document
from retrieval.readers import NothingToRead, Skipped, read_as

if TYPE_CHECKING:  # they bring jax and faiss, which take seconds
    from app.passages import Passages
    from retrieval.ingest import Report

Stage = Literal[
    "waiting", "reading", "embedding", "publishing",  # under way
    "cancelled", "interrupted", "failed",  # can be resumed, or given up
    "done", "refused",  # over; its files are deleted
]  # fmt: skip
RUNNING = ("waiting", "reading", "embedding", "publishing")
RESUMABLE = ("cancelled", "interrupted", "failed")
RETRY = 1.0  # seconds until a database that another process writes to is tried again
WINDOW = 20.0  # seconds that the rate is measured over
PATIENCE = 15.0  # seconds that a job under way may take to stop when the process ends
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """How a job gets on. `done` of `chunks` have their key: the number of chunks grows while
    files are read. `rate` is in chunks a second, `left` in seconds, None while unknown."""

    stage: Stage
    names: tuple[str, ...]
    read: int = 0  # files
    done: int = 0
    chunks: int = 0
    rate: float | None = None
    left: float | None = None
    skipped: tuple[Skipped, ...] = ()
    message: str = ""  # what it waits for, or why it failed
    stopping: bool = False
    report: "Report | None" = None

    @property
    def running(self) -> bool:
        return self.stage in RUNNING

    @property
    def resumable(self) -> bool:
        return self.stage in RESUMABLE


class Jobs:
    """The one job of this process. Any thread may call it; a method that raises Refused has
    changed nothing."""

    def __init__(self, directory: Path, passages: "Callable[[], Passages | None]"):
        """`directory` is where uploads are kept; what an earlier process left there is offered."""
        self._directory, self._passages = directory, passages
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._batch = left_over(directory)
        self._state = self._found()

    @property
    def state(self) -> State | None:
        """The job under way, or the last one until it is dismissed; None if there is none."""
        with self._lock:
            return self._state

    def start(self, uploads: Sequence[Upload]) -> None:
        """Takes over the files and begins. Raises Refused."""
        with self._lock:
            passages = self._ready()
            if self._batch is not None:
                raise Refused(
                    "files of an earlier upload are still waiting; resume that, or discard it first"
                )
            self._begin(passages, take_over(self._directory, uploads))

    def resume(self) -> None:
        """Goes on with the files that are waiting. Raises Refused."""
        with self._lock:
            passages = self._ready()
            if self._batch is None:
                raise Refused("there is nothing to resume; choose files to add")
            self._begin(passages, self._batch)

    def cancel(self) -> None:
        """Stops the job under way after the block of chunks that it is at; else does nothing."""
        with self._lock:
            if self._state is not None and self._state.running:
                self._stop.set()
                self._state = replace(self._state, stopping=True)

    def discard(self) -> None:
        """Gives up the files that are waiting, and what had been done with them. Raises Refused."""
        with self._lock:
            passages = self._ready()
            if self._batch is None:
                return
            try:
                passages.discard()
            except DatabaseError as error:
                raise Refused(str(error)) from None
            self._batch.delete()
            self._batch = left_over(self._directory)
            self._state = self._found()

    def dismiss(self) -> None:
        """Forgets a job that is over."""
        with self._lock:
            if self._state is not None and self._batch is None:
                self._state = None

    def close(self) -> None:
        """Stops the job under way because the process ends; the next one is offered the rest."""
        with self._lock:
            self._closing = True
            self._stop.set()
            thread = self._thread
        if thread is not None:
            thread.join(PATIENCE)

    # ----- with the lock held

    def _ready(self) -> "Passages":
        if self._closing:
            raise Refused("Retroscope is being closed; try again when it runs")
        if self._state is not None and self._state.running:
            raise Refused("an upload is being added; wait until it has finished, or cancel it")
        passages = self._passages()
        if passages is None:
            raise Refused("the passages are still being loaded; try again in a moment")
        return passages

    def _begin(self, passages: "Passages", batch: Batch) -> None:
        self._batch = batch
        self._stop.clear()
        self._state = State("waiting", batch.names)
        self._thread = threading.Thread(
            target=self._run, args=(passages, batch), name="ingest", daemon=True
        )
        self._thread.start()

    def _found(self) -> State | None:
        if self._batch is None:
            return None
        return State("cancelled" if self._batch.cancelled else "interrupted", self._batch.names)

    # ----- in the thread of the job

    def _run(self, passages: "Passages", batch: Batch) -> None:
        from retrieval.ingest import Cancelled  # a heavy import, but here all is loaded

        try:
            report = Ingest(passages, batch, self._stop, self._say).run()
        except Cancelled:
            if not self._closing:
                self._end("cancelled", batch.mark_cancelled())
        except NothingToRead:
            self._end("refused", None, message="None of the files could be read.")
        except (DatabaseError, OSError) as problem:
            self._end("failed", batch, message=str(problem))
        except Exception as defect:
            _logger.exception("an upload could not be added")
            self._end("failed", batch, message=f"{type(defect).__name__}: {defect}")
        else:
            self._end("done", None, report=report, left=None)

    def _say(self, **changes: Any) -> None:
        with self._lock:
            assert self._state is not None
            self._state = replace(self._state, **changes)

    def _end(self, stage: Stage, kept: Batch | None, **changes: Any) -> None:
        with self._lock:
            assert self._state is not None and self._batch is not None
            if kept is None:
                self._batch.delete()
            self._batch = kept
            self._state = replace(self._state, stage=stage, stopping=False, **changes)


class Ingest:
    """One run over the files of a batch; `say` takes what has changed of the state."""

    def __init__(
        self, passages: "Passages", batch: Batch, stop: threading.Event, say: Callable[..., None]
    ):
        self._passages, self._batch, self._stop, self._say = passages, batch, stop, say
        self._reading = True
        self._skipped: list[Skipped] = []
        self._marks: deque[tuple[float, int]] = deque()  # when how many chunks were done

    def run(self) -> "Report":
        """Raises what `Passages.add` does; a database that is written to is waited for."""
        from retrieval.ingest import Cancelled

        own = {source for _, source in self._batch.files()}
        while True:
            try:
                return self._passages.add(
                    self._items(), progress=self._progress, cancelled=self._stop.is_set,
                    whole=own.__contains__,
                )  # fmt: skip
            except DatabaseBusy:
                self._say(stage="waiting", message="Another process is writing to the passages.")
                if self._stop.wait(RETRY):
                    raise Cancelled("cancelled while waiting") from None

    def _items(self) -> Iterator[Document | Skipped]:
        self._reading = True
        self._skipped.clear()
        for item in read_as(self._files()):
            if isinstance(item, Skipped):
                item = replace(item, source=item.source.removeprefix(UNDER))
                self._skipped.append(item)
                self._say(skipped=tuple(self._skipped))
            yield item
        self._reading = False

    def _files(self) -> Iterator[tuple[Path, str]]:
        for number, file in enumerate(self._batch.files()):
            self._say(stage="reading", message="", read=number)
            yield file
        self._say(read=len(self._batch.names))

    def _progress(self, done: int, chunks: int) -> None:
        if self._reading:
            self._say(stage="reading", done=done, chunks=chunks)
            return
        stage = "embedding" if done < chunks else "publishing"
        rate = self._rate(done)
        left = (chunks - done) / rate if rate else None
        self._say(stage=stage, done=done, chunks=chunks, rate=rate, left=left)

    def _rate(self, done: int) -> float | None:
        """Chunks a second over the last seconds; None until there is something to measure."""
        now = time.monotonic()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > WINDOW:
            self._marks.popleft()
        began, first = self._marks[0]
        return (done - first) / (now - began) if done > first and now > began else None
