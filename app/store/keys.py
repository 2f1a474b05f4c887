"""Keys of cases: where the sentence that a case lies in is for a passage encoder.

They can be made anew at any time, so those of another encoder are dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.store.log import Log
from retrieval.sqlite import Database

BOUND = 20_000  # the newest cases have keys: 15 MB with keys of 384 numbers

_NEWEST = f"""
SELECT id FROM cases ORDER BY n DESC, place DESC, id DESC LIMIT {BOUND}
"""
_PLACE = """
SELECT c.id, t.reply, coalesce(f."start", a."start"), coalesce(f."end", a."end")
FROM cases c JOIN turns t ON t.n = c.n
LEFT JOIN findings f ON c.source = 'machine' AND f.id = CAST(substr(c.id, 2) AS INTEGER)
LEFT JOIN annotations a ON c.source = 'person' AND a.id = substr(c.id, 2)
WHERE c.id = ?
"""


@dataclass(frozen=True)
class Place:
    """A case without a key, and code points [start, end) of the reply."""

    case: str
    reply: str
    start: int
    end: int


class Keys:
    """The keys of one encoder, known by its fingerprint. Every method raises LogError."""

    def __init__(self, log: Log, embedder: str) -> None:
        self._log, self._embedder = log, embedder

    def counts(self) -> tuple[int, int]:
        """How many cases have a key, and how many there are."""
        with self._log.reading("counting the keys of cases") as db:
            return db.execute(
                "SELECT (SELECT count(*) FROM case_keys WHERE embedder = ?), "
                "(SELECT count(*) FROM cases)",
                [self._embedder],
            ).fetchone()

    def all(self) -> tuple[list[str], np.ndarray]:
        """Ids of the cases with a key, and the keys: float32 [cases width], of length 1."""
        with self._log.reading("reading the keys of cases") as db:
            sql = "SELECT case_id, key FROM case_keys WHERE embedder = ?"
            rows = db.execute(sql, [self._embedder]).fetchall()
        if not rows:
            return [], np.zeros((0, 0), np.float32)
        keys = np.frombuffer(b"".join(key for _, key in rows), "<f2").reshape(len(rows), -1)
        return [id for id, _ in rows], keys.astype(np.float32)

    def missing(self, first: Sequence[str], most: int) -> list[Place]:
        """Cases that lack a key: those of `first`, then the newest within the bound."""
        with self._log.reading("looking for cases without a key") as db:
            lacking = f"""
                SELECT id FROM ({_NEWEST}) WHERE id NOT IN (
                  SELECT case_id FROM case_keys WHERE embedder = ?) LIMIT ?
            """
            newest = [id for (id,) in db.execute(lacking, [self._embedder, most])]
            wanted = [id for id in first if not self._has(db, id)]
            ids = list(dict.fromkeys([*wanted, *newest]))[:most]
            rows = (db.execute(_PLACE, [id]).fetchone() for id in ids)
            return [Place(*row) for row in rows if row and row[2] is not None]

    def put(self, ids: Sequence[str], keys: np.ndarray) -> None:
        """Keeps keys [cases width]; a case that is gone by now gets none."""
        lengths = np.maximum(np.linalg.norm(keys, axis=1, keepdims=True), 1e-9)
        with self._log.writing("keeping the keys of cases") as db:
            db.execute("DELETE FROM case_keys WHERE embedder <> ?", [self._embedder])
            for id, key in zip(ids, (keys / lengths).astype("<f2"), strict=True):
                db.execute(
                    "INSERT INTO case_keys (case_id, embedder, key) "
                    "SELECT id, ?, ? FROM cases WHERE id = ? ON CONFLICT DO NOTHING",
                    [self._embedder, key.tobytes(), id],
                )

    def _has(self, db: Database, id: str) -> bool:
        sql = "SELECT 1 FROM case_keys WHERE (case_id, embedder) = (?, ?)"
        return db.execute(sql, [id, self._embedder]).fetchone() is not None
