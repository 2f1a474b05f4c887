"""Feedback as training data: what people judged, in JSON Lines with the same columns a file.

passages: turn, chunk, rank, query, passage, continuation, title, source, verdict (useful, not,
  misleading), annotator, created. For training a retriever.
findings: turn, finding, kind, quote, before, after, label (accepted, rejected), annotator,
  detector, version, score, threshold, created; one line a ruling. For a detector's thresholds.
replies: comparison, message, chosen, rejected, change, chosen_turn, rejected_turn, model, created;
  without ties, which choose nothing. For preference training.

Without personal data, every value of it is a run of █ of the same length.
"""

from collections.abc import Callable, Iterator
from typing import Any

from app.exports.failure import compact
from app.failures.masking import Masker
from app.store.queries import Reader

AROUND = 200  # code points of the reply before and after the quote of a finding
TOGETHER = 200  # rows that are read at once
Row = dict[str, Any]

_PASSAGES = """
SELECT j.id AS place, j.turn_id AS turn, j.chunk, j.rank, c.query, j.passage, n.continuation,
  j.title, j.source, j.verdict, j.annotator, j.created
FROM judgements j
JOIN chunks c ON c.turn_id = j.turn_id AND c.ord = j.chunk
JOIN neighbours n ON n.chunk_id = c.id AND n.rank = j.rank
WHERE j.id > :after ORDER BY j.id LIMIT :limit
"""
_FINDINGS = """
SELECT f.id AS place, f.turn_id AS turn, f.id AS finding, f.kind, f.quote, t.reply, f."start",
  f."end", u.ruling AS label, u.annotator, r.detector, r.version, f.score, f.threshold, u.created
FROM findings f
JOIN rulings u ON u.finding_id = f.id
JOIN detector_runs r ON r.id = f.run_id
JOIN turns t ON t.id = f.turn_id
WHERE f.id > :after ORDER BY f.id, u.annotator LIMIT :limit
"""
_REPLIES = """
SELECT x.rowid AS place, x.id AS comparison, a.message, x.vote, a.reply AS a, b.reply AS b,
  x.change, a.id AS a_turn, b.id AS b_turn, m.preset AS model, x.voted AS created
FROM comparisons x
JOIN turns a ON a.id = x.a_turn_id
JOIN turns b ON b.id = x.b_turn_id
JOIN models m ON m.id = b.model_id
WHERE x.vote IN ('a', 'b') AND x.rowid > :after ORDER BY x.rowid LIMIT :limit
"""


def pairs(log: Reader, what: str, *, personal: bool = False) -> Iterator[str]:
    """The lines of one of `KINDS`. Raises LogError."""
    sql, shape = KINDS[what]
    after = 0
    while True:
        with log.reading(f"reading what people judged: {what}") as db:
            rows = list(db.query(sql, {"after": after, "limit": TOGETHER}))
            if len(rows) == TOGETHER and rows[0]["place"] == rows[-1]["place"]:
                # more rulings on one finding than are read at once
                rows = list(db.query(sql, {"after": after, "limit": -1}))
        whole = len(rows) < TOGETHER
        if not whole:  # the last one may go on
            last = rows[-1]["place"]
            rows = [row for row in rows if row["place"] != last] or rows
        for row in rows:
            after = row.pop("place")
            yield compact(shape(row if personal else _masked(row))) + "\n"
        if whole:
            return


def _masked(row: Row) -> Row:
    texts = {name: text for name, text in row.items() if isinstance(text, str)}
    masker = Masker(texts.values())
    return {**row, **{name: masker.mask(text) for name, text in texts.items()}}


def _passage(row: Row) -> Row:
    return row


def _finding(row: Row) -> Row:
    reply, start, end = row.pop("reply"), row.pop("start"), row.pop("end")
    before, after = reply[max(start - AROUND, 0) : start], reply[end : end + AROUND]
    shaped = {"before": before, "after": after}
    first = ("turn", "finding", "kind", "quote")
    return {**{name: row[name] for name in first}, **shaped, **row, "quote": reply[start:end]}


def _reply(row: Row) -> Row:
    chosen, rejected = ("a", "b") if row["vote"] == "a" else ("b", "a")
    return {
        "comparison": row["comparison"],
        "message": row["message"],
        "chosen": row[chosen],
        "rejected": row[rejected],
        "change": row["change"],
        "chosen_turn": row[f"{chosen}_turn"],
        "rejected_turn": row[f"{rejected}_turn"],
        "model": row["model"],
        "created": row["created"],
    }


KINDS: dict[str, tuple[str, Callable[[Row], Row]]] = {
    "passages": (_PASSAGES, _passage),
    "findings": (_FINDINGS, _finding),
    "replies": (_REPLIES, _reply),
}
