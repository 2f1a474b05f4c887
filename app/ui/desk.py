"""What happens when a person does something on the page, without the page: values in, views out.

Here a reply is asked for and a conversation opened; `shelf` keeps the conversations, `comparing`
writes replies to compare with another.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from app.changes import BadChange
from app.compose import Application, NotReady
from app.records import DetectorRun, Settings, Turn
from app.request import NoPassages
from app.store.connection import LogError
from app.turn import BadMessage, Finished, Started, clean_message
from app.ui.branches import NO_FORKS, Place, branch_of, forks
from app.ui.example import Example
from app.ui.payload import ending
from app.ui.reading import payload_of
from app.ui.transcript import Message, asked, messages, replied
from app.ui.underway import Task, Underway
from engine.messages import RemoteError
from engine.protocol import (
    ChunkEvent,
    DoneEvent,
    EngineBusy,
    Event,
    PromptTooLong,
    Reply,
    TokenEvent,
    WaitEvent,
)
from prompts.templates import BadTemplate

# Each has a message for the person.
EXPECTED = (
    BadChange, BadMessage, BadTemplate, EngineBusy, LogError, NoPassages, NotReady, PromptTooLong,
    RemoteError,
)  # fmt: skip
CLOCK = 0.14  # seconds between two views of a reply that is being written
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """What the page shows next. None leaves a part as it is."""

    place: Place
    messages: list[Message]
    status: str
    inspector: dict[str, Any] | None = None
    branches: dict[str, Any] | None = None  # see `branches.forks`
    unsaved: str | None = None  # why the last turn is not in the log, "" if it is
    busy: bool = False
    give_back: str | None = None  # a message that was not answered returns to the message box


@dataclass
class Ask(Task):
    """A reply to a message, after `place` and the messages `before`."""

    message: str
    settings: Settings
    place: Place
    before: list[Message]


class Desk:
    """Serves all open pages. A page is known by its session; it has one reply under way at most."""

    def __init__(self, application: Application, underway: Underway, example: Example):
        self._app, self._underway, self._example = application, underway, example

    def accept(
        self, session: str, message: str, settings: Settings, place: Place, index: int | None = None
    ) -> View:
        """Takes a message that follows the turns of `place` before `index`, all of them by default.

        Raises one of EXPECTED, or Busy; then nothing has changed.
        """
        message = clean_message(message)
        unsaved = self._app.turns.save_waiting()  # raises NotReady; tries what could not be saved
        kept = place.turns if index is None else place.turns[:index]
        try:
            before = messages([self._app.log.turn(turn) for turn in kept])
        except LogError as problem:
            raise LogError(unsaved or str(problem)) from None
        at = Place(place.conversation, kept)
        branches = forks(self._app.log, at)
        waits = self._underway.add(session, Ask(place.conversation, message, settings, at, before))
        shown = [*before, asked(message)]
        return View(at, shown, waiting(waits), branches=branches, busy=True)

    def write(self, session: str) -> Iterator[View]:
        """Writes the reply that was accepted; nothing if it has been stopped by now."""
        yield from self._underway.write(session, Ask, self._write)

    def stop(self, session: str) -> View | None:
        """Stops the reply under way, if any; a view if it had not begun, else `write` ends it."""
        ask = self._underway.stop(session, Ask)
        return ask and View(ask.place, ask.before, "Not sent.", give_back=ask.message)

    def open(self, conversation: str | None, turn: str | None = None) -> View:
        """The branch through a turn, or the newest of a conversation; without either an empty page.

        Raises LogError where there is no such conversation or turn.
        """
        if turn is not None and turn == self._example.id:
            turn = conversation = None
        if turn is not None:
            found = self._app.log.turn(turn).conversation
            if conversation not in (None, found):
                raise LogError(f"there is no turn {turn} in conversation {conversation}")
            conversation = found
        if conversation is None:
            return View(Place(), [], "", self._example.inspector, NO_FORKS, unsaved="")
        branch = branch_of(self._app.log, conversation, turn)
        if not branch:
            raise LogError(f"there is no conversation {conversation}; it may have been deleted")
        place = Place(conversation, tuple(t.id for t in branch))
        shown = next((t for t in branch if t.id == turn), branch[-1])
        return View(
            place,
            messages(branch),
            self._status(branch[-1]),
            self._inspector(shown, place),
            forks(self._app.log, place),
        )

    def forks(self, place: Place) -> dict[str, Any]:
        """The other versions of a branch's replies. Raises LogError."""
        return forks(self._app.log, place)

    def turn(self, id: str) -> Turn:
        """A turn in the log, or the stored example. Raises LogError."""
        example = self._example.turn
        return example if example and example.id == id else self._app.log.turn(id)

    def message(self, place: Place, index: int) -> str:
        """The message of a turn. Raises LogError."""
        return self._app.log.turn(place.turns[index]).message

    def _write(self, ask: Ask) -> Iterator[View]:
        try:
            yield from self._reply(ask)
        except EXPECTED as problem:
            yield View(ask.place, ask.before, f"Not sent: {problem}", give_back=ask.message)
        except Exception as defect:
            _logger.exception("a reply could not be begun")
            status = f"Not sent, because of an error: {type(defect).__name__}: {defect}"
            yield View(ask.place, ask.before, status, give_back=ask.message)

    def _reply(self, ask: Ask) -> Iterator[View]:
        turn: Turn | None = None
        finished: Finished | None = None
        seen: list[Event] = []
        place, above, text = ask.place, [*ask.before, asked(ask.message)], ""
        mark, fresh = 0.0, False  # when the last view was shown; whether a chunk began since
        status = "Writing …"
        parent = place.turns[-1] if place.turns else None
        run = self._app.turns.run(
            ask.message, ask.settings, conversation=place.conversation, parent=parent
        )
        with closing(run) as events:  # type: ignore[type-var]  # a generator, declared an iterator
            for event in events:
                match event:
                    case Started():
                        turn = event.turn
                        place = Place(turn.conversation, (*place.turns, turn.id))
                        ask.conversation = turn.conversation
                    case Finished():
                        finished = event
                    case WaitEvent():
                        status, mark = waiting_for(event.ahead) or status, 0.0
                    case ChunkEvent():
                        seen.append(event)
                        status, fresh = "Writing …", True
                    case TokenEvent() | DoneEvent():
                        seen.append(event)
                        text += event.text if isinstance(event, TokenEvent) else ""
                if turn is None or finished is not None:
                    continue
                if ask.stop.is_set():
                    break
                if fresh or time.monotonic() - mark > CLOCK:
                    shown = [*above, replied(text)] if text else above
                    inspector = None
                    if fresh:
                        partial = replace(turn, reply=Reply.of(seen))
                        inspector = self._inspector(partial, place)
                    yield View(place, shown, status, inspector, busy=True)
                    mark, fresh = time.monotonic(), False
        assert turn is not None  # the first event of every run
        if finished is None:  # stopped: closing the run has saved it, or put it aside to be saved
            turn = replace(turn, reply=Reply.of(seen), finish="stopped")
            finished = Finished(turn, (), self._app.turns.save_waiting())
        yield self._end(finished, place, above)

    def _end(self, finished: Finished, place: Place, above: list[Message]) -> View:
        """The finished turn: from the log, or from memory if it could not be saved."""
        turn = finished.turn
        if not finished.unsaved:
            try:
                return replace(self.open(turn.conversation, turn.id), unsaved="")
            except LogError as problem:  # it was deleted meanwhile, or cannot be read back
                finished = replace(finished, unsaved=str(problem))
        shown = [*above, replied(turn.reply.text)]
        inspector = self._inspector(turn, place, finished.runs)
        return View(place, shown, self._status(turn), inspector, unsaved=finished.unsaved)

    def _inspector(
        self, turn: Turn, place: Place, runs: Sequence[DetectorRun] = ()
    ) -> dict[str, Any]:
        return {
            "conversation": place.conversation,
            "turns": list(place.turns),
            "shown": payload_of(self._app.log, turn, runs),
        }

    @staticmethod
    def _status(turn: Turn) -> str:
        words = ending(turn)
        return f"Reply {words}." if words == "complete" else f"{words[0].upper()}{words[1:]}."


def waiting_for(ahead: int) -> str:
    """What is said of a reply that waits in the engine's queue; nothing of one that does not."""
    replies = "1 reply" if ahead == 1 else f"{ahead} replies"
    return f"Waiting for {replies} before this one …" if ahead else ""


def waiting(for_another: bool) -> str:
    """What is said of a reply that has not begun."""
    if for_another:
        return "Waiting for the reply that another page is having written to end …"
    return "Waiting for the model …"
