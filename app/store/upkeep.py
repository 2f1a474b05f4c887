"""Keeping the log small: deleting conversations, and giving back what they took on the disk."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.store.connection import LogError, connect, explained
from app.store.log import Log
from app.store.queries import Reader
from retrieval.sqlite import Database

_GOING = """
SELECT c.id, c.title, c.created, c.updated,
  (SELECT count(*) FROM turns t WHERE t.conversation_id = c.id) AS turns,
  (SELECT count(*) FROM turns t JOIN findings f ON f.turn_id = t.id
   WHERE t.conversation_id = c.id) AS findings,
  (SELECT count(*) FROM turns t JOIN annotations a ON a.turn_id = t.id
   WHERE t.conversation_id = c.id AND a.withdrawn IS NULL) AS annotations
FROM conversations c WHERE {where} ORDER BY c.updated, c.id
"""


@dataclass(frozen=True)
class Going:
    """A conversation that is to be deleted or masked, and what goes with it."""

    id: str
    title: str
    created: str
    updated: str
    turns: int
    findings: int
    annotations: int


@dataclass(frozen=True)
class Compacted:
    """Bytes of the log on the disk, before and after."""

    before: int
    after: int


def going(
    log: Reader, *, conversation: str | None = None, older: timedelta | None = None
) -> tuple[Going, ...]:
    """One conversation, or those whose newest turn is older, or all; oldest first.

    Raises LogError where there is no such conversation.
    """
    where, key = "1", ""
    if conversation is not None:
        where, key = "c.id = :key", log.conversation(conversation).id
    elif older is not None:
        where, key = "c.updated < :key", moment(older)
    with log.reading("looking for conversations") as db:
        sql = _GOING.format(where=where)
        return tuple(Going(**row) for row in db.query(sql, {"key": key}))


def moment(age: timedelta) -> str:
    """The time that is so long ago, as `ids.now` writes one."""
    try:
        then = datetime.now(UTC) - age
    except OverflowError:
        then = datetime.min.replace(tzinfo=UTC)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def delete(log: Log, conversations: Iterator[str]) -> Iterator[str]:
    """Deletes one after the other, each in a transaction of its own; yields the ids of those that
    are gone. What they held is overwritten with zeros, as far as SQLite knows where it was."""
    with log.writing("deleting conversations") as db:
        _overwriting(db)
    for id in conversations:
        log.delete_conversation(id)
        yield id


@contextmanager
def overwriting(log: Log, doing: str) -> Iterator[Database]:
    """`Log.writing`, in which what is replaced is overwritten with zeros."""
    with log.writing(doing) as db:
        _overwriting(db)
        yield db


def compact(path: Path) -> Compacted:
    """Writes the log anew without unused parts, and its search index from the turns alone.

    Afterwards nothing of what was deleted or masked is left in the file. Nobody else may have the
    log open. Raises LogError, and then the log is as it was: also where the disk has not the room
    for the copies that SQLite makes, about twice what is in use.
    """
    before = size_of(path)
    with explained("compacting the log", path):
        db = connect(path, writes=True)
        try:
            _check_room(db, path)
            _overwriting(db)
            db.execute("INSERT INTO turns_fts (turns_fts) VALUES ('rebuild')")
            db.execute("VACUUM")
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            db.close()
    if busy:
        raise LogError(
            f"another program is reading {path}, so that older parts of it are still on the disk; "
            "close that program, then run: python app.py log vacuum"
        )
    return Compacted(before, size_of(path))


def size_of(path: Path) -> int:
    """Bytes of the log with what SQLite keeps beside it."""
    files = (path, *(path.with_name(f"{path.name}-{end}") for end in ("wal", "shm")))
    return sum(file.stat().st_size for file in files if file.exists())


def size(count: float) -> str:
    """Bytes in words."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _overwriting(db: Database) -> None:
    db.execute("PRAGMA secure_delete = ON")


def _check_room(db: Database, path: Path) -> None:
    pages, unused, bytes_a_page = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    needed = 2 * (pages - unused) * bytes_a_page
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise LogError(
            f"compacting {path} needs {size(needed)} free on its disk for a while, and there are "
            f"{size(free)}; free some space and try again"
        )
