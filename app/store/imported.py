"""Annotations that were made elsewhere, put into the log."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from app.failures.masking import MASK, Masker
from app.failures.taxonomy import taxonomy
from app.records import Annotation
from app.store.connection import LogError
from app.store.ids import new_id, now
from app.store.log import Log
from app.store.marks import NOTE, annotation_of, named
from app.store.rows import storable
from retrieval.sqlite import Database

Outcome = Literal["added", "changed", "there"]
_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_SAID = ("turn", "annotator", "label", "start", "end", "severity", "blind")


class Refused(ValueError):
    """An annotation that the log cannot hold; says what was given and what was expected."""


@dataclass(frozen=True)
class Origin:
    """Where annotations come from: the name of a file, and its format."""

    source: str
    format: Literal["jsonl", "labelstudio"]


class Importing:
    """Puts annotations into a log. Each `put` must be inside `Log.writing`, see `app.exports`."""

    def __init__(self, log: Log, origin: Origin) -> None:
        self.log, self._origin = log, origin

    def put(self, db: Database, given: Annotation) -> Outcome:
        """Adds an annotation, unless the same annotator has said the same of these words before.

        One whose id is known and that says something else takes the place of that one, if it is
        the same annotator's and stands. An empty id gets a new one. Raises Refused.
        """
        made = self._checked(db, given)
        known = self._known(db, made.id)
        if known is not None and _same(known, made):
            return "there"
        sql = """SELECT 1 FROM annotations WHERE withdrawn IS NULL AND turn_id = :turn_id
            AND (annotator, label, "start", "end", severity, note)
            = (:annotator, :label, :start, :end, :severity, :note)"""
        if db.execute(sql, _row(made)).fetchone():
            return "there"
        changed = known is not None
        if known is not None:
            supersedes = None
            if known.annotator == made.annotator and known.withdrawn is None:
                db.execute("UPDATE annotations SET withdrawn = ? WHERE id = ?", [now(), known.id])
                supersedes = known.id
            made = replace(made, id=new_id(), created=now(), supersedes=supersedes)
        db.table("annotations").insert(_row(made))
        origin = {"source": self._origin.source, "format": self._origin.format, "created": now()}
        db.table("imports").insert(storable({"annotation_id": made.id, **origin}))
        return "changed" if changed else "added"

    def _checked(self, db: Database, given: Annotation) -> Annotation:
        """The annotation with the reply's own words as its quote."""
        row = db.execute("SELECT reply, finish FROM turns WHERE id = ?", [given.turn]).fetchone()
        if row is None:
            raise Refused(f"turn {given.turn} is not in this log; expected one that is")
        reply, finish = row
        if finish == "running":
            raise Refused(f"turn {given.turn} is still being written; expected a finished one")
        if not 0 <= given.start <= given.end <= len(reply):
            raise Refused(
                f"characters {given.start} to {given.end} were given, but the reply of turn "
                f"{given.turn} has {len(reply)}; expected a span inside it"
            )
        quote = reply[given.start : given.end]
        masked = MASK in given.quote and _masked(db, given.turn, reply)[given.start : given.end]
        if given.quote not in (quote, masked):
            raise Refused(
                f"the quote {_shown(given.quote)} was given at characters {given.start} to "
                f"{given.end} of turn {given.turn}; expected what the reply says there: "
                f"{_shown(quote)}"
            )
        if given.label not in taxonomy().labels:
            raise Refused(f"the label {_shown(given.label)} was given; expected a code of the list")
        if given.severity not in (1, 2, 3):
            raise Refused(f"severity {given.severity} was given; expected 1, 2 or 3")
        if len(given.note) > NOTE:
            raise Refused(f"a note of {len(given.note):,} characters was given; at most {NOTE:,}")
        if given.id and not _ID.fullmatch(given.id):
            raise Refused(f"the id {_shown(given.id)} was given; expected letters and digits")
        if given.created and not _TIME.fullmatch(given.created):
            raise Refused(
                f"the time {_shown(given.created)} was given; expected one such as "
                "2026-11-23T09:30:00.250Z"
            )
        try:
            annotator = named(given.annotator)
        except LogError as problem:
            raise Refused(str(problem)) from None
        supersedes = given.supersedes if self._known(db, given.supersedes) else None
        return replace(
            given, id=given.id or new_id(), annotator=annotator, quote=quote,
            created=given.created or now(), supersedes=supersedes, withdrawn=None,
        )  # fmt: skip

    def _known(self, db: Database, id: str | None) -> Annotation | None:
        if not id:
            return None
        row = next(db.query("SELECT * FROM annotations WHERE id = ?", [id]), None)
        return None if row is None else annotation_of(row)


def _same(known: Annotation, given: Annotation) -> bool:
    """Whether an annotation says what we know already; its note may have been masked since."""
    noted = len(known.note) == len(given.note) and all(
        a in (b, MASK) for a, b in zip(given.note, known.note, strict=True)
    )
    return noted and all(getattr(known, name) == getattr(given, name) for name in _SAID)


def _row(made: Annotation) -> dict:
    row = {name: value for name, value in vars(made).items() if name != "turn"}
    return storable(row | {"turn_id": made.turn, "blind": int(made.blind)})


def _masked(db: Database, turn_id: str, reply: str) -> str:
    """The reply as an export without personal data has it."""
    sql = """SELECT n.text || n.continuation FROM chunks c JOIN neighbours n ON n.chunk_id = c.id
        WHERE c.turn_id = ?"""
    texts = [text for (text,) in db.execute(sql, [turn_id])]
    more = "SELECT message, passage, settings FROM turns WHERE id = ?"
    texts += db.execute(more, [turn_id]).fetchone()
    return Masker([reply, *texts]).mask(reply)


def _shown(text: str) -> str:
    text = ascii(text)
    return text if len(text) <= 80 else f"{text[:79]}…"
