"""One chat turn, headless: render -> generate -> detect -> save. Yields events as they happen."""

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from app.changes import Change
from app.failures.detectors import run_detectors
from app.failures.loops import tail_loop
from app.prompt import (
    LaidOut,
    cleaned,
    fit,
    laid_out,
    past_of,
    prompt_of,
    whole_sentences,
)
from app.records import DetectorRun, Finish, Settings, Turn
from app.replay import Replay, check_replayable, failed_in, replay, shown_in
from app.request import Draw, drawn, request_of
from app.store.connection import LogError
from app.store.ids import new_id, now
from app.store.log import Log
from app.store.redaction import redacted
from app.variants import vary
from engine.protocol import (
    ChunkEvent,
    DoneEvent,
    Engine,
    Event,
    Reply,
    Request,
    Segment,
    TokenEvent,
)
from retrieval.protocol import EncodeOffsets, Neighbour, Retrieve

MESSAGE_LIMIT = 20_000  # characters; far beyond any context of ours, short enough to handle at once
PROGRESS_SECONDS = 1.0
LOOKED_AT = 4  # passages searched for each sentence that may be copied from one not shown
LOOP_EVERY = 8  # tokens between two looks at whether the reply runs away in a loop


class BadMessage(ValueError):
    """A message that cannot be sent; says what is wrong with it."""


@dataclass(frozen=True)
class Started:
    """The turn is on record and generation begins."""

    turn: Turn


@dataclass(frozen=True)
class Finished:
    """The finished turn. `unsaved` says why it is not in the log yet, "" if it is."""

    turn: Turn
    runs: tuple[DetectorRun, ...]
    unsaved: str = ""


TurnEvent = Started | Event | Finished


def clean_message(text: str) -> str:
    """A message without control characters; raises BadMessage if nothing or too much is left."""
    if len(text) > MESSAGE_LIMIT:
        raise BadMessage(
            f"the message has {len(text):,} characters; the limit is {MESSAGE_LIMIT:,}: shorten "
            "it, or add a long text to the library instead, with: python app.py ingest FILE"
        )
    text = cleaned(text)
    if not text:
        raise BadMessage("the message is empty; write a question first")
    return text


@dataclass(frozen=True)
class Against:
    """What a reply is compared with: another turn, and the change from that in words."""

    turn: str
    change: str


class Turns:
    """Runs turns with one engine and one log.

    `retrieve` also finds the passages for prompts, `draw` those of `Settings.random`, and
    `encode_offsets` is the tokenizer's, for pasted passages.
    """

    def __init__(
        self,
        engine: Engine,
        log: Log,
        *,
        retrieve: Retrieve | None = None,
        database: Callable[[], str] = lambda: "",
        draw: Draw | None = None,
        encode_offsets: EncodeOffsets | None = None,
    ):
        self._engine, self._log, self._retrieve, self._database = engine, log, retrieve, database
        self._draw, self._encode_offsets = draw, encode_offsets
        self._waiting: dict[str, Callable[[], object]] = {}  # writes to the log, in their order
        self._waiting_lock = threading.Lock()

    def run(
        self,
        message: str,
        settings: Settings,
        *,
        conversation: str | None = None,
        parent: str | None = None,
    ) -> Generator[TurnEvent, None, None]:
        """Writes the reply to a message: Started, the engine's events, Finished.

        Closing the iterator stops the reply; what there is of it is saved as "stopped". Raises
        BadMessage, BadTemplate, PromptTooLong, NoPassages and LogError (an unknown parent) before
        anything is recorded.
        """
        yield from self._write(message, settings, conversation, parent)

    def vary(self, turn_id: str, change: Change) -> Generator[TurnEvent, None, None]:
        """Writes another reply to a logged turn's message, with one thing changed, as its sibling.

        As `run`; the log has the comparison of the two when Finished comes. Raises BadChange too.
        """
        turn = self._log.turn(turn_id)
        variant = vary(
            turn, change, encode_offsets=self._encode_offsets, presets=self._log.presets()
        )
        words = variant.change
        if turn.model.fingerprint != self._engine.info.fingerprint:
            words += ", and with other weights"
        if turn.settings.retrieve and turn.database != self._database():
            words += ", and from passages that have changed since"
        yield from self._write(
            turn.message, variant.settings, turn.conversation, turn.parent,
            passage=variant.passage, against=Against(turn.id, words),
        )  # fmt: skip

    def replay(self, turn_id: str) -> Generator[Event | Replay, None, None]:
        """Writes a logged turn again, compares it, and records nothing; see `app.replay`.

        The passages are searched again where they are the same as then, else the logged ones are
        shown. Raises NotReplayable, LogError, and what `run` raises.
        """
        turn = self._log.turn(turn_id)
        check_replayable(turn, self._engine.info, redacted(self._log, turn))
        pinned = turn.settings.retrieve and turn.database != self._database()
        shown = shown_in(turn) if pinned else self._drawn(turn.settings) | failed_in(turn)
        yield from replay(turn, self._request(turn, shown), self._engine, pinned=pinned)

    def prompt(
        self, message: str, settings: Settings, parent: str | None = None
    ) -> tuple[Segment, ...]:
        """What the model would read to reply to a message. Raises as `run`, but PromptTooLong."""
        message = clean_message(message)
        past = past_of(self._log, parent, settings.history)
        passage = self._passage(message, settings)
        return fit(message, passage, past, settings, self._engine.info, self._engine.count)

    def laid_out(self, message: str, settings: Settings, parent: str | None = None) -> LaidOut:
        """The pieces of `prompt` with their tokens, as they lie in the context."""
        segments = self.prompt(message, settings, parent)
        return laid_out(segments, self._engine.info, self._engine.count)

    def _write(
        self,
        message: str,
        settings: Settings,
        conversation: str | None,
        parent: str | None,
        passage: str | None = None,
        against: Against | None = None,
    ) -> Generator[TurnEvent, None, None]:
        """Runs a turn. `passage` is the one for the prompt, None to choose it."""
        message = clean_message(message)
        if passage is None:
            passage = self._passage(message, settings)
        turn = Turn(
            id=new_id(),
            conversation=conversation or new_id(),
            parent=parent,
            message=message,
            reply=Reply("", (), ()),
            settings=settings,
            model=self._engine.info,
            database=self._database(),
            finish="running",
            created=now(),
            passage=passage,
        )
        events = self._engine.generate(self._request(turn, self._drawn(settings)))
        first = next(events)  # raises PromptTooLong before anything is recorded
        logged = self._try(lambda: self._log.start(turn)) == ""
        seen: list[Event] = [first]
        ids: list[int] = []
        finish: Finish = "stopped"
        error = ""
        try:
            yield Started(turn)
            yield first
            mark = time.monotonic()
            for event in events:
                seen.append(event)
                yield event
                if isinstance(event, DoneEvent):
                    finish = event.reason
                elif isinstance(event, TokenEvent):
                    ids.append(event.id)
                    if len(ids) % LOOP_EVERY == 0 and tail_loop(ids):
                        finish = "loop"
                        break
                late = time.monotonic() - mark > PROGRESS_SECONDS
                if logged and (late or isinstance(event, ChunkEvent)):
                    self._try(lambda: self._log.progress(turn.id, Reply.of(seen)))
                    mark = time.monotonic()
        except Exception as problem:
            finish, error = "error", f"{type(problem).__name__}: {problem}"
        finally:
            getattr(events, "close", lambda: None)()
            turn = replace(turn, reply=Reply.of(seen), finish=finish, error=error)
            runs = run_detectors(turn, lookup=self._lookup if self._retrieve else None)
            unsaved = self._save(turn, runs, against)
        yield Finished(turn, runs, unsaved)

    def save_waiting(self) -> str:
        """Tries again to save turns that could not be saved; returns the first reason why one
        still cannot, or ""."""
        problems = []
        with self._waiting_lock:
            for key, write in list(self._waiting.items()):
                if problem := self._try(write):
                    problems.append(problem)
                else:
                    del self._waiting[key]
        return problems[0] if problems else ""

    def _save(self, turn: Turn, runs: tuple[DetectorRun, ...], against: Against | None) -> str:
        with self._waiting_lock:
            self._waiting[turn.id] = lambda: self._log.save(turn, runs)
            if against is not None:
                a, change = against.turn, against.change
                self._waiting[f"{a} {turn.id}"] = lambda: self._log.compare(a, turn.id, change)
        return self.save_waiting()

    def _try(self, write: Callable[[], object]) -> str:
        """Writes to the log; a failure must not end the reply, so it is returned as text."""
        try:
            write()
        except LogError as problem:
            return str(problem)
        return ""

    def _lookup(self, text: str) -> Sequence[Neighbour]:
        """Passages of the database that a sentence may have been copied from."""
        assert self._retrieve is not None  # else the detector is told so
        return self._retrieve(text, LOOKED_AT)

    def _passage(self, message: str, settings: Settings) -> str:
        """The passage for the prompt: the first of those that are shown beside it."""
        if not (settings.in_context and settings.retrieve):
            return ""
        if settings.pinned or settings.random:
            found = settings.pinned or self._drawn(settings)[0]
        else:
            best = self._retrieve(message, 1) if self._retrieve else ()
            found = [n for n in best if n.chunk_id not in settings.without]
        return whole_sentences(found[0]) if found else ""

    def _drawn(self, settings: Settings) -> dict[int, tuple[Neighbour, ...]]:
        return drawn(settings, self._engine.info, self._draw)

    def _request(self, turn: Turn, shown: Mapping[int, tuple[Neighbour, ...]]) -> Request:
        return request_of(turn, prompt_of(self._log, turn, self._engine.count), shown)
