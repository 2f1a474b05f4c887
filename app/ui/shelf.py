"""The conversations that are kept: listed, found, renamed, deleted."""

from typing import Any

from app.store.log import Log
from app.ui.branches import Place
from app.ui.underway import Busy, Underway

SHOWN = 200  # conversations in the list; the others are found by searching


class Shelf:
    """The list beside the transcript. Every method raises LogError."""

    def __init__(self, log: Log, underway: Underway):
        self._log, self._underway = log, underway

    def conversations(self, search: str, place: Place) -> dict[str, Any]:
        """The list of conversations, newest first."""
        found = self._log.conversations(search)
        shown = found[:SHOWN]
        names = ("id", "title", "updated", "turns")
        return {
            "items": [{name: getattr(c, name) for name in names} for c in shown],
            "left": len(found) - len(shown),
            "search": search,
            "selected": place.conversation,
        }

    def rename(self, conversation: str, title: str) -> None:
        """Gives a conversation another title: the first line of it."""
        self._log.rename(conversation, title)

    def delete(self, conversation: str) -> None:
        """Deletes a conversation for good. Raises Busy while it is written to."""
        if self._underway.writes_to(conversation):
            raise Busy("a reply in this conversation is still being written; stop it first")
        self._log.delete_conversation(conversation)
