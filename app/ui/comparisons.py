"""What the page does when a person has a reply written to compare, or compares and votes."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.store.connection import LogError
from app.ui.branches import Place
from app.ui.comparing import Comparing, Drawer
from app.ui.desk import Desk
from app.ui.layout import Layout
from app.ui.notices import unsaved_notice
from app.ui.screen import IDLE, REFUSED, STOPPABLE, Screen, Updates, session_of


class Comparisons:
    """The handlers of one layout. `words` is what stands in the search box."""

    def __init__(self, desk: Desk, comparing: Comparing, layout: Layout, screen: Screen):
        self._desk, self._comparing = desk, comparing
        self._on, self._screen = layout, screen

    def vary(self, request: gr.Request, event: gr.EventData, drawer: Drawer | None) -> Updates:
        """Accepts what `write` then writes; a refusal is said in the drawer if it may be open."""
        on = self._on
        try:
            view = self._comparing.accept(session_of(request), event.turn, event.change)
        except REFUSED as problem:
            if event.target is on.compare and drawer:  # it covers what is said elsewhere
                return {on.compare: {**drawer, "problem": f"Not written: {problem}."}}
            return self._screen.refuse(problem)
        return {
            on.compare: view.drawer,
            on.status: view.status,
            on.box: gr.update(**STOPPABLE),
        }

    def write(self, request: gr.Request, place: Place, words: str) -> Iterator[Updates]:
        on = self._on
        for view in self._comparing.write(session_of(request)):
            updates: Updates = {on.compare: view.drawer, on.status: view.status}
            if not view.busy:
                updates |= {on.box: gr.update(**IDLE), **self._siblings(place, words)}
                if view.unsaved is not None:
                    updates[on.unsaved] = unsaved_notice(view.unsaved)
                yield updates
                return
            yield updates
        yield self._screen.nothing()  # what was accepted has been taken back

    def choose(self, event: gr.EventData) -> Updates:
        return self._opened(lambda: self._comparing.choose(event.turn))

    def recall(self, event: gr.EventData) -> Updates:
        return self._opened(lambda: self._comparing.recall(event.comparison, event.turn))

    def vote(self, event: gr.EventData, drawer: Drawer, place: Place) -> Updates:
        try:
            return {
                self._on.compare: self._comparing.vote(drawer, event.vote),
                self._on.branches: self._desk.forks(place),
            }
        except LogError as problem:
            return {self._on.compare: {**drawer, "problem": f"Not saved: {problem}."}}

    def _opened(self, drawer: Any) -> Updates:
        try:
            return {self._on.compare: drawer()}
        except LogError as problem:
            return self._screen.refuse(problem)

    def _siblings(self, place: Place, words: str) -> Updates:
        """A reply has a version more: said in the strip, the inspector and the list."""
        on = self._on
        try:
            return {
                on.branches: self._desk.forks(place),
                on.listed: self._screen.listed(words, place),
            }
        except LogError as problem:
            return self._screen.refuse(problem)
