"""A log of many turns, made without an engine: as large as a log gets, for the benchmarks.

Words, kinds and days are drawn, the same for a seed; a few words are in every reply, most in few.
The rows are those of `app.store.rows`, so the triggers of the log see what they always see.
"""

import itertools
import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.failures.taxonomy import taxonomy
from app.records import DetectorRun, Finding, Settings, Turn
from app.store import rows
from app.store.ids import new_id, now
from app.store.log import Log
from engine.protocol import ChunkEvent, DoneEvent, Info, Reply, Sampling, TokenEvent
from retrieval.protocol import CHUNK, Neighbour

DAYS, DOCUMENTS = 400, 2_000
MODELS = [Info(f"retro-{i}", 10**i, f"{i}" * 64, "e" * 64, 2048, "") for i in (5, 6, 7)]
DETECTORS = (
    "repetition", "unsupported", "support", "copy.neighbour", "copy.database", "personal", "group",
    "injection", "language", "refusal", "persona", "empty", "truncated",
)  # fmt: skip
KINDS = [code for code in taxonomy().labels if code.startswith(tuple(DETECTORS)) and "." in code]
MARKS = [code for code in taxonomy().labels if "." in code]
PEOPLE = ("Ada", "Grace", "Mary", "Rosalind")


def build(path: Path, turns: int) -> None:
    """Writes a log of so many turns, most of it in one transaction."""
    rng = random.Random(7)
    text = _writer(rng)
    log = Log(path)
    with log.writing("making a large log") as db:
        for info in MODELS:
            db.table("models").insert(rows.model_row(info))
        for first in range(0, turns, 2000):
            made = [_turn(rng, text, i, turns) for i in range(first, min(first + 2000, turns))]
            _put(db.conn, rng, made, first)
            print(f"\r{first + len(made):,} turns", end="", flush=True)
    print()
    log.close()


def random_turn(rng: random.Random, i: int, turns: int) -> tuple[Turn, list[Finding]]:
    """The i-th turn of a log of so many, and findings in it."""
    turn = _turn(rng, _writer(rng), i, turns)
    return turn, _findings(rng, turn)


def _writer(rng: random.Random) -> Callable[[int], str]:
    """Writes so many words, a few of them often."""
    words = ["".join(rng.choices("aeioulnrst", k=rng.randint(2, 9))) for _ in range(4000)]
    likely = list(itertools.accumulate(1 / (i + 3) for i in range(len(words))))
    return lambda count: " ".join(rng.choices(words, cum_weights=likely, k=count))


def _turn(rng: random.Random, text: Callable[[int], str], i: int, turns: int) -> Turn:
    start = datetime(2025, 9, 1, tzinfo=UTC)
    created = (start + timedelta(days=DAYS * i / turns)).isoformat(timespec="milliseconds")
    events: list[ChunkEvent | TokenEvent | DoneEvent] = []
    written = text(rng.choice((40, 60, 90, 120))).split()
    for at, word in enumerate(written):
        if at % CHUNK == 0:
            shown = tuple(_neighbour(rng, text) for _ in range(2))
            events.append(ChunkEvent(at // CHUNK, "query", shown, 0.01))
        events.append(TokenEvent(at, f" {word}" if at else word, -0.5, (), at // CHUNK))
    events.append(DoneEvent("stop", 12, {"total": 2.0}))
    settings = Settings(Sampling(temperature=rng.choice((0.0, 0.7)), max_tokens=200, seed=i))
    if rng.random() < 0.2:
        settings = replace(settings, retrieve=False)
    id = new_id()
    return Turn(
        id, id, None, text(12), Reply.of(events), settings, rng.choice(MODELS), "d" * 64,
        "stop", created.replace("+00:00", "Z"),
    )  # fmt: skip


def _neighbour(rng: random.Random, text: Callable[[int], str]) -> Neighbour:
    document = min(int(rng.paretovariate(0.6)), DOCUMENTS)
    return Neighbour(
        document * 10, document, f"Document {document}", f"library/{document}.md", 0, 0, 400,
        text(40), text(40), tuple(range(64)), tuple(range(64)), 0.5, 0.5,
    )  # fmt: skip


def _put(db: sqlite3.Connection, rng: random.Random, turns: list[Turn], first: int) -> None:
    each: dict[str, list[rows.Row]] = {
        name: []
        for name in (
            "conversations", "turns", "turn_tokens", "chunks", "neighbours", "attributions",
            "detector_runs", "findings", "annotations", "rulings", "reviews",
        )
    }  # fmt: skip
    for n, turn in enumerate(turns, first):
        each["conversations"].append(rows.conversation_row(turn))
        each["turns"].append({**rows.turn_row(turn, ""), "n": n + 1})
        each["turn_tokens"].append(rows.tokens_row(turn.id, turn.reply.tokens))
        chunks, neighbours = rows.chunk_rows(turn.id, turn.reply.chunks)
        each["chunks"] += chunks
        each["neighbours"] += neighbours
        if rng.random() < 0.3:
            gain = rng.gauss(6, 5)
            measured = {"turn_id": turn.id, "gain": gain, "seconds": 1.0, "created": now()}
            each["attributions"].append({**measured, "data": "x" * 1500})
        findings = _findings(rng, turn)
        for k, detector in enumerate(DETECTORS):
            own = [f for f in findings if f.kind.startswith(detector)]
            status = "found" if own else rng.choices(("ok", "skipped", "error"), (90, 9, 0.2))[0]
            run = DetectorRun(detector, "1", status, 0.001)  # type: ignore[arg-type]
            run_id = n * len(DETECTORS) + k + 1
            each["detector_runs"].append({"id": run_id, **rows.run_row(turn.id, run)})
            for found in own:
                row = {"id": 10 * run_id + len(each["findings"]) % 10}
                each["findings"].append(
                    {**row, **rows.finding_row(turn.id, run_id, found, turn.created)}
                )
        if n % 20 == 0:
            _opinions(rng, turn, each)
    for table, found in each.items():
        if found:
            names = ", ".join(f'"{name}"' for name in found[0])
            marks = ", ".join(f":{name}" for name in found[0])
            db.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", found)


def _findings(rng: random.Random, turn: Turn) -> list[Finding]:
    text, found = turn.reply.text, []
    for kind in rng.sample(KINDS, rng.choices((0, 1, 2, 3, 4), (42, 23, 16, 10, 9))[0]):
        start = rng.randrange(len(text) - 40)
        end = start + rng.randint(5, 40)
        severity = rng.choices(("info", "warn", "alert"), (6, 3, 1))[0]
        found.append(Finding(kind, start, end, text[start:end], 1.0, 0.5, severity, "Measured."))  # type: ignore[arg-type]
    return found


def _opinions(rng: random.Random, turn: Turn, each: dict[str, list[rows.Row]]) -> None:
    """Two people read one reply in twenty: mark, rule, and end the review."""
    found = [row for row in each["findings"] if row["turn_id"] == turn.id]
    for person in rng.sample(PEOPLE, 2):
        drawn = "flagged" if found else "sample"
        review = {"turn_id": turn.id, "annotator": person, "drawn": drawn, "blind": 0}
        each["reviews"].append({**review, "state": "done", "started": now(), "ended": now()})
        for row in found:
            ruling = rng.choice(("accepted", "rejected"))
            each["rulings"].append(
                {"finding_id": row["id"], "annotator": person, "ruling": ruling, "created": now()}
            )
        if rng.random() < 0.3:
            each["annotations"].append(
                {
                    "id": new_id(), "turn_id": turn.id, "annotator": person,
                    "label": rng.choice(MARKS), "start": 0, "end": 20,
                    "quote": turn.reply.text[:20], "severity": rng.randint(1, 3),
                    "note": "a note on this", "blind": 0, "version": "1", "created": now(),
                    "supersedes": None, "withdrawn": None,
                }
            )  # fmt: skip
