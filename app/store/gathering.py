"""Failures out of the log, a few turns at a time, so that an export of any size takes no memory."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from app.exports.failure import Failure, Passage, Written
from app.failures.masking import MASK, Masker, Value
from app.store.filters import SEVERITIES, Filter, condition
from app.store.queries import Reader
from retrieval.sqlite import Database

TOGETHER = 50  # turns that are read at once
_PERSONAL = "personal."

_CHOSEN = "SELECT c.n, c.id FROM cases c WHERE {where} ORDER BY c.n, c.place, c.id"
_TURNS = """
SELECT t.n, t.id, t.conversation_id, t.message, t.reply, t.passage, t.finish, t.created,
  m.preset, t.model_id, t.database_fingerprint, t.app_version, t.settings
FROM turns t JOIN models m ON m.id = t.model_id WHERE t.n IN ({marks}) ORDER BY t.n
"""
_PASSAGES = """
SELECT c.turn_id, c.ord, c."start", c."end", n.rank, n.title, n.source, n.text, n.continuation,
  n.distance
FROM chunks c JOIN neighbours n ON n.chunk_id = c.id
WHERE c.turn_id IN ({marks}) ORDER BY c.rowid, n.rank
"""
_FINDINGS = """
SELECT f.*, r.detector, r.version FROM findings f JOIN detector_runs r ON r.id = f.run_id
WHERE f.id IN ({marks})
"""
_RULINGS = """
SELECT finding_id, annotator, ruling FROM rulings WHERE finding_id IN ({marks}) ORDER BY annotator
"""
_ANNOTATIONS = "SELECT * FROM annotations WHERE withdrawn IS NULL AND id IN ({marks})"
# Replies as if each were a case, so that a filter of cases can be asked for them.
_REPLIES = """
SELECT count(*), count(*) FILTER (WHERE EXISTS (
  SELECT 1 FROM reviews v JOIN turns t ON t.id = v.turn_id WHERE t.n = c.n AND v.state = 'done'))
FROM (SELECT r.*, '' AS id FROM replies r WHERE r.complete) c WHERE {where}
"""
_OF_REPLIES = ("model", "preset", "text", "since", "until", "drawn")  # fields of a filter


@dataclass(frozen=True)
class Basis:
    """What a selection is drawn from: replies that its filter leaves by model, day, settings and
    words, with a failure or without; and how many of them a person has read to the end."""

    replies: int
    reviewed: int


def failures(log: Reader, filter: Filter, *, personal: bool) -> Iterator[Failure]:
    """The failures that a filter leaves, oldest turn first, those of a turn together.

    Without `personal`, personal data is masked in every text. What is deleted meanwhile is left
    out. Raises LogError.
    """
    with log.reading("looking for failures") as db:
        where, values = condition(filter)
        chosen: list[tuple[int, str]] = db.execute(_CHOSEN.format(where=where), values).fetchall()
    by_turn = [(n, [id for _, id in group]) for n, group in groupby(chosen, lambda row: row[0])]
    for at in range(0, len(by_turn), TOGETHER):
        with log.reading("reading failures") as db:
            found = list(_read(db, by_turn[at : at + TOGETHER]))
        for _, together in groupby(found, lambda failure: failure.turn.id):
            group = list(together)
            yield from group if personal else _masked(group)


def basis(log: Reader, filter: Filter) -> Basis:
    """Raises LogError."""
    of_replies = Filter(**{name: getattr(filter, name) for name in _OF_REPLIES})
    with log.reading("counting replies") as db:
        where, values = condition(of_replies)
        return Basis(*db.execute(_REPLIES.format(where=where), values).fetchone())


def _read(db: Database, chosen: Sequence[tuple[int, Sequence[str]]]) -> Iterator[Failure]:
    turns = {n: written for n, written in _written(db, [n for n, _ in chosen])}
    ids = [id for _, group in chosen for id in group]
    found = {f"f{f.id}" if f.source == "machine" else f"a{f.id}": f for f in _found(db, ids)}
    for n, group in chosen:
        for id in group:
            if id in found and n in turns:
                yield replace(found[id], turn=turns[n])


def _written(db: Database, numbers: list[int]) -> Iterator[tuple[int, Written]]:
    rows = list(db.query(_marked(_TURNS, numbers), numbers))
    ids = [row["id"] for row in rows]
    passages: dict[str, list[Passage]] = {}
    for row in db.execute(_marked(_PASSAGES, ids), ids):
        passages.setdefault(row[0], []).append(Passage(*row[1:]))
    for row in rows:
        number, settings = row.pop("n"), json.loads(row.pop("settings"))
        shown = tuple(passages.get(row["id"], ()))
        yield number, Written(*row.values(), settings=settings, passages=shown)


def _found(db: Database, ids: Sequence[str]) -> Iterator[Failure]:
    findings = [int(id[1:]) for id in ids if id[0] == "f"]
    annotations = [id[1:] for id in ids if id[0] == "a"]
    rulings: dict[int, dict[str, str]] = {}
    for finding, annotator, ruling in db.execute(_marked(_RULINGS, findings), findings):
        rulings.setdefault(finding, {})[annotator] = ruling
    for row in db.query(_marked(_FINDINGS, findings), findings):
        severity = SEVERITIES.index(row["severity"]) + 1
        same = ("kind", "status", "start", "end", "quote", "score", "threshold", "created")
        yield Failure(
            **{name: row[name] for name in (*same, "detector", "version")}, id=str(row["id"]),
            source="machine", severity=severity, note=row["explanation"], turn=_NOWHERE,
            evidence=json.loads(row["evidence"]), rulings=rulings.get(row["id"], {}),
        )  # fmt: skip
    for row in db.query(_marked(_ANNOTATIONS, annotations), annotations):
        same = ("id", "severity", "start", "end", "quote", "note", "created", "version")
        yield Failure(
            **{name: row[name] for name in (*same, "annotator", "supersedes")}, source="person",
            kind=row["label"], status="marked", blind=bool(row["blind"]), turn=_NOWHERE,
        )  # fmt: skip


def _masked(group: Sequence[Failure]) -> Iterator[Failure]:
    """The failures of a turn with personal data masked; one that is a value keeps its hash."""
    turn = group[0].turn
    passages = [passage.text + passage.continuation for passage in turn.passages]
    found = [f for f in group if f.kind.startswith(_PERSONAL) and f.source == "machine"]
    known = [Value(f.kind, f.quote) for f in found if MASK not in f.quote]
    texts = [turn.message, turn.reply, turn.passage, *passages]
    masker = Masker([*texts, json.dumps(turn.settings, ensure_ascii=False)], known)
    if not masker.values:
        notes = Masker([failure.note for failure in group])
        for failure in group:
            yield replace(failure, note=notes.mask(failure.note)) if notes.values else failure
        return
    mask = masker.mask
    clean = replace(
        turn, message=mask(turn.message), reply=mask(turn.reply), passage=mask(turn.passage),
        settings=masker.mask_json(dict(turn.settings)),
        passages=tuple(_passage(masker, passage) for passage in turn.passages),
    )  # fmt: skip
    for failure in group:
        span = slice(failure.start, failure.end)
        personal = failure in found
        parts = failure.source == "machine" and not personal  # it may list what passages hold
        evidence = None
        if failure.evidence is not None:
            evidence = masker.mask_json(dict(failure.evidence), parts=parts)
        yield replace(
            failure,
            turn=clean,
            quote=clean.reply[span],
            hash=Value(failure.kind, failure.quote).hash
            if personal and MASK not in failure.quote
            else "",
            note=(masker.mask_parts if parts else masker.mask_cut)(failure.note),
            evidence=evidence,
        )


def _passage(masker: Masker, passage: Passage) -> Passage:
    whole, cut = masker.mask(passage.text + passage.continuation), len(passage.text)
    return replace(
        passage, text=whole[:cut], continuation=whole[cut:],
        title=masker.mask(passage.title), source=masker.mask(passage.source),
    )  # fmt: skip


def _marked(sql: str, values: Sequence[object]) -> str:
    return sql.format(marks=", ".join("?" * len(values)))


_NOWHERE = Written("", "", "", "", "", "", "", "", "", "", "", {}, ())
