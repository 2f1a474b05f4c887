"""What can be asked of the log."""

import re
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.records import Comparison, DetectorRun, Finding, Judgement, Preset, Turn
from app.store import comparisons, effects, judgements, migrations, presets, rows, values
from app.store.connection import LogError, connect, explained
from engine.attribution import Attribution
from retrieval.sqlite import Database

_WORD = re.compile(r"\w+")
_LIKE_SIGNS = re.compile(r"[%_\\]")

# Along one branch the places fall towards the first turn, which also ends these walks for certain.
_ANCESTORS = """
WITH RECURSIVE branch (id, parent_id, n) AS (
  SELECT id, parent_id, n FROM turns WHERE id = :id
  UNION ALL
  SELECT t.id, t.parent_id, t.n FROM branch b JOIN turns t ON t.id = b.parent_id AND t.n < b.n
)
SELECT id FROM branch ORDER BY n
"""
_NEWEST_DESCENDANT = """
WITH RECURSIVE below (id, n) AS (
  SELECT id, n FROM turns WHERE id = :id
  UNION ALL
  SELECT t.id, t.n FROM below b JOIN turns t ON t.parent_id = b.id AND t.n > b.n
)
SELECT id FROM below ORDER BY n DESC LIMIT 1
"""
_CONVERSATIONS = """
SELECT c.id, c.title, c.created, c.updated, count(t.id) AS turns
FROM conversations c LEFT JOIN turns t ON t.conversation_id = c.id
WHERE {where}
GROUP BY c.id ORDER BY c.updated DESC, c.id DESC
"""
_MATCHES = """(
  c.title LIKE :title ESCAPE '\\' OR (:words <> '' AND c.id IN (
    SELECT conversation_id FROM turns WHERE n IN (
      SELECT rowid FROM turns_fts WHERE turns_fts MATCH :words)))
)"""


@dataclass(frozen=True)
class Conversation:
    """A line in the list of conversations. `turns` counts all of them, retries included."""

    id: str
    title: str
    created: str
    updated: str
    turns: int


class Reader:
    """Reads a log. Any thread may ask: each has a connection and sees only whole transactions.

    Every method raises LogError where the log cannot be read or lacks what was asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._readers: weakref.WeakSet[Database] = weakref.WeakSet()  # ends with its thread
        self._readers_lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        with self._readers_lock:
            self._closed = True
            for db in self._readers:
                db.close()

    def conversations(self, search: str | None = None) -> tuple[Conversation, ...]:
        """Newest first; with `search`, those whose title contains it or with one turn that has
        all its words, the last of which may be unfinished."""
        where, parameters = "1", {}
        if search := rows.legible(search or ""):
            words = _WORD.findall(search)
            where = _MATCHES
            parameters = {
                "title": "%" + _LIKE_SIGNS.sub(r"\\\g<0>", search) + "%",
                "words": " ".join(f'"{word}"' for word in words) + ("*" if words else ""),
            }
        with self.reading("listing the conversations") as db:
            found = db.query(_CONVERSATIONS.format(where=where), parameters)
            return tuple(Conversation(**row) for row in found)

    def conversation(self, conversation_id: str) -> Conversation:
        with self.reading(f"reading conversation {conversation_id}") as db:
            sql = _CONVERSATIONS.format(where="c.id = :id")
            found = next(db.query(sql, {"id": conversation_id}), None)
            if found is None:
                raise LogError(
                    f"{self.path} has no conversation {conversation_id}; it may have been deleted"
                )
            return Conversation(**found)

    def tree(self, conversation_id: str) -> tuple[Turn, ...]:
        """All turns of a conversation, oldest first, so that a parent precedes its children."""
        with self.reading(f"reading conversation {conversation_id}") as db:
            ids = _ids(
                db, "SELECT id FROM turns WHERE conversation_id = :id ORDER BY n", conversation_id
            )
            return tuple(self._turn(db, turn_id) for turn_id in ids)

    def turns(self, conversation_id: str, through: str | None = None) -> list[Turn]:
        """One branch of a conversation, first turn first: the newest, or the newest that passes
        through the turn `through`."""
        with self.reading(f"reading conversation {conversation_id}") as db:
            if through is None:
                sql = "SELECT id FROM turns WHERE conversation_id = :id ORDER BY n DESC LIMIT 1"
                leaf = _ids(db, sql, conversation_id)
            else:
                leaf = _ids(db, _NEWEST_DESCENDANT, through)
            branch = _ids(db, _ANCESTORS, leaf[0]) if leaf else []
            return [self._turn(db, turn_id) for turn_id in branch]

    def siblings(self, turn_id: str) -> tuple[str, ...]:
        """Ids of the turns with the same parent, oldest first, this one included."""
        with self.reading(f"reading the siblings of turn {turn_id}") as db:
            sql = """
                SELECT s.id FROM turns t JOIN turns s
                ON s.conversation_id = t.conversation_id AND s.parent_id IS t.parent_id
                WHERE t.id = :id ORDER BY s.n
            """
            return tuple(_ids(db, sql, turn_id))

    def turn(self, turn_id: str) -> Turn:
        """The turn, equal to the one that was saved."""
        with self.reading(f"reading turn {turn_id}") as db:
            return self._turn(db, turn_id)

    def runs(self, turn_id: str) -> tuple[DetectorRun, ...]:
        """Every detector run on a turn with its findings, in the order they were saved."""
        with self.reading(f"reading the detector runs of turn {turn_id}") as db:
            sql = "SELECT * FROM findings WHERE turn_id = :id ORDER BY id"
            findings: dict[int, list[Finding]] = {}
            for row in db.query(sql, {"id": turn_id}):
                findings.setdefault(row["run_id"], []).append(values.finding_of(row))
            sql = "SELECT * FROM detector_runs WHERE turn_id = :id ORDER BY id"
            return tuple(
                values.run_of(row, findings.get(row["id"], ()))
                for row in db.query(sql, {"id": turn_id})
            )

    def findings(self, turn_id: str) -> tuple[Finding, ...]:
        """The findings on a turn, in the order of the reply."""
        with self.reading(f"reading the findings of turn {turn_id}") as db:
            sql = 'SELECT * FROM findings WHERE turn_id = :id ORDER BY "start", "end", id'
            return tuple(values.finding_of(row) for row in db.query(sql, {"id": turn_id}))

    def attribution(self, turn_id: str) -> Attribution | None:
        """What the passages changed in a reply, if that was measured."""
        with self.reading(f"reading the effects in turn {turn_id}") as db:
            return effects.load(db, turn_id)

    def comparisons(self, turn_id: str) -> tuple[Comparison, ...]:
        """Comparisons of a turn with others, as either side, oldest first."""
        with self.reading(f"reading the comparisons of turn {turn_id}") as db:
            return comparisons.of_turn(db, turn_id)

    def judgements(self, turn_id: str) -> tuple[Judgement, ...]:
        """What people think of the passages of a turn, in the order of the reply."""
        with self.reading(f"reading the judgements of turn {turn_id}") as db:
            return judgements.of_turn(db, turn_id)

    def presets(self) -> tuple[Preset, ...]:
        """All presets by name."""
        with self.reading("reading the presets") as db:
            return tuple(presets.load(db))

    def default_preset(self) -> Preset | None:
        with self.reading("reading the default preset") as db:
            return next(presets.load(db, "is_default"), None)

    def shown_counts(self) -> dict[tuple[str, str], int]:
        """How often each document was shown, by (source, title): once for every chunk of a reply
        and every passage of it there."""
        with self.reading("counting the passages that were shown") as db:
            sql = "SELECT source, title, count(*) FROM neighbours GROUP BY source, title"
            return {(source, title): times for source, title, times in db.execute(sql)}

    def _turn(self, db: Database, turn_id: str) -> Turn:
        key = {"id": turn_id}
        turn = next(db.query("SELECT * FROM turns WHERE id = :id", key), None)
        if turn is None:
            raise LogError(f"{self.path} has no turn {turn_id}; it may have been deleted")
        tokens = next(db.query("SELECT * FROM turn_tokens WHERE turn_id = :id", key))
        chunks = list(db.query("SELECT * FROM chunks WHERE turn_id = :id ORDER BY rowid", key))
        neighbours = db.query(
            "SELECT n.* FROM neighbours n JOIN chunks c ON c.id = n.chunk_id "
            "WHERE c.turn_id = :id ORDER BY n.chunk_id, n.rank",
            key,
        )
        return values.turn_of(turn, tokens, chunks, list(neighbours))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What this thread reads inside belongs together, whatever is written meanwhile."""
        with self.reading("reading the log"):
            yield

    @contextmanager
    def reading(self, doing: str) -> Iterator[Database]:
        """This thread's connection, inside a transaction: what is read belongs together."""
        with explained(doing, self.path):
            db = getattr(self._local, "db", None)
            if db is None:
                with self._readers_lock:
                    if self._closed:
                        raise LogError(f"{doing} failed: the log {self.path} has been closed")
                    db = self._local.db = connect(self.path, writes=False)
                    self._readers.add(db)
            with db.atomic():
                yield db


def open_reader(path: Path) -> Reader:
    """Reads a log that another process may be writing to; makes and changes nothing.

    Raises LogError where there is no log, or not one that this version of the program wrote.
    """
    if not path.is_file():
        raise LogError(
            f"there is no log at {path} yet; it begins with the first turn: start the "
            "application, or name the data directory that has it with --data DIRECTORY"
        )
    reader = Reader(path)
    try:
        with reader.reading("opening the log") as db:
            if missing := migrations.lacking(db, path):
                raise LogError(
                    f"{path} was written by an older version of this program (it lacks "
                    f"{', '.join(missing)}); start the application once, which brings it up to date"
                )
    except BaseException:
        reader.close()
        raise
    return reader


def _ids(db: Database, sql: str, key: str) -> list[str]:
    return [row["id"] for row in db.query(sql, {"id": key})]
