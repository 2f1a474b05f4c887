"""What people say of replies: failures they marked, rulings on findings, readings of whole replies.

Each method that writes is one transaction and durable when it returns.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from app.failures.taxonomy import taxonomy
from app.records import Annotation, Drawn, Logged, Progress, Review, Ruling
from app.store.connection import LogError
from app.store.ids import new_id, now
from app.store.log import Log
from app.store.queries import Reader
from app.store.rows import legible, storable
from app.store.values import finding_of
from retrieval.sqlite import Database

NAME = 60  # characters of an annotator's name
NOTE = 4000  # characters

_RULINGS = """
SELECT r.finding_id, r.annotator, r.ruling FROM rulings r JOIN findings f ON f.id = r.finding_id
WHERE f.turn_id = ? ORDER BY r.annotator
"""
_BEGIN = """
INSERT INTO reviews (turn_id, annotator, drawn, blind, state, started)
VALUES (:turn, :annotator, :drawn, :blind, 'open', :started)
ON CONFLICT (turn_id, annotator) DO UPDATE SET state = 'open', ended = NULL,
blind = min(blind, excluded.blind)
"""  # who has seen the findings once is not blind to them later

_SUPERSEDE_NONE = """
WITH RECURSIVE later (id) AS (
  SELECT id FROM annotations WHERE supersedes = ?
  UNION SELECT a.id FROM annotations a JOIN later ON a.supersedes = later.id
)
UPDATE annotations SET withdrawn = ? WHERE withdrawn IS NULL AND id IN (SELECT id FROM later)
"""


class Marked:
    """Reads what people said. Every method raises LogError."""

    def __init__(self, log: Reader) -> None:
        self._log = log

    def annotations(self, turn_id: str) -> tuple[Annotation, ...]:
        """Those that stand, of all annotators, in the order of the reply."""
        with self._log.reading(f"reading the annotations of turn {turn_id}") as db:
            sql = """
                SELECT * FROM annotations WHERE turn_id = ? AND withdrawn IS NULL
                ORDER BY "start", "end", id
            """
            return tuple(annotation_of(row) for row in db.query(sql, [turn_id]))

    def findings(self, turn_id: str) -> tuple[Logged, ...]:
        """The findings on a turn with their ids and rulings, in the order of the reply."""
        with self._log.reading(f"reading the findings of turn {turn_id}") as db:
            rulings: dict[int, dict[str, Ruling]] = {}
            for finding, annotator, ruling in db.execute(_RULINGS, [turn_id]):
                rulings.setdefault(finding, {})[annotator] = ruling
            sql = 'SELECT * FROM findings WHERE turn_id = ? ORDER BY "start", "end", id'
            return tuple(
                Logged(row["id"], finding_of(row), rulings.get(row["id"], {}))
                for row in db.query(sql, [turn_id])
            )

    def review(self, turn_id: str, annotator: str) -> Review | None:
        """The annotator's reading of a reply, if one was begun."""
        with self._log.reading(f"reading the review of turn {turn_id}") as db:
            sql = "SELECT * FROM reviews WHERE (turn_id, annotator) = (?, ?)"
            row = next(db.query(sql, [turn_id, annotator]), None)
            return None if row is None else review_of(row)

    def annotators(self) -> tuple[str, ...]:
        """Names of all who marked, ruled or reviewed something."""
        with self._log.reading("reading the annotators") as db:
            sql = """
                SELECT annotator FROM annotations UNION SELECT annotator FROM rulings
                UNION SELECT annotator FROM reviews ORDER BY 1
            """
            return tuple(name for (name,) in db.execute(sql))


class Marks(Marked):
    """Writes what people say as well."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self._log: Log = log

    def annotate(
        self,
        turn_id: str,
        annotator: str,
        label: str,
        span: tuple[int, int],
        *,
        severity: int = 2,
        note: str = "",
        blind: bool = False,
    ) -> Annotation:
        """Marks code points [start, end) of a finished reply; spans may overlap.

        Raises LogError for an unknown label, a span that is not in the reply, a severity that is
        not 1, 2 or 3, and a reply that is still being written.
        """
        with self._log.writing(f"marking a failure in turn {turn_id}") as db:
            made = Annotation(
                new_id(), turn_id, named(annotator), label, *span, _quote(db, turn_id, span),
                severity, note, blind, taxonomy().version, now(),
            )  # fmt: skip
            _put(db, made)
            return made

    def revise(
        self,
        annotation_id: str,
        annotator: str,
        *,
        label: str | None = None,
        span: tuple[int, int] | None = None,
        severity: int | None = None,
        note: str | None = None,
    ) -> Annotation:
        """Puts a changed annotation in the place of one's own; the old one stays, withdrawn."""
        with self._log.writing(f"changing annotation {annotation_id}") as db:
            old = _own(db, annotation_id, annotator)
            _check_standing(old)
            start, end = span or (old.start, old.end)
            made = replace(
                old,
                id=new_id(),
                label=old.label if label is None else label,
                start=start,
                end=end,
                quote=_quote(db, old.turn, (start, end)) if span else old.quote,
                severity=old.severity if severity is None else severity,
                note=old.note if note is None else note,
                version=taxonomy().version,
                created=now(),
                supersedes=old.id,
            )
            _withdraw(db, old.id, now())
            _put(db, made)
            return made

    def withdraw(self, annotation_id: str, annotator: str) -> None:
        """Takes one's own annotation back; `restore` undoes that."""
        with self._log.writing(f"withdrawing annotation {annotation_id}") as db:
            _check_standing(_own(db, annotation_id, annotator))
            _withdraw(db, annotation_id, now())

    def restore(self, annotation_id: str, annotator: str) -> None:
        """Lets a withdrawn annotation stand again, in the place of all that superseded it."""
        with self._log.writing(f"restoring annotation {annotation_id}") as db:
            _own(db, annotation_id, annotator)
            db.execute(_SUPERSEDE_NONE, [annotation_id, now()])
            _withdraw(db, annotation_id, None)

    def rule(self, finding_id: int, annotator: str, ruling: Ruling | None) -> None:
        """Replaces what the annotator says of a finding; None takes it back."""
        if ruling is not None and ruling not in get_args(Ruling):
            raise LogError(f"a ruling is {ruling!r}; give accepted or rejected")
        with self._log.writing(f"ruling on finding {finding_id}") as db:
            if db.execute("SELECT 1 FROM findings WHERE id = ?", [finding_id]).fetchone() is None:
                raise LogError(f"there is no finding {finding_id}; its reply may have been deleted")
            key = storable({"finding_id": finding_id, "annotator": named(annotator)})
            if ruling is None:
                sql = (
                    "DELETE FROM rulings WHERE (finding_id, annotator) = (:finding_id, :annotator)"
                )
                db.execute(sql, key)
                return
            row = {**key, "ruling": ruling, "created": now()}
            db.execute(
                "INSERT INTO rulings (finding_id, annotator, ruling, created) "
                "VALUES (:finding_id, :annotator, :ruling, :created) "
                "ON CONFLICT (finding_id, annotator) DO UPDATE SET "
                "ruling = excluded.ruling, created = excluded.created",
                row,
            )

    def begin(self, turn_id: str, annotator: str, drawn: Drawn, *, blind: bool) -> None:
        """Opens a review, or opens one again; how the reply was first drawn stays on record."""
        if drawn not in get_args(Drawn):
            raise LogError(f"a reply was drawn {drawn!r}; give flagged, sample or chosen")
        with self._log.writing(f"beginning a review of turn {turn_id}") as db:
            _quote(db, turn_id, (0, 0))
            row = {"turn": turn_id, "annotator": named(annotator), "drawn": drawn}
            db.execute(_BEGIN, storable({**row, "blind": int(blind), "started": now()}))

    def close(self, turn_id: str, annotator: str, state: Progress) -> None:
        """Ends a review as done or skipped, or opens it again."""
        if state not in get_args(Progress):
            raise LogError(f"a review is {state!r}; give open, done or skipped")
        with self._log.writing(f"ending the review of turn {turn_id}") as db:
            changed = db.execute(
                "UPDATE reviews SET state = ?, ended = ? WHERE (turn_id, annotator) = (?, ?)",
                [state, None if state == "open" else now(), turn_id, named(annotator)],
            ).rowcount
            if not changed:
                raise LogError(f"no review of turn {turn_id} by {annotator} has been begun")


def named(annotator: str) -> str:
    """The annotator's name as it is kept: one line of 1 to 60 characters, else LogError."""
    name = legible(annotator)
    if not name or len(name) > NAME:
        raise LogError(
            f"an annotator's name has {len(name)} characters; give one of 1 to {NAME}, so that it "
            "can be told who said what"
        )
    return name


def annotation_of(row: Mapping[str, Any]) -> Annotation:
    same = ("id", "annotator", "label", "start", "end", "quote", "severity", "note", "version")
    more = ("created", "supersedes", "withdrawn")
    fields = {name: row[name] for name in (*same, *more)}
    return Annotation(turn=row["turn_id"], blind=bool(row["blind"]), **fields)


def review_of(row: Mapping[str, Any]) -> Review:
    return Review(
        row["turn_id"], row["annotator"], row["drawn"], bool(row["blind"]), row["state"],
        row["started"], row["ended"],
    )  # fmt: skip


def _quote(db: Database, turn_id: str, span: tuple[int, int]) -> str:
    """The words of a finished reply at a span; raises LogError."""
    row = db.execute("SELECT reply, finish FROM turns WHERE id = ?", [turn_id]).fetchone()
    if row is None:
        raise LogError(f"there is no turn {turn_id} in the log; it may have been deleted")
    reply, finish = row
    if finish == "running":
        raise LogError(f"turn {turn_id} is still being written; mark it when it is complete")
    start, end = span
    if not 0 <= start <= end <= len(reply):
        raise LogError(
            f"characters {start} to {end} are not in the reply of turn {turn_id}, which has "
            f"{len(reply)}; mark them anew"
        )
    return reply[start:end]


def _put(db: Database, made: Annotation) -> None:
    if made.label not in taxonomy().labels:
        raise LogError(f"there is no label {made.label!r}; choose one of the list")
    if made.severity not in (1, 2, 3):
        raise LogError(f"a severity is {made.severity!r}; give 1 (slight), 2 or 3 (grave)")
    if len(made.note) > NOTE:
        raise LogError(f"the note has {len(made.note):,} characters; the limit is {NOTE:,}")
    row = {name: value for name, value in vars(made).items() if name != "turn"}
    row |= {"turn_id": made.turn, "blind": int(made.blind)}
    db.table("annotations").insert(storable(row))


def _own(db: Database, annotation_id: str, annotator: str) -> Annotation:
    row = next(db.query("SELECT * FROM annotations WHERE id = ?", [annotation_id]), None)
    if row is None:
        raise LogError(f"there is no annotation {annotation_id}; its reply may have been deleted")
    if row["annotator"] != named(annotator):
        raise LogError(
            f"annotation {annotation_id} is {row['annotator']}'s and stays as it is; mark the "
            "words yourself instead"
        )
    return annotation_of(row)


def _check_standing(annotation: Annotation) -> None:
    if annotation.withdrawn:
        raise LogError(f"annotation {annotation.id} has been withdrawn; restore it first")


def _withdraw(db: Database, annotation_id: str, when: str | None) -> None:
    db.execute("UPDATE annotations SET withdrawn = ? WHERE id = ?", [when, annotation_id])
