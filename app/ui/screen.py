"""What the page shows, as updates of its components: the common part of all handlers."""

import html
from typing import Any

import gradio as gr

from app.store.connection import LogError
from app.ui.branches import Place
from app.ui.chosen import BadSetting
from app.ui.desk import EXPECTED, View
from app.ui.layout import Layout
from app.ui.notices import unsaved_notice
from app.ui.shelf import Shelf
from app.ui.underway import Busy

Updates = dict[Any, Any]

REFUSED = (*EXPECTED, Busy, BadSetting)
IDLE: Any = {"submit_btn": "Send", "stop_btn": False}
STOPPABLE: Any = {"submit_btn": False, "stop_btn": "Stop"}


class Screen:
    """The components of one layout. `words` is what stands in the search box."""

    def __init__(self, layout: Layout, shelf: Shelf):
        self._on, self._shelf = layout, shelf

    def shown(self, view: View, words: str) -> Updates:
        """Everything that a view says of a page at rest."""
        on = self._on
        updates: Updates = {
            on.place: view.place,
            on.chat: view.messages,
            on.status: view.status,
            on.box: box_of(view),
            on.listed: self.listed(words, view.place),
        }
        if view.inspector is not None:
            updates[on.inspector] = view.inspector
        if view.branches is not None:
            updates[on.branches] = view.branches
        if view.unsaved is not None:
            updates[on.unsaved] = unsaved_notice(view.unsaved)
        return updates

    def listed(self, words: str, place: Place) -> Any:
        """The list of conversations."""
        try:
            return self._shelf.conversations(words, place)
        except LogError as problem:
            toast(str(problem))
            return gr.skip()

    def refuse(self, problem: Exception) -> Updates:
        """Says why something is not done; what was typed stays where it is."""
        toast(str(problem))
        return self.nothing()

    def nothing(self) -> Updates:
        return {self._on.status: gr.skip()}  # gradio wants at least one


def session_of(request: gr.Request) -> str:
    return request.session_hash or ""


def toast(text: str) -> None:
    """Shows a text for a while; it may quote what was typed, and would be parsed as HTML."""
    gr.Warning(html.escape(text), title="Not done")


def box_of(view: View) -> Any:
    """The message box after a view: to stop the reply, or to send the next message."""
    if view.busy:
        return gr.update(value="", **STOPPABLE)
    if view.give_back is not None:
        return gr.update(value=view.give_back, **IDLE)
    return gr.update(**IDLE)
