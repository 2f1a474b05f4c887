"""Cold start of the chat page: from the start of the process to the page, and to a first token.

    python -m tests.benchmarks.starting --data DIRECTORY --port PORT

is one such process: `app.py chat`, except that it asks a question itself once the model is ready,
and prints when it had the first token. The model is the one that comes with Retroscope.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.benchmarks.lines import ROOT, WorkerFailed
from tests.benchmarks.table import most

QUESTION = "How does a volcano form?"
LIMIT = 900.0  # seconds until a start is given up
AIMS = {"warm": 6.0, "cold": 25.0}  # seconds to the first token, by the state of the caches
HEAD = ("start", "page visible, s", "first token, s", "page before model", "aim")


def measure(build: Path, rounds: int, say: Callable[[str], None]) -> dict[str, list[dict]]:
    """{"warm": [{"page": s, "ready": s, "first": s}, ...], "cold": ...}

    The passage database is made beforehand. Raises WorkerFailed.
    """
    data = build / "start"
    say("start: once to make the passages")
    start(data)
    found: dict[str, list[dict]] = {"cold": [], "warm": []}
    for turn in range(rounds):
        say(f"start: round {turn + 1} of {rounds}")
        shutil.rmtree(data / "compiled", ignore_errors=True)
        for state in found:  # the cold one first: it fills the caches for the other
            found[state].append(start(data))
    return found


def start(data: Path) -> dict[str, float]:
    """Starts the page, waits for its first token, stops it; -> seconds since the start."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.starting"]
    begun = time.monotonic()
    with running([*command, "--data", str(data), "--port", str(port)]) as process:
        seen: dict[str, float] = {}
        reader = threading.Thread(target=follow, args=(process.stdout, seen), daemon=True)
        reader.start()
        while "first" not in seen and process.poll() is None and time.monotonic() < begun + LIMIT:
            if "page" not in seen and visible(port):
                seen["page"] = time.monotonic()
            time.sleep(0.02)
    reader.join()
    if missing := {"page", "ready", "first"} - set(seen):
        raise WorkerFailed(f"a chat page started with --data {data} told no time of {missing}")
    return {name: at - begun for name, at in seen.items()}


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def follow(lines: Iterable[str], seen: dict[str, float]) -> None:
    for line in lines:
        with suppress(ValueError):  # not one of ours
            seen.update(json.loads(line))


def visible(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
            return page.status == 200 and bool(page.read())
    except (URLError, OSError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def rows(found: dict[str, list[dict]]) -> Iterator[list[str]]:
    """Cells of both states, of the round that took longest to the first token."""
    names = {"cold": "compilation cache empty", "warm": "compilation cache filled"}
    for state, rounds in found.items():
        worst = max(rounds, key=lambda seen: seen["first"])
        before = "yes" if all(seen["page"] < seen["ready"] for seen in rounds) else "no"
        yield [
            names[state], f"{worst['page']:.1f}", f"{worst['first']:.1f}", before,
            most(worst["first"], AIMS[state], " s"),
        ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    flags = parser.parse_args()
    from app import serving
    from app.settings import read_environment

    out = os.fdopen(os.dup(1), "w")
    opened = serving.open_application

    def tell(name: str) -> None:
        print(json.dumps({name: time.monotonic()}), file=out, flush=True)

    def ask(application) -> None:
        while application.status.stage == "loading":
            time.sleep(0.005)
        tell("ready")
        settings = replace(application.defaults)
        for event in application.turns.run(QUESTION, settings):
            if type(event).__name__ == "TokenEvent":
                return tell("first")

    def open_and_ask(options):
        application = opened(options)
        threading.Thread(target=ask, args=(application,), daemon=True).start()
        return application

    serving.open_application = open_and_ask
    options = replace(read_environment(), data=flags.data, port=flags.port)
    return serving.serve(options, open_browser=False)


if __name__ == "__main__":
    sys.exit(main())
