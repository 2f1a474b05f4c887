"""Two replies side by side, without a page: written, opened again, voted on.

Reply A is in the log. Reply B is written to the same message with one thing changed, as a sibling
of A; the drawer shows both, and where they differ once B is finished.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

from app.changes import BadChange, Change, Pasted, change_of
from app.compose import Application
from app.records import Comparison, Turn, Vote
from app.store.connection import LogError
from app.store.ids import new_id
from app.turn import Finished, Started
from app.ui.desk import CLOCK, EXPECTED, waiting, waiting_for
from app.ui.drawer import compared, single
from app.ui.example import Example
from app.ui.underway import Task, Underway
from app.variants import vary
from engine.protocol import ChunkEvent, DoneEvent, Event, Reply, TokenEvent, WaitEvent

Drawer = dict[str, Any]

_logger = logging.getLogger(__name__)


@dataclass
class Variation(Task):
    """A reply like that of `turn` but for a change; `words` say what changes."""

    turn: Turn
    change: Change
    words: str
    opening: str


@dataclass(frozen=True)
class Written:
    """A view of a reply that is written to compare. `unsaved` is as in a desk's view."""

    drawer: Drawer
    status: str
    busy: bool = True
    unsaved: str | None = None


class Comparing:
    """Serves the drawers of all open pages."""

    def __init__(self, application: Application, underway: Underway, example: Example):
        self._app, self._underway, self._example = application, underway, example

    def choose(self, turn_id: str) -> Drawer:
        """The drawer with A alone, to choose what to change. Raises LogError."""
        turn = self._app.log.turn(turn_id)
        return self._filled(single(turn), turn)

    def recall(self, comparison_id: str, turn_id: str) -> Drawer:
        """An earlier comparison of a turn. Raises LogError."""
        found = self._comparison(turn_id, comparison_id)
        a, b = self._app.log.turn(found.a), self._app.log.turn(found.b)
        return self._filled(compared(a, b, found.change, self._gain(a)), a, found)

    def vote(self, drawer: Drawer, vote: Vote | None) -> Drawer:
        """The drawer after a vote, or after one was taken back (None). Raises LogError."""
        self._app.log.vote(drawer["comparison"], vote)
        return {**drawer, "vote": vote}

    def accept(self, session: str, turn_id: str, change: Any) -> Written:
        """Takes on the writing of B; `change` is as `app.changes.to_dict` gives it.

        Raises one of EXPECTED, or Busy; then nothing has changed.
        """
        if turn_id == self._example.id:
            raise BadChange(
                "the example is stored with this program and cannot be written again; ask its "
                "question yourself, then vary the reply to it"
            )
        wanted = change_of(change)
        unsaved = self._app.turns.save_waiting()  # raises NotReady
        try:
            turn = self._app.log.turn(turn_id)
        except LogError as problem:
            raise LogError(unsaved or str(problem)) from None
        words = "with a pasted passage"
        if not isinstance(wanted, Pasted):  # which only the engine's tokenizer can read
            words = vary(turn, wanted, presets=self._app.log.presets()).change
        drawer = self._filled(single(turn), turn)
        variation = Variation(turn.conversation, turn, wanted, words, drawer["opening"])
        waits = self._underway.add(session, variation)
        return Written(self._begun(variation, "", waiting(waits)), waiting(waits))

    def write(self, session: str) -> Iterator[Written]:
        """Writes B; nothing if it has been stopped by now."""
        yield from self._underway.write(session, Variation, self._write)

    def stop(self, session: str) -> Drawer | None:
        """Stops the writing of B, if any; a drawer if it had not begun, else `write` ends it."""
        variation = self._underway.stop(session, Variation)
        if variation is None:
            return None
        return self._refused(variation, "Not written: it was stopped before it began.")

    def _write(self, variation: Variation) -> Iterator[Written]:
        try:
            yield from self._reply(variation)
        except EXPECTED as problem:
            yield Written(self._refused(variation, f"Not written: {problem}"), "", busy=False)
        except Exception as defect:
            _logger.exception("a reply to compare could not be begun")
            words = f"Not written, because of an error: {type(defect).__name__}: {defect}"
            yield Written(self._refused(variation, words), "", busy=False)

    def _reply(self, variation: Variation) -> Iterator[Written]:
        b: Turn | None = None
        finished: Finished | None = None
        seen: list[Event] = []
        text, mark = "", 0.0
        writing = status = "Writing the other reply …"
        run = self._app.turns.vary(variation.turn.id, variation.change)
        with closing(run) as events:
            for event in events:
                match event:
                    case Started():
                        b = event.turn
                    case Finished():
                        finished = event
                    case WaitEvent():
                        status, mark = waiting_for(event.ahead) or status, 0.0
                    case ChunkEvent() | TokenEvent() | DoneEvent():
                        status = writing
                        seen.append(event)
                        text += event.text if isinstance(event, TokenEvent) else ""
                if b is None or finished is not None:
                    continue
                if variation.stop.is_set():
                    break
                if time.monotonic() - mark > CLOCK:
                    yield Written(self._begun(variation, text, status), status)
                    mark = time.monotonic()
        assert b is not None  # the first event of every run
        if finished is None:  # stopped: closing the run has saved it, or put it aside to be saved
            b = replace(b, reply=Reply.of(seen), finish="stopped")
            finished = Finished(b, (), self._app.turns.save_waiting())
        yield self._end(variation, finished)

    def _end(self, variation: Variation, finished: Finished) -> Written:
        a, b = variation.turn, finished.turn
        found, unsaved = None, finished.unsaved or None
        if not finished.unsaved:
            with suppress(LogError):  # deleted meanwhile
                found = next((c for c in self._app.log.comparisons(b.id) if c.b == b.id), None)
        words = found.change if found else variation.words
        drawer = compared(a, b, words, self._gain(a))
        if found:
            with suppress(LogError):
                drawer, unsaved = self._filled(drawer, a, found), ""
        drawer = {**drawer, "opening": variation.opening}
        status = "The other reply is written: see the comparison."
        return Written(drawer, status, busy=False, unsaved=unsaved)

    def _begun(self, variation: Variation, text: str, status: str) -> Drawer:
        """The drawer while B is written."""
        drawer = single(variation.turn, heading=variation.words, text=text, parting=status)
        return {**drawer, "opening": variation.opening}

    def _refused(self, variation: Variation, problem: str) -> Drawer:
        drawer = self._filled(single(variation.turn), variation.turn)
        return {**drawer, "problem": problem, "opening": variation.opening}

    def _filled(self, drawer: Drawer, a: Turn, found: Comparison | None = None) -> Drawer:
        """A drawer, newly opened, with the comparisons of A and the presets to choose from."""
        log = self._app.log
        earlier = [c for c in log.comparisons(a.id) if c.a == a.id]
        return {
            **drawer,
            "opening": new_id(),
            "earlier": [{"id": c.id, "change": c.change} for c in earlier],
            "comparison": found.id if found else "",
            "vote": found.vote if found else None,
            "presets": [preset.name for preset in log.presets()],
        }

    def _comparison(self, turn_id: str, comparison_id: str) -> Comparison:
        for found in self._app.log.comparisons(turn_id):
            if found.id == comparison_id:
                return found
        raise LogError(f"there is no comparison {comparison_id}; it may have been deleted")

    def _gain(self, turn: Turn) -> float | None:
        """What the passages of a reply changed in its log-probability, if that was measured."""
        try:
            measured = self._app.log.attribution(turn.id)
        except LogError:
            return None
        return measured.gain if measured else None
