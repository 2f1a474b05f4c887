"""How fast a log of 100,000 turns is browsed: python -m tests.benchmarks.failures

Prints, and asserts nothing: times belong to a machine. The log is made once and kept in the folder
given by --keep (without it, it is made in a temporary one and deleted). Every figure is the median
of a few rounds, and the share that it takes of the 0.3 seconds that a page may wait. Nothing is
remembered between two rounds but what SQLite and the system keep.
"""

import argparse
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from app.compose import Application
from app.records import DetectorRun, Settings
from app.similar import Similar
from app.store import schema_0005
from app.store.cases import Cases, Filter, Sort
from app.store.keys import BOUND, Keys
from app.store.log import Log
from app.store.queue import Queue
from app.ui.browsing import Browsing
from app.ui.charting import Charting
from engine.protocol import Reply
from tests.bag import BagEmbedder
from tests.benchmarks.filled import PEOPLE, build, random_turn

TURNS, ROUNDS, LIMIT, SAVES = 100_000, 5, 0.3, 150
DAY = "2026-09-01"
FILTERS = {
    "no filter": {},
    "a kind": {"kind": "unsupported.number"},
    "a kind with those below": {"kind": "unsupported"},
    "people": {"source": "person"},
    "a status": {"status": "rejected"},
    "a model": {"model": "retro-6"},
    "settings": {"preset": "on t0.7"},
    "days": {"since": DAY, "until": "2026-09-30"},
    "an annotator": {"annotator": "Ada"},
    "a severity": {"severity": "3"},
    "the random sample": {"drawn": "sample"},
    "a document": {"document": "Document 1"},
    "a frequent word": {"text": "{frequent}"},
    "a rare word": {"text": "{rare}"},
    "four at once": {"kind": "copy", "status": "open", "model": "retro-5", "severity": "1"},
    "a word, a model and days": {"text": "{frequent}", "model": "retro-6", "since": DAY},
    "nothing fits": {"kind": "unsupported", "annotator": "nobody", "text": "zzz"},
}
RANGES = {
    "all": {},
    "a model": {"model": "retro-6"},
    "30 days": {"since": DAY},
    "a model, 9 months": {"model": "retro-6", "since": "2026-01-01"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the log here")
    flags = parser.parse_args()
    folder = flags.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"log-{flags.turns}.db"
    if not path.exists():
        build(path, flags.turns)
    log = Log(path)
    try:
        print(f"{flags.turns:,} turns, {path.stat().st_size / 2**20:,.0f} MB")
        print("by the clock, of this thread alone, and the share of 0.3 s by the clock")
        browse(log)
        dashboard(log)
        others(log)
    finally:
        log.close()
        if not flags.keep:
            shutil.rmtree(folder)
    saving()


def browse(log: Log) -> None:
    print("\na page of the browse view with its counts")
    view = Browsing(Application(log, Settings()))
    with log.reading("looking for words") as db:
        words = db.execute("SELECT reply FROM turns LIMIT 200").fetchall()
    counts: dict[str, int] = {}
    for (reply,) in words:
        for word in reply.split():
            counts[word] = counts.get(word, 0) + 1
    known = {
        "frequent": max(counts, key=counts.__getitem__),
        "rare": min(counts, key=counts.__getitem__),
    }
    for name, fields in FILTERS.items():
        filter = {key: value.format(**known) for key, value in fields.items()}
        asked = {"filter": filter, "sort": "written", "descending": True, "page": 0}
        found = view.cases(asked)["total"]
        tell(f"{name}: {found:,}", measure(lambda asked=asked: view.cases(asked)))
    pages = view.cases({"filter": {}, "sort": "kind", "descending": True, "page": 0})["pages"]
    for sort in get_args(Sort):
        asked = {"filter": {}, "sort": sort, "descending": False, "page": pages // 2 - 1}
        tell(f"the middle page by {sort}", measure(lambda asked=asked: view.cases(asked)))
    tell("what the filters offer", measure(lambda: view.choices({})))
    (case,) = Cases(log).cases(Filter(source="machine"), limit=1)
    tell("one case", measure(lambda: view.case({"id": case.id})))


def dashboard(log: Log) -> None:
    print("\nthe whole dashboard")
    view = Charting(Application(log, Settings()))
    for name, limit in RANGES.items():
        found = view.figures(limit)["cases"]
        tell(f"{name}: {found:,} cases", measure(lambda limit=limit: view.figures(limit)))


def others(log: Log) -> None:
    print("\nbeside it")
    queue = Queue(log)
    tell("the queue of somebody new", measure(lambda: queue.next("nobody")))
    tell("the queue of somebody who read much", measure(lambda: queue.next(PEOPLE[0])))
    encoder = BagEmbedder(width=384, fingerprint="benchmark")
    keys, found = Keys(log, encoder.fingerprint), Cases(log).cases(limit=BOUND)
    if keys.counts()[0] < len(found):
        drawn = np.random.default_rng(0).standard_normal((len(found), 384))
        keys.put([case.id for case in found], drawn)
    similar = Similar(log, lambda: encoder)
    tell(f"cases similar to one, of {len(found):,}", measure(lambda: similar.near(found[0])))


def saving() -> None:
    """Saves the same turns in two logs by turns, one of them without this step of the schema."""
    rng = random.Random(2)
    taken: tuple[list[tuple[float, float]], ...] = ([], [])
    turns = [random_turn(rng, i, SAVES) for i in range(SAVES)]
    with tempfile.TemporaryDirectory() as folder:
        logs = [Log(Path(folder) / name) for name in ("with.db", "without.db")]
        with closing(sqlite3.connect(logs[1].path)) as db:
            for line in schema_0005.TRIGGERS.splitlines():
                if line.startswith("CREATE TRIGGER"):
                    db.execute(f"DROP TRIGGER {line.split()[2]}")
        order = list(zip(logs, taken, strict=True))
        for turn, findings in turns:
            runs = [DetectorRun(str(i), "1", "ok", 0.0) for i in range(12)]
            runs.append(DetectorRun("copy", "1", "found", 0.0, tuple(findings)))
            order.reverse()
            for log, times in order:
                started = time.perf_counter(), time.thread_time()
                log.start(replace(turn, reply=Reply.of([])))
                log.progress(turn.id, turn.reply)
                log.save(turn, runs)
                times.append((time.perf_counter() - started[0], time.thread_time() - started[1]))
        for log in logs:
            log.close()
    print("\nstarting, growing and saving a turn, as it is and without what is kept for browsing")
    for i, what in enumerate(("by the clock", "of this thread alone")):
        with_, without = (statistics.median(pair[i] for pair in times) for times in taken)
        ratio = with_ / without - 1
        print(f"  {what:<22} {1000 * with_:.2f} ms and {1000 * without:.2f} ms: {ratio:+.1%}")


def measure(ask: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one asking, the median of a few: by the clock, and of this thread alone, which is
    less where others use the machine."""
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter(), time.thread_time()
        ask()
        taken.append((time.perf_counter() - started[0], time.thread_time() - started[1]))
    clock, thread = zip(*taken, strict=True)
    return statistics.median(clock), statistics.median(thread)


def tell(name: str, seconds: tuple[float, float]) -> None:
    clock, thread = seconds
    share = clock / LIMIT
    mark = " !" * (share > 1)
    print(
        f"  {name:<44} {1000 * clock:7.1f} ms, {1000 * thread:7.1f} ms {100 * share:5.0f} %{mark}"
    )


if __name__ == "__main__":
    main()
