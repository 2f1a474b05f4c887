"""What people think of shown passages. All functions work inside the caller's transaction."""

from typing import get_args

from app.records import Judgement, Verdict
from app.store.connection import LogError
from app.store.ids import now
from app.store.rows import storable
from retrieval.sqlite import Database

_PLACE = """
SELECT n.title, n.source, n.text FROM chunks c JOIN neighbours n ON n.chunk_id = c.id
WHERE c.turn_id = :turn_id AND c.ord = :chunk AND n.rank = :rank ORDER BY c.rowid LIMIT 1
"""
_PUT = """
INSERT INTO judgements (turn_id, chunk, rank, verdict, annotator, title, source, passage, created)
VALUES (:turn_id, :chunk, :rank, :verdict, :annotator, :title, :source, :passage, :created)
ON CONFLICT (turn_id, chunk, rank, annotator) DO UPDATE SET
verdict = excluded.verdict, created = excluded.created
"""
_FORGET = """
DELETE FROM judgements
WHERE (turn_id, chunk, rank, annotator) = (:turn_id, :chunk, :rank, :annotator)
"""
# The passage that was judged is not, or no longer, at its place.
_STALE = """
DELETE FROM judgements WHERE turn_id = :turn_id AND NOT EXISTS (
  SELECT 1 FROM chunks c JOIN neighbours n ON n.chunk_id = c.id
  WHERE c.turn_id = judgements.turn_id AND c.ord = judgements.chunk AND n.rank = judgements.rank
  AND (n.title, n.source, n.text) = (judgements.title, judgements.source, judgements.passage)
)
"""


def judge(
    db: Database, turn_id: str, chunk: int, rank: int, verdict: Verdict | None, annotator: str
) -> None:
    """Replaces what the annotator said of the passage; None takes it back."""
    if verdict is not None and verdict not in get_args(Verdict):
        raise LogError(f"a verdict is {verdict!r}; give useful, not or misleading")
    key = {"turn_id": turn_id, "chunk": chunk, "rank": rank, "annotator": annotator}
    shown = next(db.query(_PLACE, storable(key)), None)
    if shown is None:
        raise LogError(
            f"there is no passage to judge: chunk {chunk} of turn {turn_id} has no passage of "
            f"rank {rank} in the log; show the turn anew"
        )
    if verdict is None:
        db.execute(_FORGET, storable(key))
        return
    passage = {"title": shown["title"], "source": shown["source"], "passage": shown["text"]}
    db.execute(_PUT, storable({**key, **passage, "verdict": verdict, "created": now()}))


def of_turn(db: Database, turn_id: str) -> tuple[Judgement, ...]:
    """In the order of the reply, and of the passages of a chunk."""
    sql = "SELECT * FROM judgements WHERE turn_id = ? ORDER BY chunk, rank, annotator"
    return tuple(
        Judgement(turn_id, row["chunk"], row["rank"], row["verdict"], row["annotator"])
        for row in db.query(sql, [turn_id])
    )


def drop_stale(db: Database, turn_id: str) -> None:
    """Forgets judgements of passages that the turn no longer shows at their place."""
    db.execute(_STALE, {"turn_id": turn_id})
