"""What the page does when a person opens, renames or deletes a conversation, switches to another
version of a reply, or pins a passage."""

from typing import Any

import gradio as gr

from app.store.connection import LogError
from app.ui.branches import Place
from app.ui.desk import Desk
from app.ui.layout import Layout
from app.ui.pins import NotPinned, Pins, chips, pin, unpin
from app.ui.screen import Screen, Updates, session_of
from app.ui.shelf import Shelf
from app.ui.underway import Busy, Underway


class Keeping:
    """The handlers of one layout. `words` is what stands in the search box."""

    def __init__(
        self, desk: Desk, shelf: Shelf, underway: Underway, layout: Layout, screen: Screen
    ):
        self._desk, self._shelf, self._underway = desk, shelf, underway
        self._on, self._screen = layout, screen

    def list(self, words: str, place: Place) -> Any:
        return self._screen.listed(words, place)

    def new(self, request: gr.Request, words: str) -> Updates:
        return self._open(request, words)

    def open(self, request: gr.Request, event: gr.EventData, words: str) -> Updates:
        return self._open(request, words, conversation=event.id)

    def visit(self, request: gr.Request, event: gr.EventData, words: str) -> Updates:
        """Shows the branch through a turn."""
        return self._open(request, words, turn=event.turn)

    def rename(self, event: gr.EventData, place: Place, words: str) -> Updates:
        try:
            self._shelf.rename(event.id, event.title)
        except LogError as problem:
            self._screen.refuse(problem)
        return {self._on.listed: self._screen.listed(words, place)}

    def delete(self, request: gr.Request, event: gr.EventData, place: Place, words: str) -> Updates:
        listed = self._on.listed
        try:
            self._shelf.delete(event.id)
        except (LogError, Busy) as problem:
            return {**self._screen.refuse(problem), listed: self._screen.listed(words, place)}
        if event.id == place.conversation:
            return self._open(request, words)
        return {listed: self._screen.listed(words, place)}

    def pin(self, event: gr.EventData, pins: Pins) -> Updates:
        try:
            pins = pin(pins, self._desk.turn(event.turn), event.chunk, event.rank)
        except (LogError, NotPinned) as problem:
            return self._screen.refuse(problem)
        return {self._on.pinned: pins, self._on.pins: chips(pins)}

    def unpin(self, event: gr.EventData, pins: Pins) -> Updates:
        pins = unpin(pins, event.place)
        return {self._on.pinned: pins, self._on.pins: chips(pins)}

    def _open(
        self,
        request: gr.Request,
        words: str,
        *,
        conversation: str | None = None,
        turn: str | None = None,
    ) -> Updates:
        try:
            if self._underway.busy(session_of(request)):
                raise Busy("a reply is still being written on this page; stop it first")
            return self._screen.shown(self._desk.open(conversation, turn), words)
        except (LogError, Busy) as problem:
            return self._screen.refuse(problem)
