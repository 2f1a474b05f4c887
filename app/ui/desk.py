"""What happens when a person does something on the page, without the page: values in, views out.

A reply is asked for in two steps, `accept` and then `write`, because between them the page may
wait for another reply to end. `stop` works in both.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from app.compose import Application, NotReady
from app.records import Finding, Settings, Turn
from app.store.connection import LogError
from app.turn import BadMessage, Finished, Started, clean_message
from app.ui.payload import ending, inspection
from app.ui.transcript import Message, asked, messages, replied
from engine.protocol import ChunkEvent, DoneEvent, Event, PromptTooLong, Reply, TokenEvent

EXPECTED = (BadMessage, NotReady, LogError, PromptTooLong)  # each with a message for the person
SHOWN_CONVERSATIONS = 200
_CLOCK = 0.14  # seconds between two views of a reply that is being written
_logger = logging.getLogger(__name__)


class Busy(RuntimeError):
    """The page already has a reply under way."""


@dataclass(frozen=True)
class Place:
    """Where a page is: a conversation and one branch of its turns, first turn first."""

    conversation: str | None = None
    turns: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """What the page shows next. None leaves a part as it is."""

    place: Place
    messages: list[Message]
    status: str
    inspector: dict[str, Any] | None = None
    unsaved: str | None = None  # why the last turn is not in the log, "" if it is
    busy: bool = False
    give_back: str | None = None  # a message that was not answered returns to the message box


@dataclass
class Ask:
    """A reply that was asked for, after `place` and the messages `before`."""

    message: str
    settings: Settings
    place: Place
    before: list[Message]
    conversation: str | None  # known from the start of the reply on
    stop: threading.Event = field(default_factory=threading.Event)
    begun: bool = False


class Desk:
    """Serves all open pages. A page is known by its session; it has one reply under way at most."""

    def __init__(self, application: Application):
        self._app = application
        self._asks: dict[str, Ask] = {}
        self._lock = threading.Lock()

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
        ask = Ask(message, settings, Place(place.conversation, kept), before, place.conversation)
        with self._lock:
            if session in self._asks:
                raise Busy("a reply is still being written; stop it first")
            self._asks[session] = ask
        return View(ask.place, [*before, asked(message)], "Waiting for the model …", busy=True)

    def write(self, session: str) -> Iterator[View]:
        """Writes the reply that was accepted; nothing if it has been stopped by now."""
        with self._lock:
            ask = self._asks.get(session)
            if ask is None or ask.begun:
                return
            ask.begun = True
        try:
            for view in self._write(ask):
                if not view.busy:
                    self._forget(session)  # before the page can send again
                yield view
        finally:
            self._forget(session, ask)

    def stop(self, session: str) -> View | None:
        """Stops the reply under way, if any; a view if it had not begun, else `write` ends it."""
        with self._lock:
            ask = self._asks.get(session)
            if ask is None:
                return None
            ask.stop.set()
            if ask.begun:
                return None
            del self._asks[session]
        return View(ask.place, ask.before, "Not sent.", give_back=ask.message)

    def busy(self, session: str) -> bool:
        """Whether the page has a reply under way."""
        with self._lock:
            return session in self._asks

    def leave(self, session: str) -> None:
        """The page was closed before its reply began; one that had begun ends by itself."""
        with self._lock:
            if session in self._asks and not self._asks[session].begun:
                del self._asks[session]

    def open(self, conversation: str | None, turn: str | None = None) -> View:
        """A conversation through one of its turns, or its newest; None is an empty page.

        Raises LogError where there is no such conversation or turn.
        """
        if conversation is None:
            return View(Place(), [], "", inspector={"turns": [], "shown": None}, unsaved="")
        branch = self._app.log.turns(conversation, through=turn)
        if not branch or branch[-1].conversation != conversation:
            raise LogError(f"there is no conversation {conversation}; it may have been deleted")
        place = Place(conversation, tuple(t.id for t in branch))
        shown = next((t for t in branch if t.id == turn), branch[-1])
        findings = self._app.log.findings(shown.id)
        return View(
            place,
            messages(branch),
            self._status(branch[-1]),
            self._inspector(shown, place, findings),
        )

    def inspect(self, turn: str) -> dict[str, Any]:
        """The inspector's payload for a turn in the log. Raises LogError."""
        log = self._app.log
        return inspection(log.turn(turn), log.findings(turn), log.siblings(turn))

    def message(self, place: Place, index: int) -> str:
        """The message of a turn. Raises LogError."""
        return self._app.log.turn(place.turns[index]).message

    def delete(self, conversation: str) -> None:
        """Deletes a conversation for good. Raises LogError, or Busy while it is written to."""
        with self._lock:
            if any(ask.conversation == conversation for ask in self._asks.values()):
                raise Busy("a reply in this conversation is still being written; stop it first")
        self._app.log.delete_conversation(conversation)

    def conversations(self, search: str, place: Place) -> dict[str, Any]:
        """The list of conversations, newest first. Raises LogError."""
        found = self._app.log.conversations(search)
        shown = found[:SHOWN_CONVERSATIONS]
        names = ("id", "title", "updated", "turns")
        return {
            "items": [{name: getattr(c, name) for name in names} for c in shown],
            "left": len(found) - len(shown),
            "search": search,
            "selected": place.conversation,
        }

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
                    case ChunkEvent():
                        seen.append(event)
                        fresh = True
                    case TokenEvent() | DoneEvent():
                        seen.append(event)
                        text += event.text if isinstance(event, TokenEvent) else ""
                if turn is None or finished is not None:
                    continue
                if ask.stop.is_set():
                    break
                if fresh or time.monotonic() - mark > _CLOCK:
                    shown = [*above, replied(text)] if text else above
                    inspector = None
                    if fresh:
                        partial = replace(turn, reply=Reply.of(seen))
                        inspector = self._inspector(partial, place)
                    yield View(place, shown, "Writing …", inspector, busy=True)
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
        findings = [finding for run in finished.runs for finding in run.findings]
        shown = [*above, replied(turn.reply.text)]
        inspector = self._inspector(turn, place, findings)
        return View(place, shown, self._status(turn), inspector, finished.unsaved)

    def _inspector(
        self, turn: Turn, place: Place, findings: tuple[Finding, ...] | list[Finding] = ()
    ) -> dict[str, Any]:
        try:
            versions = self._app.log.siblings(turn.id)
        except LogError:
            versions = ()
        return {
            "conversation": place.conversation,
            "turns": list(place.turns),
            "shown": inspection(turn, findings, versions),
        }

    @staticmethod
    def _status(turn: Turn) -> str:
        words = ending(turn)
        return f"Reply {words}." if words == "complete" else f"{words[0].upper()}{words[1:]}."

    def _forget(self, session: str, ask: Ask | None = None) -> None:
        with self._lock:
            if ask is None or self._asks.get(session) is ask:
                self._asks.pop(session, None)
