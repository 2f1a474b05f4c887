"""The queue of replies to review: flagged ones, mixed with a random sample of the others.

Without the sample nobody could say what the detectors miss. Every annotator gets the replies in
the same random order, so that two of them read the same ones and their agreement can be told.
"""

import random
from dataclasses import dataclass
from typing import Any

from app.records import Drawn
from app.store.queries import Reader
from retrieval.sqlite import Database

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
# A reply without a finding that the annotator chose is aside from the queue: it was not drawn.
_REVIEWED = """
SELECT
  count(*) FILTER (WHERE queued AND state = 'done'),
  count(*) FILTER (WHERE queued AND state = 'skipped'),
  count(*) FILTER (WHERE drawn = 'flagged'), count(*) FILTER (WHERE drawn = 'sample'),
  count(*) FILTER (WHERE NOT queued)
FROM (
  SELECT state, drawn, drawn <> 'chosen' OR EXISTS (
    SELECT 1 FROM findings f WHERE f.turn_id = r.turn_id) AS queued
  FROM reviews r WHERE annotator = ? AND state <> 'open')
"""
_COUNTS = "SELECT count(*) FILTER (WHERE findings), count(*) FROM replies WHERE complete"


@dataclass(frozen=True)
class Place:
    """The next reply of an annotator's queue, None at its end, and how far the queue is.

    `total` is what the queue holds: all flagged replies, and one of the others for every two of
    them, but at least one if there is any. `done` and `skipped` are of these.
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
            reviewed = db.execute(_REVIEWED, [annotator]).fetchone()
            done, skipped, flagged, sample, aside = reviewed
            with_findings, turns = db.execute(_COUNTS).fetchone()
            wanted = min(turns - with_findings - aside, max(1, -(-with_findings // RATIO)))
            total = with_findings + wanted
            key = {"annotator": annotator, "current": current}
            drawn = _drawn(flagged + sample)
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


def _drawn(number: int) -> Drawn:
    """What comes up as the number-th reply, from 0: once in each RATIO + 1 one of the sample.

    When within them is drawn, or a blind annotator could count; the same way for everybody.
    """
    block, place = divmod(number, RATIO + 1)
    return "sample" if random.Random(block).randrange(RATIO + 1) == place else "flagged"
