"""One chat turn, headless: render -> generate -> detect -> save. Yields events as they happen."""

import re
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

from app.failures.detectors import run_detectors
from app.failures.loops import tail_loop
from app.records import DetectorRun, Finish, Settings, Turn
from app.store.connection import LogError
from app.store.ids import new_id, now
from app.store.log import Log
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
from prompts.dialogue import STOP, exchange
from retrieval.protocol import Neighbour, Retrieve

MESSAGE_LIMIT = 20_000  # characters; far beyond any context of ours, short enough to handle at once
PROGRESS_SECONDS = 1.0
LOOP_EVERY = 8  # tokens between two looks at whether the reply runs away in a loop
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]|[\ud800-\udfff]")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")


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
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if not text:
        raise BadMessage("the message is empty; write a question first")
    return text


class Turns:
    """Runs turns with one engine and one log. `retrieve` also finds in-context passages."""

    def __init__(
        self,
        engine: Engine,
        log: Log,
        *,
        retrieve: Retrieve | None = None,
        database: Callable[[], str] = lambda: "",
    ):
        self._engine, self._log, self._retrieve, self._database = engine, log, retrieve, database
        self._waiting: dict[str, tuple[Turn, tuple[DetectorRun, ...]]] = {}
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
        BadMessage, PromptTooLong and LogError (an unknown parent) before anything is recorded.
        """
        message = clean_message(message)
        past = self._past(parent, settings.history)
        passage = self._passage(message, settings)
        request = self._request(message, passage, past, settings)
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
        events = self._engine.generate(request)
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
            runs = run_detectors(turn)
            unsaved = self._save(turn, runs)
        yield Finished(turn, runs, unsaved)

    def save_waiting(self) -> str:
        """Tries again to save turns that could not be saved; returns the first reason why one
        still cannot, or ""."""
        problems = []
        with self._waiting_lock:
            for id, (turn, runs) in list(self._waiting.items()):
                if problem := self._try(lambda t=turn, r=runs: self._log.save(t, r)):
                    problems.append(problem)
                else:
                    del self._waiting[id]
        return problems[0] if problems else ""

    def _save(self, turn: Turn, runs: tuple[DetectorRun, ...]) -> str:
        with self._waiting_lock:
            self._waiting[turn.id] = (turn, runs)
        return self.save_waiting()

    def _try(self, write: Callable[[], None]) -> str:
        """Writes to the log; a failure must not end the reply, so it is returned as text."""
        try:
            write()
        except LogError as problem:
            return str(problem)
        return ""

    def _past(self, parent: str | None, count: int) -> list[Turn]:
        """The last `count` turns up to `parent`, oldest first."""
        past: list[Turn] = []
        while parent is not None and len(past) < max(count, 1):
            past.insert(0, self._log.turn(parent))
            parent = past[0].parent
        return past[-count:] if count else []

    def _passage(self, message: str, settings: Settings) -> str:
        if not (settings.in_context and settings.retrieve and self._retrieve):
            return ""
        found = self._retrieve(message, 1)
        return whole_sentences(found[0]) if found else ""

    def _request(
        self, message: str, passage: str, past: Sequence[Turn], settings: Settings
    ) -> Request:
        """The request with as many earlier exchanges as fit beside the reply."""
        room = self._engine.info.context - settings.sampling.max_tokens
        segments = render(message, passage, past)
        while past and sum(map(self._size, segments)) > room:
            past = past[1:]
            segments = render(message, passage, past)
        return Request(
            prompt=tuple(segments),
            query=message,
            sampling=settings.sampling,
            stop=STOP,
            retrieve=settings.retrieve,
            k=settings.k,
            follow=settings.follow,
        )

    def _size(self, segment: Segment) -> int:
        """Tokens of a segment, with the most padding that it can take."""
        if segment.tokens is not None:
            return len(segment.tokens)
        return self._engine.count(segment.text) + (63 if segment.ends_chunk else 0)


def render(message: str, passage: str, past: Sequence[Turn]) -> list[Segment]:
    """The prompt: earlier exchanges with the neighbours they were written under, then this one."""
    segments: list[Segment] = []
    for turn in past:
        text = exchange(turn.message, turn.passage, first=not segments)
        segments.append(Segment(text, ends_chunk=True))
        if turn.reply.tokens:
            tokens = tuple(t.id for t in turn.reply.tokens)
            shown = tuple(c.neighbours for c in turn.reply.chunks)
            segments.append(Segment(turn.reply.text, tokens=tokens, shown=shown))
    text = exchange(message, passage, first=not segments)
    return [*segments, Segment(text, ends_chunk=True)]


def whole_sentences(neighbour: Neighbour) -> str:
    """A passage and its continuation, from the first to the last whole sentence in them."""
    text = f"{neighbour.text}{neighbour.continuation}"
    ends = [m.end() for m in _SENTENCE_END.finditer(text)]
    if not ends:
        return text.strip()
    start = 0 if neighbour.start == 0 or len(ends) < 2 else ends[0]
    return text[start : ends[-1]].strip()
