"""Cases: findings of detectors and standing annotations of people in one list, to filter and sort.

The table `cases` has one narrow row a case, kept by triggers (schema_0005.py), so that any filter
is at worst one pass over it; texts are read only for the cases of a page.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from app.failures.taxonomy import taxonomy, top_of
from app.records import Review
from app.store import presets
from app.store.filters import ALL, SEVERITIES, BadFilter, Filter, Source, Status, condition
from app.store.marks import review_of
from app.store.queries import Reader
from retrieval.sqlite import Database

__all__ = ["BadFilter", "Case", "Cases", "Counts", "Filter", "Sort"]

Sort = Literal["written", "kind", "severity", "status", "source", "model", "annotator"]

AROUND = 120  # characters of the reply on each side of a span
MESSAGE = 160  # characters of a message
TOGETHER = 400  # cases whose texts are read at once


@dataclass(frozen=True)
class Case:
    """A finding of a detector ("f12") or a standing annotation ("a01…") with what it is about.

    `start` and `end` are code points of the reply, `quote` the words there; `reply` is the part
    of the reply round them, which begins at code point `reply_at`. `severity` is 1 to 3; a
    finding's words for it are info, warn and alert. `note` is the explanation of a finding, or
    what the annotator noted. `rulings` is what people say of a finding, by annotator.
    """

    id: str
    source: Source
    kind: str
    title: str
    severity: int
    status: Status
    start: int
    end: int
    quote: str
    note: str
    turn: str
    conversation: str
    message: str
    reply: str
    reply_at: int
    model: str  # preset
    fingerprint: str
    annotator: str  # "" for a finding
    rulings: Mapping[str, str]
    written: str  # when the reply was begun
    created: str  # when the case was

    @property
    def level(self) -> str:
        """The severity in a word."""
        words = SEVERITIES if self.source == "machine" else ("slight", "clear", "grave")
        return words[self.severity - 1]


@dataclass(frozen=True)
class Counts:
    """How many cases a filter leaves, by source and by status."""

    total: int
    by_source: Mapping[str, int]
    by_status: Mapping[str, int]


@dataclass(frozen=True)
class Way:
    """Settings that replies were asked for with."""

    retrieve: bool
    k: int
    temperature: float
    presets: tuple[str, ...] = ()  # saved ones that have these settings now

    @property
    def code(self) -> str:
        """As the field `preset` of a filter has it."""
        retrieval = f"on k{self.k}" if self.retrieve else "off"
        return retrieval if self.temperature < 0 else f"{retrieval} t{_plain(self.temperature)}"

    def words(self) -> str:
        passages = f"on, {self.k} passage{'' if self.k == 1 else 's'}" if self.retrieve else "off"
        named = f" ({', '.join(self.presets)})" if self.presets else ""
        return f"retrieval {passages}; temperature {_plain(self.temperature)}{named}"


@dataclass(frozen=True)
class Choices:
    """What cases can be filtered by: models by fingerprint, settings, and people."""

    models: Mapping[str, str]
    ways: tuple[Way, ...]
    annotators: tuple[str, ...]


_FINDING_ID = re.compile(r"f[0-9]{1,18}")
_ORDERS = {
    "written": "c.n",
    "kind": "+c.kind",  # an index by kind would be read out of order
    "severity": "c.severity",
    "status": "c.status",
    "source": "c.source",
    "annotator": "c.annotator",
    "model": """(
        SELECT m.preset FROM ways w JOIN models m ON m.id = w.model_id WHERE w.id = c.way_id)""",
}
_FINDINGS = """
SELECT 'f' || f.id AS id, 'machine' AS source, f.kind, f.severity, f.status, f."start", f."end",
  f.quote, f.explanation AS note, f.created, '' AS annotator, {texts}
FROM findings f JOIN turns t ON t.id = f.turn_id JOIN models m ON m.id = t.model_id
WHERE f.id IN ({marks})
"""
_ANNOTATIONS = """
SELECT 'a' || f.id AS id, 'person' AS source, f.label AS kind, f.severity, 'marked' AS status,
  f."start", f."end", f.quote, f.note, f.created, f.annotator, {texts}
FROM annotations f JOIN turns t ON t.id = f.turn_id JOIN models m ON m.id = t.model_id
WHERE f.withdrawn IS NULL AND f.id IN ({marks})
"""
_TEXTS = f"""t.id AS turn, t.conversation_id AS conversation, t.created AS written,
  substr(t.message, 1, {MESSAGE}) AS message, m.preset AS model, m.id AS fingerprint,
  max(f."start" - {AROUND}, 0) AS reply_at,
  substr(t.reply, max(f."start" - {AROUND}, 0) + 1,
    min(f."end" - f."start", {2 * AROUND}) + {2 * AROUND}) AS reply"""


class Cases:
    """Reads cases. Every method raises LogError where the log cannot be read."""

    def __init__(self, log: Reader) -> None:
        self._log = log

    def cases(
        self,
        filter: Filter = ALL,
        *,
        sort: Sort = "written",
        descending: bool = True,
        offset: int = 0,
        limit: int = 50,
    ) -> list[Case]:
        """A stretch of the cases in an order that has a place of its own for each of them."""
        with self._log.reading("looking for cases") as db:
            sql, values = _sought(filter, sort, descending)
            values |= {"limit": limit, "offset": max(offset, 0)}
            found = db.execute(f"{sql} LIMIT :limit OFFSET :offset", values)
            return _load(db, [id for (id,) in found])

    def case(self, id: str) -> Case | None:
        """The case of an id; None where it is gone or withdrawn."""
        return next(iter(self.of([id])), None)

    def of(self, ids: Sequence[str]) -> list[Case]:
        """The cases of these ids that are there, in this order."""
        with self._log.reading("reading cases") as db:
            return _load(db, ids)

    def of_turn(self, turn_id: str) -> list[Case]:
        """All cases of a reply, in its order."""
        with self._log.reading(f"reading the cases of turn {turn_id}") as db:
            sql = """
                SELECT id FROM cases WHERE n = (SELECT n FROM turns WHERE id = ?) ORDER BY place, id
            """
            return _load(db, [id for (id,) in db.execute(sql, [turn_id])])

    def reviews(self, turn_id: str) -> list[Review]:
        """Who has read a reply, by name."""
        with self._log.reading(f"reading the reviews of turn {turn_id}") as db:
            sql = "SELECT * FROM reviews WHERE turn_id = ? ORDER BY annotator"
            return [review_of(row) for row in db.query(sql, [turn_id])]

    def choices(self) -> Choices:
        """What the filters can be set to, as far as the log has it."""
        with self._log.reading("listing what cases can be filtered by") as db:
            models = db.execute("SELECT id, preset FROM models ORDER BY preset, id").fetchall()
            people = """
                SELECT annotator FROM annotations UNION SELECT annotator FROM rulings ORDER BY 1
            """
            annotators = tuple(name for (name,) in db.execute(people))
            saved: dict[tuple[bool, int, float], list[str]] = {}
            for preset in presets.load(db):
                settings = preset.settings
                key = settings.retrieve, settings.k, settings.sampling.temperature
                saved.setdefault(key, []).append(preset.name)
            sql = """
                SELECT DISTINCT retrieve, CASE retrieve WHEN 0 THEN 0 ELSE k END, temperature
                FROM ways ORDER BY 1 DESC, 2, 3
            """
            ways = tuple(
                Way(bool(on), k, t, tuple(saved.get((bool(on), k, t), ())))
                for on, k, t in db.execute(sql)
            )
            return Choices(dict(models), ways, annotators)

    def count(self, filter: Filter = ALL) -> int:
        with self._log.reading("counting cases") as db:
            where, values = condition(filter)
            sql = f"SELECT count(*) FROM cases c WHERE {where}"
            return db.execute(sql, values).fetchone()[0]

    def counts(self, filter: Filter = ALL) -> Counts:
        with self._log.reading("counting cases") as db:
            where, values = condition(filter)
            names = get_args(Status)
            sums = ", ".join(f"total(c.status = '{name}')" for name in names)
            sql = f"SELECT count(*), {sums} FROM cases c WHERE {where}"
            total, *each = db.execute(sql, values).fetchone()
            by_status = dict(zip(names, map(int, each), strict=True))
            marked = by_status["marked"]
            return Counts(total, {"machine": total - marked, "person": marked}, by_status)

    def every(
        self, filter: Filter = ALL, *, sort: Sort = "written", descending: bool = True
    ) -> Iterator[Case]:
        """All cases, as many as there were at the first; what is deleted meanwhile is left out."""
        with self._log.reading("looking for cases") as db:
            ids = [id for (id,) in db.execute(*_sought(filter, sort, descending))]
        for at in range(0, len(ids), TOGETHER):
            yield from self.of(ids[at : at + TOGETHER])


def title_of(code: str) -> str:
    """The title of a kind; of the one above it where the list lacks it."""
    return taxonomy().title(code if code in taxonomy().labels else top_of(code))


def _sought(filter: Filter, sort: Sort, descending: bool) -> tuple[str, dict[str, Any]]:
    """SQL for the ids of the cases in their order, with its parameters."""
    where, values = condition(filter)
    way = "DESC" if descending else "ASC"
    order = ", ".join(f"{key} {way}" for key in (_ORDERS[sort], "c.n", "c.place", "c.id"))
    return f"SELECT c.id FROM cases c WHERE {where} ORDER BY {order}", values


def _load(db: Database, ids: Sequence[str]) -> list[Case]:
    """The cases of these ids that are there, in this order."""
    findings = [int(id[1:]) for id in ids if _FINDING_ID.fullmatch(id)]
    annotations = [id[1:] for id in ids if id[:1] == "a"]
    rows: dict[str, dict[str, Any]] = {}
    for sql, keys in ((_FINDINGS, findings), (_ANNOTATIONS, annotations)):
        if keys:
            marks = ", ".join("?" * len(keys))
            for row in db.query(sql.format(texts=_TEXTS, marks=marks), keys):
                rows[row["id"]] = row
    rulings: dict[str, dict[str, str]] = {}
    if findings:
        marks = ", ".join("?" * len(findings))
        sql = f"SELECT finding_id, annotator, ruling FROM rulings WHERE finding_id IN ({marks})"
        for finding, annotator, ruling in db.execute(sql, findings):
            rulings.setdefault(f"f{finding}", {})[annotator] = ruling
    return [_case(rows[id], rulings.get(id, {})) for id in ids if id in rows]


def _plain(number: float) -> str:
    return f"{number:.9f}".rstrip("0").rstrip(".")


def _case(row: dict[str, Any], rulings: Mapping[str, str]) -> Case:
    if row["source"] == "machine":
        row["severity"] = {"info": 1, "warn": 2}.get(row["severity"], 3)
    return Case(**row, title=title_of(row["kind"]), rulings=rulings)
