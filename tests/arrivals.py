"""Files as they arrive from a browser, and an encoder that holds up the job that reads them."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from app.jobs import Jobs, State
from app.uploads import UNDER, Upload
from retrieval.ingest import Report

TEXTS = {
    f"text {i}.txt": f"Sentence {i} tells of a ferry and of sheep number {i}. " * 15
    for i in range(4)
}
EXPECTED = [f"uploads/{name}" for name in sorted(TEXTS)]


class Gate:
    """Stands before an embedder: while closed, each block of chunks waits to be let through."""

    def __init__(self, embedder):
        self.width, self.fingerprint, self._embedder = (
            embedder.width, embedder.fingerprint, embedder,
        )  # fmt: skip
        self.blocks = threading.Semaphore(10**6)
        self.waiting = threading.Event()
        self.failing = False

    def close(self) -> None:
        self.blocks = threading.Semaphore(0)
        self.waiting.clear()

    def __call__(self, texts):
        if len(texts) > 1 or self.failing:
            self.waiting.set()
            assert self.blocks.acquire(timeout=20)
            if self.failing:
                raise OSError(28, "No space left on device")
        return self._embedder(texts)


def write(folder: Path, files: Mapping[str, str | bytes]) -> list[Upload]:
    """Puts files where a browser's uploads arrive."""
    made = []
    for number, (name, text) in enumerate(files.items()):
        path = folder / "arrived" / str(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        made.append(Upload(path, name))
    return made


def look(job: Jobs) -> State:
    """The state of a job that is there."""
    assert job.state is not None
    return job.state


def finish(job: Jobs) -> State:
    """Waits for the end."""
    end = time.monotonic() + 20
    while look(job).running:
        assert time.monotonic() < end, job.state
        time.sleep(0.005)
    return look(job)


def outcome(job: Jobs) -> Report:
    """Waits for a good end; what was done."""
    report = finish(job).report
    assert report is not None, job.state
    return report


def sources(passages) -> list[str]:
    return sorted(e.source for e in passages.documents() if e.source.startswith(UNDER))
