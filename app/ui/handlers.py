"""What the page does when a person does something: the desk's answers, as updates of components.

A handler takes what gradio gives it by the types of its parameters, and returns the components
that change with their new values.
"""

import html
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from app.compose import Application
from app.store.connection import LogError
from app.ui.desk import EXPECTED, Busy, Desk, Place, View
from app.ui.form import BadSetting, read_settings
from app.ui.layout import Layout
from app.ui.notices import about, loading_notice, unsaved_notice
from app.ui.transcript import unescape

Updates = dict[Any, Any]

_IDLE: Any = {"submit_btn": "Send", "stop_btn": False}
_REFUSED = (*EXPECTED, Busy, BadSetting)


class Handlers:
    """The handlers of one layout. `words` is what stands in the search box."""

    def __init__(self, app: Application, desk: Desk, layout: Layout):
        self._app, self._desk, self._on = app, desk, layout

    # ----- asking: accepted at once, then written

    def send(self, request: gr.Request, message: str, place: Place, *values: Any) -> Updates:
        return self._accept(request, message, place, values)

    def send_example(
        self, request: gr.Request, event: gr.SelectData, place: Place, *values: Any
    ) -> Updates:
        text = event.value["text"]
        return {self._on.box: text, **self._accept(request, text, place, values)}

    def retry(self, request: gr.Request, place: Place, *values: Any) -> Updates:
        index = len(place.turns) - 1
        try:
            message = self._desk.message(place, index)
        except LogError as problem:
            return self._refuse(problem)
        return self._accept(request, message, place, values, index)

    def edit(self, request: gr.Request, event: gr.EditData, place: Place, *values: Any) -> Updates:
        """The transcript shows the edit already, so it is taken back if it is refused."""
        index = event.index // 2  # type: ignore[operator]  # two messages a turn
        try:
            before = self._desk.open(place.conversation, place.turns[-1])
        except LogError as problem:
            return self._refuse(problem)
        accepted = self._accept(request, unescape(event.value), place, values, index)
        return {self._on.chat: before.messages, **accepted}

    def write(self, request: gr.Request, words: str) -> Iterator[Updates]:
        on, known = self._on, None
        for view in self._desk.write(_session(request)):
            if not view.busy:
                if view.give_back is not None:
                    _toast(view.status)
                yield self._shown(view, words)
                return
            updates = {on.place: view.place, on.chat: view.messages, on.status: view.status}
            if view.inspector is not None:
                updates[on.inspector] = view.inspector
            if view.place.conversation != known:
                known = view.place.conversation
                updates[on.listed] = self.conversations(words, view.place)
            yield updates
        yield self._nothing()  # what was accepted has been taken back, or another page's

    def stop(self, request: gr.Request, words: str) -> Updates:
        session = _session(request)
        view = self._desk.stop(session)
        if view is not None:
            return self._shown(view, words)
        if self._desk.busy(session):
            return {self._on.status: "Stopping …"}
        return {self._on.box: gr.update(**_IDLE)}

    # ----- conversations

    def conversations(self, words: str, place: Place) -> Any:
        try:
            return self._desk.conversations(words, place)
        except LogError as problem:
            _toast(str(problem))
            return gr.skip()

    def new(self, request: gr.Request, words: str) -> Updates:
        return self._open(request, words, None)

    def open(self, request: gr.Request, event: gr.EventData, words: str) -> Updates:
        return self._open(request, words, event.id)

    def delete(self, request: gr.Request, event: gr.EventData, place: Place, words: str) -> Updates:
        try:
            self._desk.delete(event.id)
        except (LogError, Busy) as problem:
            return {**self._refuse(problem), self._on.listed: self.conversations(words, place)}
        if event.id == place.conversation:
            return self._open(request, words, None)
        return {self._on.listed: self.conversations(words, place)}

    # ----- the page itself

    def arrive(self, request: gr.Request) -> Updates:
        """The conversation and the turn that the page's address names."""
        wanted = request.query_params
        try:
            view = self._desk.open(wanted.get("conversation"), wanted.get("turn"))
        except LogError as problem:
            _toast(str(problem))
            view = self._desk.open(None)
        return {**self._shown(view, ""), **self.tick()}

    def leave(self, request: gr.Request) -> None:
        self._desk.leave(_session(request))

    def tick(self) -> Updates:
        return {
            self._on.loading: loading_notice(self._app),
            self._on.note: about(self._app),
            self._on.timer: gr.Timer(active=self._app.status.stage == "loading"),
        }

    def save_again(self) -> Updates:
        try:
            reason = self._app.turns.save_waiting()
        except EXPECTED as problem:
            reason = str(problem)
        return {self._on.unsaved: unsaved_notice(reason)}

    # ----- updates

    def _accept(
        self,
        request: gr.Request,
        message: str,
        place: Place,
        values: Sequence[Any],
        index: int | None = None,
    ) -> Updates:
        try:
            settings = read_settings(self._app.defaults, values)
            view = self._desk.accept(_session(request), message, settings, place, index)
        except _REFUSED as problem:
            return self._refuse(problem)
        on = self._on
        return {on.chat: view.messages, on.status: view.status, on.box: _box(view)}

    def _open(self, request: gr.Request, words: str, conversation: str | None) -> Updates:
        try:
            if self._desk.busy(_session(request)):
                raise Busy("a reply is still being written here; stop it first")
            return self._shown(self._desk.open(conversation), words)
        except (LogError, Busy) as problem:
            return self._refuse(problem)

    def _shown(self, view: View, words: str) -> Updates:
        """Everything that a view says of a page at rest."""
        on = self._on
        updates: Updates = {
            on.place: view.place,
            on.chat: view.messages,
            on.status: view.status,
            on.box: _box(view),
            on.listed: self.conversations(words, view.place),
        }
        if view.inspector is not None:
            updates[on.inspector] = view.inspector
        if view.unsaved is not None:
            updates[on.unsaved] = unsaved_notice(view.unsaved)
        return updates

    def _refuse(self, problem: Exception) -> Updates:
        """Says why something is not done; what was typed stays where it is."""
        _toast(str(problem))
        return self._nothing()

    def _nothing(self) -> Updates:
        return {self._on.status: gr.skip()}  # gradio wants at least one


def _session(request: gr.Request) -> str:
    return request.session_hash or ""


def _toast(text: str) -> None:
    """Shows a text for a while; it may quote what was typed, and would be parsed as HTML."""
    gr.Warning(html.escape(text), title="Not done")


def _box(view: View) -> Any:
    """The message box after a view: to stop the reply, or to send the next message."""
    if view.busy:
        return gr.update(value="", submit_btn=False, stop_btn="Stop")
    if view.give_back is not None:
        return gr.update(value=view.give_back, **_IDLE)
    return gr.update(**_IDLE)
