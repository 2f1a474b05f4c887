"""The branches of a conversation: where a page is in them, and the ways to the others."""

from dataclasses import asdict, dataclass
from typing import Any

from app.records import Turn
from app.store.log import Log

NO_FORKS: dict[str, Any] = {"replies": 0, "last": None, "forks": []}


@dataclass(frozen=True)
class Place:
    """Where a page is: a conversation and one branch of its turns, first turn first."""

    conversation: str | None = None
    turns: tuple[str, ...] = ()


def branch_of(log: Log, conversation: str, through: str | None = None) -> list[Turn]:
    """The newest branch of a conversation, or the newest through a turn.

    A reply that was written only to be compared does not end a branch unless it is that turn:
    the reply that it was compared with does. Raises LogError.
    """
    branch = log.turns(conversation, through=through)
    passed: set[str] = set()
    while branch and (last := branch[-1].id) != through and last not in passed:
        passed.add(last)
        original = next((c.a for c in log.comparisons(last) if c.b == last), None)
        if original is None:
            break
        branch = log.turns(conversation, through=original)
    return branch


def forks(log: Log, place: Place) -> dict[str, Any]:
    """The replies of a branch that have others beside them. Raises LogError.

    {"replies", "last", "forks": [{"reply", "turn", "versions", "compared"}]}: how many replies
    there are, and the last turn; which reply it is, counted from 1; the ids of the replies to the
    same, itself included; and its comparisons, newest first.
    """
    found = []
    for number, turn in enumerate(place.turns, 1):
        versions = log.siblings(turn)
        compared = sorted(log.comparisons(turn), key=lambda c: c.created, reverse=True)
        if len(versions) > 1 or compared:
            found.append(
                {
                    "reply": number,
                    "turn": turn,
                    "versions": list(versions),
                    "compared": [asdict(comparison) for comparison in compared],
                }
            )
    last = place.turns[-1] if place.turns else None
    return {"replies": len(place.turns), "last": last, "forks": found}
