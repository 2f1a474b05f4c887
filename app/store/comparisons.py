"""Comparisons of two replies in the log. All functions work inside the caller's transaction."""

from typing import Any, get_args

from app.records import Comparison, Vote
from app.store.connection import LogError
from app.store.ids import new_id, now
from app.store.rows import storable
from retrieval.sqlite import Database


def compare(db: Database, a: str, b: str, change: str) -> Comparison:
    """The comparison of this pair and change: the one that there is, or a new one."""
    if a == b:
        raise LogError(f"turn {a} cannot be compared with itself; give two turns")
    asked = {turn: _message(db, turn) for turn in (a, b)}
    if asked[a] != asked[b]:
        raise LogError(
            f"turns {a} and {b} reply to different messages; only replies to the same message "
            "can be compared"
        )
    row = {"id": new_id(), "a_turn_id": a, "b_turn_id": b, "change": change, "created": now()}
    db.table("comparisons").insert(storable(row), ignore=True)
    sql = "SELECT * FROM comparisons WHERE (a_turn_id, b_turn_id, change) = (:a, :b, :change)"
    return _comparison_of(next(db.query(sql, storable({"a": a, "b": b, "change": change}))))


def vote(db: Database, comparison_id: str, choice: Vote | None) -> None:
    """Replaces the vote; None takes it back."""
    if choice is not None and choice not in get_args(Vote):
        raise LogError(f"a vote is {choice!r}; give a, b or tie")
    changed = db.execute(
        "UPDATE comparisons SET vote = ?, voted = ? WHERE id = ?",
        [choice, choice and now(), comparison_id],
    ).rowcount
    if not changed:
        raise LogError(
            f"there is no comparison {comparison_id} in the log; it may have been deleted with "
            "its conversation"
        )


def of_turn(db: Database, turn_id: str) -> tuple[Comparison, ...]:
    """Those in which the turn is a or b, oldest first."""
    sql = """
        SELECT * FROM comparisons WHERE a_turn_id = :id
        UNION SELECT * FROM comparisons WHERE b_turn_id = :id ORDER BY id
    """
    return tuple(_comparison_of(row) for row in db.query(sql, {"id": turn_id}))


def _message(db: Database, turn_id: str) -> str:
    row = db.execute("SELECT message FROM turns WHERE id = ?", [turn_id]).fetchone()
    if row is None:
        raise LogError(
            f"turn {turn_id} cannot be compared: it is not in the log; it may have been deleted "
            "or is still waiting to be saved"
        )
    return row[0]


def _comparison_of(row: dict[str, Any]) -> Comparison:
    return Comparison(
        id=row["id"],
        a=row["a_turn_id"],
        b=row["b_turn_id"],
        change=row["change"],
        vote=row["vote"],
        created=row["created"],
    )
