"""The queue of replies to review: flagged ones, mixed with a random sample of the others.

Without the sample nobody could say what the detectors miss. Every annotator gets the replies in
the same random order, so that two of them read the same ones and their agreement can be told.
"""

from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from app.records import Drawn
from app.store.queries import Reader

RATIO = 2  # flagged replies for each one of the sample

_FLAGGED = "EXISTS (SELECT 1 FROM findings f WHERE f.turn_id = t.id)"
# substr(id, 11) is the random part of an id.
_NEXT = """
SELECT t.id FROM turns t
WHERE {flagged} AND t.finish <> 'running' AND t.id <> :current AND NOT EXISTS (
  SELECT 1 FROM reviews r WHERE r.turn_id = t.id AND r.annotator = :annotator
  AND r.state <> 'open')
ORDER BY substr(t.id, 11) LIMIT 1
"""
_REVIEWED = """
SELECT
  count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state = 'skipped'),
  count(*) FILTER (WHERE state <> 'open' AND drawn = 'flagged'),
  count(*) FILTER (WHERE state <> 'open' AND drawn = 'sample')
FROM reviews WHERE annotator = ?
"""
_COUNTS = """
SELECT (SELECT count(DISTINCT turn_id) FROM findings),
  (SELECT count(*) FROM turns WHERE finish <> 'running')
"""


@dataclass(frozen=True)
class Place:
    """The next reply of an annotator's queue, None at its end, and how far the queue is.

    `total` is what the queue holds: all flagged replies, and one of the others for every two of
    them, but at least one if there is any.
    """

    turn: str | None
    drawn: Drawn
    done: int
    skipped: int
    total: int


class Queue:
    """What an annotator is to read next. Raises LogError."""

    def __init__(self, log: Reader) -> None:
        self._log = log

    def next(self, annotator: str, current: str = "") -> Place:
        """The annotator's next reply, other than the `current` one."""
        with self._log.reading("looking for the next reply to review") as db:
            done, skipped, flagged, sample = db.execute(_REVIEWED, [annotator]).fetchone()
            with_findings, turns = db.execute(_COUNTS).fetchone()
            wanted = min(turns - with_findings, max(1, -(-with_findings // RATIO)))
            total = with_findings + wanted
            key = {"annotator": annotator, "current": current}
            drawn: Drawn = "sample" if flagged >= RATIO * (sample + 1) else "flagged"
            turn = self._first(db, drawn, key) if drawn == "flagged" or sample < wanted else None
            if turn is None:
                drawn = "flagged" if drawn == "sample" else "sample"
                if drawn == "flagged" or sample < wanted:
                    turn = self._first(db, drawn, key)
            return Place(turn, drawn, done, skipped, total)

    def _first(self, db: Database, drawn: Drawn, key: dict[str, Any]) -> str | None:
        flagged = _FLAGGED if drawn == "flagged" else f"NOT {_FLAGGED}"
        row = db.execute(_NEXT.format(flagged=flagged), key).fetchone()
        return row and row[0]
