"""Measured effects of passages in the log. All functions work inside the caller's transaction."""

import json
import math
from dataclasses import asdict
from typing import Any

from app.store.connection import LogError
from app.store.ids import now
from app.store.rows import to_json
from engine.attribution import Attribution, ChunkEffect, NeighbourEffect
from retrieval.sqlite import Database

# What was measured: a reply under the passages that it was shown.
_BASIS = """
SELECT t.message, t.passage, k.ids, c.first_token, c.last_token, n.tokens, n.continuation_tokens
FROM attributions a
JOIN turns t ON t.id = a.turn_id
JOIN turn_tokens k ON k.turn_id = t.id
LEFT JOIN chunks c ON c.turn_id = t.id
LEFT JOIN neighbours n ON n.chunk_id = c.id
WHERE a.turn_id = ? ORDER BY c.rowid, n.rank
"""
_CHUNKS = """
SELECT id, ord, last_token - first_token AS tokens FROM chunks
WHERE turn_id = ? AND last_token > first_token ORDER BY rowid
"""
_SHOWN = "SELECT title, source FROM neighbours WHERE chunk_id = ? ORDER BY rank"


def save(db: Database, turn_id: str, attribution: Attribution) -> None:
    """Replaces what was measured on a turn; LogError where it is not of the turn in the log."""
    turn = db.execute("SELECT finish, n_tokens FROM turns WHERE id = ?", [turn_id]).fetchone()
    if turn is None:
        raise LogError(f"there is no turn {turn_id} in the log; it may have been deleted")
    finish, tokens = turn
    if finish == "running":
        raise LogError(f"turn {turn_id} is still being written; measure it when it is complete")
    chunks = list(db.query(_CHUNKS, [turn_id]))
    shown = [list(db.query(_SHOWN, [chunk["id"]])) for chunk in chunks]
    here = [(chunk["tokens"], len(found)) for chunk, found in zip(chunks, shown, strict=True)]
    measured = [(len(chunk.on), len(chunk.neighbours)) for chunk in attribution.chunks]
    if measured != here or len(attribution.bare) != tokens:
        raise LogError(
            f"the effects are of another reply than turn {turn_id} in the log: they cover "
            f"{len(attribution.bare)} tokens and (tokens, passages) {measured} by chunk, the turn "
            f"has {tokens} tokens and {here}; measure it again"
        )
    forget(db, turn_id)
    row = {
        "turn_id": turn_id,
        "gain": gain_of(attribution),
        "seconds": float(attribution.seconds),
        "created": now(),
        "data": to_json(asdict(attribution)),
    }
    db.table("attributions").insert(row)
    rows = [
        {"turn_id": turn_id, "chunk": chunk["ord"], "rank": rank, **asdict(effect), **document}
        for chunk, found, effects in zip(chunks, shown, attribution.chunks, strict=True)
        for rank, (document, effect) in enumerate(zip(found, effects.neighbours, strict=True))
    ]
    db.table("effects").insert_all(rows)


def load(db: Database, turn_id: str) -> Attribution | None:
    row = db.execute("SELECT data FROM attributions WHERE turn_id = ?", [turn_id]).fetchone()
    return row and _attribution_of(json.loads(row[0]))


def forget(db: Database, turn_id: str) -> None:
    db.execute("DELETE FROM attributions WHERE turn_id = ?", [turn_id])


def basis(db: Database, turn_id: str) -> list[tuple[Any, ...]]:
    """What the effects of a turn were measured on; empty where nothing was measured."""
    return db.execute(_BASIS, [turn_id]).fetchall()


def gain_of(attribution: Attribution) -> float | None:
    """`Attribution.gain`; None where it is no finite number."""
    try:
        gain = attribution.gain
    except (OverflowError, ValueError):  # of fsum: beyond a float, or inf - inf
        return None
    return gain if math.isfinite(gain) else None


def _attribution_of(stored: dict[str, Any]) -> Attribution:
    return Attribution(
        chunks=tuple(
            ChunkEffect(
                on=_floats(chunk["on"]),
                off=_floats(chunk["off"]),
                neighbours=tuple(
                    NeighbourEffect(**{name: float(value) for name, value in effect.items()})
                    for effect in chunk["neighbours"]
                ),
                controls=_floats(chunk["controls"]),
            )
            for chunk in stored["chunks"]
        ),
        bare=_floats(stored["bare"]),
        seconds=float(stored["seconds"]),
    )


def _floats(values: list[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)  # JSON has "inf" as text
