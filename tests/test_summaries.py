"""The narrow tables of schema_0005 say the same as the tables that they repeat."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from app.records import DetectorRun, Finding, Settings, Turn
from app.store import schema_0005
from app.store.ids import new_id
from app.store.log import Log
from app.store.marks import Marks
from engine.attribution import Attribution, ChunkEffect, NeighbourEffect
from engine.protocol import Info, Sampling

Build = Callable[..., Turn]
TABLES = ("case_keys", "run_counts", "showings", "shown_documents", "cases", "replies", "ways",
          "batches")  # fmt: skip
MODELS = [Info(name, 1, name * 32, "e" * 64, 2048, "") for name in ("aa", "bb")]
WHERE = "JOIN batches b ON b.id = x.batch_id"
WAY = "JOIN ways w ON w.id = x.way_id"
ACTIONS = (
    "new", "start", "again", "move", "mark", "rule", "withdraw", "restore", "delete", "measure",
)  # fmt: skip
SAID = {
    "replies": f"SELECT x.n, b.day, b.model_id, w.retrieve, w.k, w.temperature, complete, findings,"
    f" gain FROM replies x {WHERE} {WAY}",
    "cases": f"SELECT x.id, n, place, b.day, b.model_id, w.model_id, w.retrieve, w.k, source, kind,"
    f" severity, status, annotator FROM cases x {WHERE} {WAY}",
    "showings": f"SELECT neighbour_id, source, title, b.day, b.model_id, n, behind FROM showings x"
    f" JOIN shown_documents d ON d.id = document_id {WHERE}",
    "run_counts": f"SELECT b.day, b.model_id, detector, status, sum(runs) FROM run_counts x {WHERE}"
    " GROUP BY 1, 2, 3, 4 HAVING sum(runs)",
}


def said(db: sqlite3.Connection) -> dict[str, list[tuple]]:
    return {name: sorted(db.execute(sql).fetchall()) for name, sql in SAID.items()}


def check(log: Log) -> dict[str, list[tuple]]:
    """Compares what the triggers have kept with what the step of the schema would fill in."""
    with closing(sqlite3.connect(log.path)) as stored, closing(sqlite3.connect(":memory:")) as db:
        kept = said(stored)
        stored.backup(db)
        for (name,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for table in TABLES:
            db.execute(f"DELETE FROM {table}")
        db.commit()
        db.executescript(schema_0005.FILLING)
        assert kept == said(db)
        return kept


def run(text: str, rng: random.Random) -> tuple[DetectorRun, ...]:
    """A detector that found a few things, one that was skipped, one that found nothing."""
    found = []
    for _ in range(rng.randrange(3)):
        start = rng.randrange(len(text))
        end = rng.randrange(start, len(text) + 1)
        kind = rng.choice(("copy.neighbour", "repetition.loop"))
        severity = rng.choice(("info", "warn", "alert"))
        found.append(Finding(kind, start, end, text[start:end], 1.0, 0.5, severity, "So."))
    status = "found" if found else "ok"
    return (
        DetectorRun("copy", "1", status, 0.1, tuple(found)),
        DetectorRun("support", "1", rng.choice(("skipped", "error")), 0.1),
    )


def measured(turn: Turn, gain: float) -> Attribution:
    chunks = []
    for chunk in turn.reply.chunks:
        size = chunk.last - chunk.first
        effects = tuple(NeighbourEffect(0.0, 0.0, 0.0) for _ in chunk.neighbours)
        chunks.append(ChunkEffect((gain,) * size, (0.0,) * size, effects))
    return Attribution(tuple(chunks), (0.0,) * len(turn.reply.tokens), 0.1)


def test_triggers_keep_what_filling_would_make(log: Log, toy_turn: Build):
    rng, marks = random.Random(3), Marks(log)
    turns: list[Turn] = []
    gains, kept = 0, check(log)
    for step in range(70):
        text = "word " * rng.choice((3, 70, 140))
        day = f"2026-11-{rng.randint(1, 4):02}T10:00:00.000Z"
        settings = Settings(Sampling(temperature=rng.choice((0.0, 0.7))), k=rng.choice((1, 2)))
        fresh = toy_turn(text, id=new_id(), conversation=new_id(), created=day,
                         model=rng.choice(MODELS), settings=settings)  # fmt: skip
        match rng.choice(ACTIONS):
            case "new":
                log.save(fresh, run(text, rng))
                turns.append(fresh)
            case "start":
                log.start(fresh)
                if rng.random() < 0.5:
                    log.save(fresh, run(text, rng))
                    turns.append(fresh)
                elif rng.random() < 0.5:
                    log.recover()
            case "again" if turns:
                turn = rng.choice(turns)
                log.save(turn, run(turn.reply.text, rng))
            case "move" if turns:
                turn = turns.pop(rng.randrange(len(turns)))
                turns.append(replace(turn, created=day, model=fresh.model, settings=settings))
                log.save(turns[-1], run(turn.reply.text, rng))
            case "mark" if turns:
                marks.annotate(rng.choice(turns).id, "Ada", "wrong", (0, 4), severity=step % 3 + 1)
            case "rule" if turns:
                for logged in marks.findings(rng.choice(turns).id):
                    person, ruling = rng.choice("AB"), rng.choice(("accepted", "rejected", None))
                    marks.rule(logged.id, person, ruling)
            case "withdraw" if turns:
                for made in marks.annotations(rng.choice(turns).id)[:1]:
                    marks.withdraw(made.id, "Ada")
                    if rng.random() < 0.5:
                        marks.restore(made.id, "Ada")
                        marks.revise(made.id, "Ada", label="toxic")
            case "delete" if len(turns) > 5:
                log.delete_conversation(turns.pop(0).conversation)
            case "measure" if turns:
                turn = rng.choice(turns)
                log.save_attribution(turn.id, measured(turn, rng.random()))
        kept = check(log)
        gains += any(row[-1] is not None for row in kept["replies"])
    assert all(len(rows) > 5 for rows in kept.values())
    assert {row[-2] for row in kept["cases"]} > {"open", "marked"}
    assert {row[-1] for row in kept["showings"]} == {0, 1}
    assert gains > 5


def test_a_reply_that_is_being_written_shows_nothing_until_it_is_complete(
    log: Log, toy_turn: Build
):
    turn = toy_turn()
    log.start(turn)
    log.progress(turn.id, turn.reply)
    assert (check(log)["showings"], check(log)["replies"][0][-3]) == ([], 0)
    log.save(turn)
    assert (len(check(log)["showings"]), check(log)["replies"][0][-3]) == (2, 1)


def test_deleting_everything_leaves_nothing_counted(log: Log, toy_turn: Build):
    log.save(toy_turn(), run("The harbour was dug in 1411.", random.Random(1)))
    Marks(log).annotate(log.turns("toy")[0].id, "Ada", "wrong", (0, 3))
    log.delete_conversation("toy")
    assert check(log) == {name: [] for name in SAID}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM cases ORDER BY n DESC, place DESC, id DESC LIMIT 50",
        "SELECT batch_id, source, severity, count(*) FROM cases GROUP BY 1, 2, 3",
        "SELECT kind, source, status, way_id, count(*) FROM cases GROUP BY 1, 2, 3, 4",
        "SELECT batch_id, count(*) FROM replies WHERE complete GROUP BY 1",
        "SELECT document_id, count(*), sum(behind) FROM showings GROUP BY 1",
        "SELECT findings, gain FROM replies WHERE gain IS NOT NULL AND complete ORDER BY gain",
    ],
)
def test_a_frequent_count_reads_an_index_alone_and_sorts_nothing(log: Log, sql: str):
    with log.reading("asking for the plan") as db:
        plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}"))
    assert "COVERING INDEX" in plan and "TEMP B-TREE" not in plan
