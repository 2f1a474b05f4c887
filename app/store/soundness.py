"""Whether the log is as it should be: what SQLite checks, and what this program relies on."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from app.store.connection import connect, explained
from app.store.queries import Reader
from retrieval.sqlite import Database

_SHOWN = 5  # of what is wrong in one way
_QUOTES = """
SELECT {table}.id, {table}.quote, {table}."start", {table}."end", t.reply
FROM {table} JOIN turns t ON t.id = {table}.turn_id
WHERE {table}.quote <> substr(t.reply, {table}."start" + 1, {table}."end" - {table}."start")
OR {table}."end" > length(t.reply) OR {table}."start" < 0 OR {table}."end" < {table}."start"
"""
_STATUS = """
SELECT f.id, f.status, coalesce(r.ruled, 'open') FROM findings f
LEFT JOIN ruled_findings r ON r.finding_id = f.id WHERE f.status <> coalesce(r.ruled, 'open')
"""
_LONELY = {  # rows that nothing leads to, or that lack what they need; a name, then the ids
    "conversations without a turn": """SELECT id FROM conversations c
        WHERE NOT EXISTS (SELECT 1 FROM turns t WHERE t.conversation_id = c.id)""",
    "turns without their tokens": """SELECT id FROM turns t
        WHERE NOT EXISTS (SELECT 1 FROM turn_tokens k WHERE k.turn_id = t.id)""",
    "turns after one of another conversation": """SELECT t.id FROM turns t
        JOIN turns p ON p.id = t.parent_id WHERE p.conversation_id <> t.conversation_id""",
    "turns before the one they follow": """SELECT t.id FROM turns t
        JOIN turns p ON p.id = t.parent_id WHERE p.n >= t.n""",
    "findings of a run on another turn": """SELECT f.id FROM findings f
        JOIN detector_runs r ON r.id = f.run_id WHERE r.turn_id <> f.turn_id""",
    "runs that say they found something, without a finding": """SELECT r.id FROM detector_runs r
        WHERE r.status = 'found' AND NOT EXISTS (SELECT 1 FROM findings f WHERE f.run_id = r.id)""",
    "judgements of a passage that is not at its place": """SELECT j.id FROM judgements j
        WHERE NOT EXISTS (SELECT 1 FROM chunks c JOIN neighbours n ON n.chunk_id = c.id
        WHERE c.turn_id = j.turn_id AND c.ord = j.chunk AND n.rank = j.rank
        AND n.text = j.passage)""",
    "effects of a passage that is not at its place": """SELECT e.turn_id FROM effects e
        WHERE NOT EXISTS (SELECT 1 FROM chunks c JOIN neighbours n ON n.chunk_id = c.id
        WHERE c.turn_id = e.turn_id AND c.ord = e.chunk AND n.rank = e.rank)""",
}
_UNLIKE = """
SELECT n FROM turns WHERE n NOT IN (SELECT id FROM turns_fts_docsize)
UNION ALL SELECT id FROM turns_fts_docsize WHERE id NOT IN (SELECT n FROM turns)
"""


@dataclass(frozen=True)
class Checked:
    """One thing that was looked at: what is wrong with it, nothing if all is well, and then what
    to do. `note` says what was left out."""

    name: str
    wrong: tuple[str, ...]
    remedy: str = ""
    note: str = ""


def check(log: Reader, *, alone: bool) -> Iterator[Checked]:
    """Looks at everything; changes nothing. `alone` says that nobody writes to the log meanwhile,
    so that the words of the search index can be compared with the turns too. Raises LogError."""
    for name, look, remedy in _LOOKS:
        with log.reading(f"checking {name}") as db:
            yield Checked(name, tuple(look(db)), remedy)
    remedy = "make the index anew, with: python app.py log vacuum"
    if alone:
        yield Checked("the search index", tuple(_index(log)), remedy)
    else:
        with log.reading("checking the search index") as db:
            wrong = _some((f"turn number {n}" for (n,) in db.execute(_UNLIKE)), "entry, or none")
            note = "its words were not compared, because the application may be writing"
            yield Checked("the search index", tuple(wrong), remedy, note)


def _file(db: Database) -> Iterator[str]:
    found = [row for (row,) in db.execute(f"PRAGMA integrity_check({_SHOWN})")]
    yield from (row for row in found if row != "ok")


def _references(db: Database) -> Iterator[str]:
    rows = db.execute("PRAGMA foreign_key_check")
    return _some((f"{table} row {row} lacks its {parent}" for table, row, parent, _ in rows), "")


def _quotes(db: Database) -> Iterator[str]:
    for table in ("findings", "annotations"):
        # SQLite ends a text at a NUL, so what it finds is looked at again
        rows = (
            f"{table[:-1]} {id}, characters {start} to {end}"
            for id, quote, start, end, reply in db.execute(_QUOTES.format(table=table))
            if not 0 <= start <= end <= len(reply) or quote != reply[start:end]
        )
        yield from _some(rows, "the quote is not what the reply says there")


def _statuses(db: Database) -> Iterator[str]:
    rows = (f"finding {id} is {s}, not {ruled}" for id, s, ruled in db.execute(_STATUS))
    return _some(rows, "")


def _orphans(db: Database) -> Iterator[str]:
    for name, sql in _LONELY.items():
        yield from _some((str(id) for (id,) in db.execute(sql)), name)


def _index(log: Reader) -> Iterator[str]:
    """FTS5 compares its words with the turns only where it could write; nothing is written."""
    opened = connect(log.path, writes=True)
    with explained("checking the search index", log.path), closing(opened) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute("INSERT INTO turns_fts (turns_fts, rank) VALUES ('integrity-check', 1)")
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            yield "its words are not those of the turns"
        finally:
            db.rollback()


def _some(found: Iterator[str], what: str) -> Iterator[str]:
    """The first few and how many more there are."""
    count = 0
    for count, one in enumerate(found, 1):
        if count <= _SHOWN:
            yield f"{one}: {what}" if what else one
    if count > _SHOWN:
        yield f"and {count - _SHOWN} more" + (f": {what}" if what else "")


_DAMAGED = (
    "copy the file away, rescue what there is with the `.recover` command of the sqlite3 shell, "
    "and start again with that"
)
_BUG = "keep a copy of the file and report this as a bug"
_LOOKS: tuple[tuple[str, Callable[[Database], Iterator[str]], str], ...] = (
    ("the file", _file, _DAMAGED),
    ("references between rows", _references, _DAMAGED),
    ("quotes", _quotes, _BUG + "; the quote can be marked anew on the page"),
    ("statuses of findings", _statuses, "rule on those findings again, and report this as a bug"),
    ("rows without their owner", _orphans, _BUG + "; deleting their conversation removes them"),
)
