"""Pinned passages: shown to the model for every chunk of the next replies from this page."""

from dataclasses import replace
from typing import Any

from app.records import Turn
from retrieval.protocol import Neighbour

MOST = 2  # as many passages as the model is shown

Pins = tuple[Neighbour, ...]


class NotPinned(ValueError):
    """A passage that cannot be pinned; says why and what to do."""


def pin(pins: Pins, turn: Turn, chunk: int, rank: int) -> Pins:
    """The pins with a passage that a reply chunk was shown; `rank` 0 is the first. NotPinned."""
    shown = [c.neighbours for c in turn.reply.chunks]
    if not (0 <= chunk < len(shown) and 0 <= rank < len(shown[chunk])):
        raise NotPinned(
            f"chunk {chunk + 1} of this reply has no passage {rank + 1}; show the reply anew"
        )
    passage = shown[chunk][rank]
    # It is not found by a search any more, so it has no distance from one.
    passage = replace(passage, distance=None, overlap=0.0)
    if passage in pins:
        raise NotPinned(f"“{passage.title}” is pinned already")
    if len(pins) >= MOST:
        raise NotPinned(
            f"{MOST} passages are pinned already, as many as the model is shown; unpin one first"
        )
    return (*pins, passage)


def unpin(pins: Pins, place: int) -> Pins:
    """The pins without the one at a place; a place that there is not changes nothing."""
    return tuple(pinned for i, pinned in enumerate(pins) if i != place)


def chips(pins: Pins) -> dict[str, Any]:
    """What the page shows of them: {"pins": [{"title", "text"}]}."""
    return {
        "pins": [
            {"title": pinned.title or "Untitled", "text": f"{pinned.text}{pinned.continuation}"}
            for pinned in pins
        ]
    }
