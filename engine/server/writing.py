"""Choices as they are written: the engine's events, with what a client is told of each."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from engine.protocol import ChunkEvent, DoneEvent, Event, TokenEvent, WaitEvent
from engine.server.echoing import Scored, score_prompt
from engine.server.planning import Choice, Plan
from engine.server.pump import Ended, Places, Pump
from engine.server.refusals import Refusal
from engine.server.service import Limits, Service
from engine.tokenizer import Tokenizer


@dataclass(frozen=True)
class TimeUp:
    """The request's time is over; what is written so far is all there is."""


Item = Event | Scored | TimeUp


@dataclass
class Written:
    """A choice so far: its events in their order."""

    choice: Choice
    scored: Scored | None = None
    tokens: list[TokenEvent] = field(default_factory=list)
    chunks: list[ChunkEvent] = field(default_factory=list)
    done: DoneEvent | TimeUp | None = None
    ahead: int = 0  # replies that had to end before it began

    def take(self, item: Item) -> None:
        match item:
            case WaitEvent():
                self.ahead = max(self.ahead, item.ahead)
            case Scored():
                self.scored = item
            case TokenEvent():
                self.tokens.append(item)
            case ChunkEvent():
                self.chunks.append(item)
            case DoneEvent() | TimeUp():
                self.done = item

    @property
    def text(self) -> str:
        """What is written, without the prompt."""
        return "".join(token.text for token in self.tokens)

    @property
    def finish(self) -> str:
        """OpenAI's word for how it ended."""
        stopped = isinstance(self.done, DoneEvent) and self.done.reason == "stop"
        return "stop" if stopped else "length"

    @property
    def why(self) -> str:
        """Our word: stop, length, context, or time."""
        if isinstance(self.done, DoneEvent):
            return self.done.reason
        return "time" if isinstance(self.done, TimeUp) else "length"


def write(choice: Choice, service: Service, whole: bool) -> Iterator[Item]:
    """Writes a choice. With `whole` the first space of a text stays, which chat replies drop."""
    if choice.echo is not None:
        yield score_prompt(choice.echo, choice.request, service)
    if not choice.writes:
        return
    events = service.engine.generate(choice.request)
    try:
        yield from _with_first_space(events, service.engine.tokenizer) if whole else events
    finally:
        getattr(events, "close", lambda: None)()


def _with_first_space(events: Iterator[Event], tokenizer: Tokenizer) -> Iterator[Event]:
    first = True
    for event in events:
        if first and isinstance(event, TokenEvent) and (raw := tokenizer.decode_bytes([event.id])):
            first = False
            if raw.startswith(b" "):
                event = replace(event, text=f" {event.text}")
        yield event


async def written(
    plan: Plan, service: Service, limits: Limits, places: Places, *, whole: bool
) -> AsyncGenerator[tuple[int, Item], None]:
    """Writes the choices of a plan; yields (index of the choice, what came).

    Each choice ends with a DoneEvent, with TimeUp, or after its Scored where nothing is to be
    written. Closing the iterator closes the engine's. Raises Refusal where too much is under way
    or nothing came in time, and what the engine raises.
    """
    if not places.take():
        raise Refusal(
            429, f"{places.count} requests are under way; try again in a few seconds",
            code="engine_busy", retry_after=limits.retry_seconds,
        )  # fmt: skip
    makes = [partial(write, choice, service, whole) for choice in plan.choices]
    pump: Pump[Item] = Pump(makes, limits.parallel, places.give_back)
    try:
        async for item in _timed(pump, len(makes), limits):
            yield item
    finally:
        pump.close()


async def _timed(
    pump: Pump[Item], count: int, limits: Limits
) -> AsyncGenerator[tuple[int, Item], None]:
    start = time.monotonic()
    open_, begun = set(range(count)), False
    while open_:
        seconds = limits.seconds if begun else min(limits.first_seconds, limits.seconds)
        try:
            index, item = await asyncio.wait_for(
                pump.next(), max(0.0, start + seconds - time.monotonic())
            )
        except TimeoutError:
            if not begun:
                raise Refusal(
                    429, f"nothing was written within {seconds:g} s; ask for less, or try again",
                    code="timeout", retry_after=limits.retry_seconds,
                ) from None  # fmt: skip
            for index in sorted(open_):
                yield index, TimeUp()
            return
        if isinstance(item, Exception):
            raise item
        if isinstance(item, Ended):
            open_.discard(index)
            continue
        begun |= isinstance(item, TokenEvent | Scored | DoneEvent)
        yield index, item
