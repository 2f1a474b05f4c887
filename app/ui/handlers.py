"""What the page does when a person asks for a reply, and when the page itself comes and goes.

A handler takes what gradio gives it by the types of its parameters, and returns the components
that change with their new values.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from app.compose import Application
from app.store.connection import LogError
from app.ui.branches import Place
from app.ui.chosen import read_settings, summary
from app.ui.comparing import Comparing
from app.ui.desk import EXPECTED, Desk
from app.ui.fields import OWN
from app.ui.form import filled, offered
from app.ui.layout import Layout
from app.ui.notices import about, library_notice, loading_notice, unsaved_notice
from app.ui.pins import Pins
from app.ui.screen import IDLE, REFUSED, Screen, Updates, box_of, session_of, toast
from app.ui.transcript import unescape
from app.ui.underway import Underway


class Handlers:
    """The handlers of one layout. `words` is what stands in the search box."""

    def __init__(
        self,
        app: Application,
        desk: Desk,
        comparing: Comparing,
        underway: Underway,
        layout: Layout,
        screen: Screen,
    ):
        self._app, self._desk, self._comparing = app, desk, comparing
        self._underway, self._on, self._screen = underway, layout, screen

    # ----- asking: accepted at once, then written

    def send(
        self, request: gr.Request, message: str, place: Place, pins: Pins, *values: Any
    ) -> Updates:
        return self._accept(request, message, place, pins, values)

    def send_example(
        self, request: gr.Request, event: gr.SelectData, place: Place, pins: Pins, *values: Any
    ) -> Updates:
        text = event.value["text"]
        return {self._on.box: text, **self._accept(request, text, place, pins, values)}

    def retry(self, request: gr.Request, place: Place, pins: Pins, *values: Any) -> Updates:
        index = len(place.turns) - 1
        try:
            message = self._desk.message(place, index)
        except LogError as problem:
            return self._screen.refuse(problem)
        return self._accept(request, message, place, pins, values, index)

    def edit(
        self, request: gr.Request, event: gr.EditData, place: Place, pins: Pins, *values: Any
    ) -> Updates:
        """The transcript shows the edit already, so it is taken back if it is refused."""
        index = event.index // 2  # type: ignore[operator]  # two messages a turn
        try:
            before = self._desk.open(place.conversation, place.turns[-1])
        except LogError as problem:
            return self._screen.refuse(problem)
        accepted = self._accept(request, unescape(event.value), place, pins, values, index)
        return {self._on.chat: before.messages, **accepted}

    def write(self, request: gr.Request, words: str) -> Iterator[Updates]:
        on, known = self._on, None
        for view in self._desk.write(session_of(request)):
            if not view.busy:
                if view.give_back is not None:
                    toast(view.status)
                yield self._screen.shown(view, words)
                return
            updates = {on.place: view.place, on.chat: view.messages, on.status: view.status}
            if view.inspector is not None:
                updates[on.inspector] = view.inspector
            if view.place.conversation != known:
                known = view.place.conversation
                updates[on.listed] = self._screen.listed(words, view.place)
            yield updates
        yield self._screen.nothing()  # what was accepted has been taken back, or another page's

    def stop(self, request: gr.Request, words: str) -> Updates:
        """Stops the reply under way, be it to a message or to compare."""
        session = session_of(request)
        view = self._desk.stop(session)
        if view is not None:
            return self._screen.shown(view, words)
        drawer = self._comparing.stop(session)
        if drawer is not None:
            on = self._on
            return {on.compare: drawer, on.status: "Not written.", on.box: gr.update(**IDLE)}
        if self._underway.busy(session):
            return {self._on.status: gr.skip()}  # whoever writes it says how it ended
        return {self._on.box: gr.update(**IDLE)}

    # ----- the page itself

    def arrive(self, request: gr.Request) -> Updates:
        """The turn or the conversation that the page's address names, and the default settings."""
        wanted = request.query_params
        try:
            view = self._desk.open(wanted.get("conversation"), wanted.get("turn"))
        except LogError as problem:
            toast(str(problem))
            view = self._desk.open(None)
        return {**self._screen.shown(view, ""), **self._settings(), **self.tick()}

    def leave(self, request: gr.Request) -> None:
        self._underway.leave(session_of(request))

    def tick(self) -> Updates:
        on = self._on
        return {
            on.loading: loading_notice(self._app) or library_notice(self._app),
            on.note: about(self._app),
            on.timer: self._timer(),
        }

    def _timer(self) -> gr.Timer:
        """Looks at the application while it loads, and goes on where its engine is elsewhere."""
        loading = self._app.status.stage == "loading"
        return gr.Timer(1 if loading else 2, active=loading or self._app.address != "")

    def save_again(self) -> Updates:
        try:
            reason = self._app.turns.save_waiting()
        except EXPECTED as problem:
            reason = str(problem)
        return {self._on.unsaved: unsaved_notice(reason)}

    def choose_preset(self, name: str) -> Updates:
        """Fills the settings in from a preset."""
        try:
            presets = {preset.name: preset for preset in self._app.log.presets()}
        except LogError as problem:
            return self._screen.refuse(problem)
        form = self._on.form
        if name == OWN:
            return filled(form, OWN, self._app.defaults)
        if name not in presets:
            toast(f"there is no preset “{name}” any more; choose another")
            return {
                **filled(form, OWN, self._app.defaults),
                **offered(form, list(presets.values()), OWN),
            }
        return filled(form, name, presets[name].settings)

    def retitle(self, preset: str, retrieve: bool) -> Updates:
        return {self._on.form.panel: gr.update(label=summary(preset, retrieve))}

    def _settings(self) -> Updates:
        """The presets that there are, and the default one filled in."""
        form = self._on.form
        try:
            presets, default = self._app.log.presets(), self._app.log.default_preset()
        except LogError as problem:
            return self._screen.refuse(problem)
        chosen = default.name if default else OWN
        settings = default.settings if default else self._app.defaults
        return {**filled(form, chosen, settings), **offered(form, presets, chosen)}

    def _accept(
        self,
        request: gr.Request,
        message: str,
        place: Place,
        pins: Pins,
        values: Sequence[Any],
        index: int | None = None,
    ) -> Updates:
        try:
            settings = read_settings(*values, pinned=pins)
            view = self._desk.accept(session_of(request), message, settings, place, index)
        except REFUSED as problem:
            return self._screen.refuse(problem)
        on = self._on
        return {
            on.chat: view.messages,
            on.status: view.status,
            on.box: box_of(view),
            on.branches: view.branches,
        }
