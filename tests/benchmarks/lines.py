"""A process that answers lines of JSON, and the other end of it. Standard library only, because
the peer answers in an environment of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class WorkerFailed(RuntimeError):
    """A process ended without an answer; the message has the end of what it wrote as errors."""


def answer(ready: Mapping[str, Any], answer_to: Callable[..., Any]) -> None:
    """Says what is ready, then answers each line of standard input by `answer_to(**line)`."""
    out = os.fdopen(os.dup(1), "w")  # what a library prints must not come between
    os.dup2(2, 1)
    print(json.dumps(ready), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer_to(**json.loads(line))), file=out, flush=True)


class Worker:
    """A process under `answer`, ready once this returns. Its errors go to the file `errors`.

    Raises WorkerFailed.
    """

    def __init__(self, command: Sequence[str], errors: Path):
        self.errors = errors
        with open(errors, "w") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file,
            )  # fmt: skip
        try:
            self.ready: dict[str, Any] = self._read()
        except WorkerFailed:
            self.close()
            raise

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # reading says why
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            said = self.errors.read_text(errors="replace")[-2000:].strip()
            raise WorkerFailed(f"a process ended with {code}; the end of {self.errors}:\n{said}")
        return json.loads(line)

    def close(self) -> None:
        """Lets it end; stops it if it does not."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.close()
            self.process.wait(10)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
