"""The numbers of the dashboard, counted in the narrow tables of schema_0005.

Each is limited by the days and the model of a filter; its other fields do not count.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.records import Drawn
from app.store.filters import ALL, Filter, Source, Status, batches
from app.store.queries import Reader
from retrieval.sqlite import Database


@dataclass(frozen=True)
class Day:
    """A day (UTC) with its complete replies and the cases in them."""

    day: str
    replies: int
    info: int = 0
    warn: int = 0
    alert: int = 0
    marked: int = 0  # by people


@dataclass(frozen=True)
class Kinds:
    """Cases by kind and by preset of the model, and the complete replies of these.

    `cases` has (kind, source, status, preset) -> cases.
    """

    replies: Mapping[str, int]
    cases: Mapping[tuple[str, Source, Status, str], int]


@dataclass(frozen=True)
class Reading:
    """A reply that somebody read to the end, and the labels that this person marked there."""

    turn: str
    annotator: str
    drawn: Drawn
    labels: frozenset[str]


@dataclass(frozen=True)
class Gains:
    """What all passages changed in each measured reply, nats, in rising order."""

    flagged: tuple[float, ...]  # with a finding
    clean: tuple[float, ...]
    unmeasured: int


@dataclass(frozen=True)
class Shown:
    """How often a document was shown: once for every chunk and passage of it there.

    `behind` are the times that a finding lies in that chunk.
    """

    title: str
    source: str
    shown: int
    behind: int


@dataclass(frozen=True)
class Documents:
    """Those most often behind findings, and the sums over all."""

    most: tuple[Shown, ...]
    shown: int
    behind: int


@dataclass(frozen=True)
class Runs:
    """On how many replies a detector looked, did not apply and failed."""

    detector: str
    looked: int
    skipped: int
    failed: int


class Figures:
    """Reads the numbers. Every method raises LogError where the log cannot be read."""

    def __init__(self, log: Reader) -> None:
        self._log = log

    def days(self, filter: Filter = ALL) -> list[Day]:
        """The days on which replies were written, in order."""
        with self._log.reading("counting cases by day") as db:
            limit, values = _within(filter)
            counts: dict[str, Counter[str]] = {}
            for day, _, replies in _replies(db, filter):
                counts.setdefault(day, Counter())["replies"] += replies
            sql = f"""
                SELECT b.day, c.source, c.severity, sum(c.cases) FROM (
                  SELECT batch_id, source, severity, count(*) AS cases FROM cases
                  WHERE {limit} GROUP BY 1, 2, 3) c
                JOIN batches b ON b.id = c.batch_id GROUP BY 1, 2, 3
            """
            for day, source, severity, cases in db.execute(sql, values):
                name = ("info", "warn", "alert")[severity - 1] if source == "machine" else "marked"
                counts.setdefault(day, Counter())[name] += cases
            return [Day(day, **{"replies": 0, **counts[day]}) for day in sorted(counts)]

    def kinds(self, filter: Filter = ALL) -> Kinds:
        with self._log.reading("counting cases by kind") as db:
            limit, values = _within(filter, "+batch_id")  # in the order of cases_kind
            replies: Counter[str] = Counter()
            for _, model, count in _replies(db, filter):
                replies[model] += count
            named = "SELECT w.id, m.preset FROM ways w JOIN models m ON m.id = w.model_id"
            models = dict(db.execute(named).fetchall())
            cases: Counter[tuple[str, Source, Status, str]] = Counter()
            sql = f"""
                SELECT kind, source, status, way_id, count(*) FROM cases
                WHERE {limit} GROUP BY 1, 2, 3, 4
            """
            for kind, source, status, way, count in db.execute(sql, values):
                cases[kind, source, status, models[way]] += count
            return Kinds(replies, cases)

    def readings(self, filter: Filter = ALL) -> list[Reading]:
        """All reviews that are done."""
        with self._log.reading("reading the reviews") as db:
            limit, values = _within(filter, "p.batch_id")
            limited = "CROSS JOIN turns t ON t.id = r.turn_id CROSS JOIN replies p ON p.n = t.n"
            marked: dict[tuple[str, str], list[str]] = {}
            sql = "SELECT turn_id, annotator, label FROM annotations WHERE withdrawn IS NULL"
            for turn, annotator, label in db.execute(sql):
                marked.setdefault((turn, annotator), []).append(label)
            sql = f"""
                SELECT r.turn_id, r.annotator, r.drawn FROM reviews r {limited if values else ""}
                WHERE r.state = 'done' AND {limit}
            """
            return [
                Reading(turn, annotator, drawn, frozenset(marked.get((turn, annotator), ())))
                for turn, annotator, drawn in db.execute(sql, values)
            ]

    def gains(self, filter: Filter = ALL) -> Gains:
        with self._log.reading("reading what passages changed") as db:
            limit, values = _within(filter, "+batch_id")  # in the order of replies_gain
            sql = f"""
                SELECT findings > 0, gain FROM replies
                WHERE gain IS NOT NULL AND complete AND {limit} ORDER BY gain
            """
            gains: tuple[list[float], list[float]] = ([], [])
            for flagged, gain in db.execute(sql, values):
                gains[flagged].append(gain)
            replies = sum(count for *_, count in _replies(db, filter))
            clean, flagged = map(tuple, gains)
            return Gains(flagged, clean, replies - len(flagged) - len(clean))

    def documents(self, filter: Filter = ALL, most: int = 12) -> Documents:
        with self._log.reading("counting the passages behind findings") as db:
            limit, values = _within(filter)
            sql = f"""
                SELECT document_id, count(*), sum(behind) FROM showings
                WHERE {limit} GROUP BY document_id
            """
            counted = db.execute(sql, values).fetchall()
            first = sorted(counted, key=lambda row: (-row[2], row[1], row[0]))[:most]
            found = []
            for id, shown, behind in first:
                if behind:
                    sql = "SELECT title, source FROM shown_documents WHERE id = ?"
                    title, source = db.execute(sql, [id]).fetchone()
                    found.append(Shown(title, source, shown, behind))
            shown, behind = (sum(row[i] for row in counted) for i in (1, 2))
            return Documents(tuple(found), shown, behind)

    def runs(self, filter: Filter = ALL) -> list[Runs]:
        """By detector, in the order of their names."""
        with self._log.reading("counting the runs of detectors") as db:
            limit, values = _within(filter)
            sql = f"""
                SELECT detector, sum(runs) FILTER (WHERE status IN ('ok', 'found')),
                  sum(runs) FILTER (WHERE status = 'skipped'),
                  sum(runs) FILTER (WHERE status = 'error')
                FROM run_counts WHERE {limit} GROUP BY detector HAVING sum(runs)
            """
            return [
                Runs(name, *(n or 0 for n in counts)) for name, *counts in db.execute(sql, values)
            ]

    def opinions(self, filter: Filter = ALL) -> Mapping[str, Mapping[int, bool]]:
        """By annotator and finding, whether it was accepted."""
        with self._log.reading("reading the rulings") as db:
            limit, values = _within(filter)
            limited = "JOIN cases c ON c.id = 'f' || r.finding_id" * bool(values)
            sql = f"""
                SELECT r.annotator, r.finding_id, r.ruling = 'accepted'
                FROM rulings r {limited} WHERE {limit}
            """
            found: dict[str, dict[int, bool]] = {}
            for annotator, finding, accepted in db.execute(sql, values):
                found.setdefault(annotator, {})[finding] = bool(accepted)
            return found


def _within(filter: Filter, column: str = "batch_id") -> tuple[str, dict[str, Any]]:
    limit = batches(filter)
    if limit is None:
        return "1", {}
    return f"{column} IN (SELECT b.id FROM batches b WHERE {limit[0]})", limit[1]


def _replies(db: Database, filter: Filter) -> list[tuple[str, str, int]]:
    """Complete replies by day and preset of the model."""
    limit, values = _within(filter)
    sql = f"""
        SELECT b.day, m.preset, sum(r.replies) FROM (
          SELECT batch_id, count(*) AS replies FROM replies WHERE complete AND {limit} GROUP BY 1) r
        JOIN batches b ON b.id = r.batch_id JOIN models m ON m.id = b.model_id
        GROUP BY 1, 2
    """
    return db.execute(sql, values).fetchall()
