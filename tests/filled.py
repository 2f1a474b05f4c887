"""A log with everything in it that people and detectors say of replies."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.failures.detectors import run_detectors
from app.records import Annotation, Turn
from app.store.log import Log
from app.store.marks import Marks
from engine.protocol import ReplyChunk
from retrieval.protocol import Neighbour
from tests.test_effects import measured

MAIL = "anna.smith@example.org"
PHONE = "+44 20 7946 0958"
VALUES = (MAIL, MAIL.upper(), PHONE)
PARTS = ("smith", "anna.sm", "20 7946", "7946 0958")  # that stand nowhere else
PIECE = re.compile(rb"[^0-9a-f](7946|0958|958)[^0-9a-f]")  # and inside no random id
CHANCE = re.compile(rb"\.\d{3}Z|[0-9A-HJKMNP-TV-Z]{26}")  # milliseconds of a time; an id
LOOP = "the sea is blue and calm " * 5
REPLY = f"Fine 🌊 start. {LOOP}Write to {MAIL} about 1411."


@dataclass(frozen=True)
class Filled:
    """What was put in: a reply with a loop and an address, a version of it, and a clean one."""

    flagged: Turn
    other: Turn
    clean: Turn
    annotations: tuple[Annotation, ...]


def fill(log: Log, build: Callable[..., Turn]) -> Filled:
    """Two conversations, "talk" and "rest", with findings, rulings, annotations, reviews,
    judgements, a vote and effects."""
    message = f"=Who keeps the harbour? Mine is {PHONE} 🌊"
    flagged = _shown(build(REPLY, conversation="talk", message=message))
    other = build("The keeper did.", conversation="talk", message=message)
    clean = build("The harbour was dug in 1411.", conversation="rest", message="When?")
    for turn in (flagged, other, clean):
        log.save(turn, run_detectors(turn))
    log.save_attribution(clean.id, measured(clean))
    log.judge(flagged.id, 0, 0, "misleading", "Ida")
    log.judge(clean.id, 0, 1, "useful", "Ida")
    log.vote(log.compare(flagged.id, other.id, f"without {MAIL}").id, "b")
    marks = Marks(log)
    loop, mail = REPLY.index(LOOP), REPLY.index(MAIL)
    made = (
        marks.annotate(
            flagged.id, "Ida", "repetition.loop", (loop, loop + 24), severity=3, note="+ again 🌊"
        ),
        marks.annotate(
            flagged.id, "Bo", "personal", (mail - 9, mail + 8), note=f"call {PHONE}", blind=True
        ),
        marks.annotate(clean.id, "Bo", "wrong.fact", (23, 27), severity=1),
    )
    withdrawn = marks.annotate(clean.id, "Bo", "other", (0, 3))
    marks.withdraw(withdrawn.id, "Bo")
    for logged in marks.findings(flagged.id):
        top = logged.finding.kind.split(".")[0]
        marks.rule(logged.id, "Ida", "accepted" if top == "repetition" else "rejected")
    for turn in (flagged, clean):
        marks.begin(turn.id, "Ida", "flagged" if turn is flagged else "sample", blind=False)
        marks.close(turn.id, "Ida", "done")
    return Filled(flagged, other, clean, made)


def _shown(turn: Turn) -> Turn:
    """The turn with a passage that begins an address in its text and ends it in what follows."""
    chunk: ReplyChunk = turn.reply.chunks[0]
    passage: Neighbour = replace(
        chunk.neighbours[0], text=f"-Mail {MAIL[:12]}", continuation=f"{MAIL[12:]} or {PHONE}"
    )
    chunks = (replace(chunk, neighbours=(passage, *chunk.neighbours[1:])),)
    return replace(turn, reply=replace(turn.reply, chunks=chunks + turn.reply.chunks[1:]))


def asked(log: Log, sql: str, *values: object) -> list[tuple]:
    """What a person sees in the sqlite3 shell."""
    with closing(sqlite3.connect(log.path)) as db:
        return db.execute(sql, values).fetchall()


def contents(path: Path) -> bytes:
    """Every byte of a log and of what SQLite keeps beside it."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


def tables(log: Log) -> dict[str, list[tuple]]:
    """All rows of all tables."""
    names = asked(log, "SELECT name FROM sqlite_schema WHERE type = 'table'")
    return {name: asked(log, f'SELECT * FROM "{name}"') for (name,) in names}


def change(log: Log, *sqls: str) -> None:
    """Changes a log behind the program's back."""
    with closing(sqlite3.connect(log.path)) as db, db:
        for sql in sqls:
            db.execute(sql)


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Somebody at a terminal types this."""
    typed = SimpleNamespace(isatty=lambda: True, readline=lambda: text)
    monkeypatch.setattr("sys.stdin", typed)
