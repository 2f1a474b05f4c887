"""The routes that carry the engine's own protocol, for a page that is attached from elsewhere.

A page brings its own passages: where the engine searches, its stream asks the page, which answers
by a ticket. What the messages hold is described in `engine.messages`.
"""

import asyncio
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from engine import wire
from engine.messages import (
    PROTOCOL,
    About,
    Found,
    OtherModel,
    Problem,
    Reading,
    Search,
    Text,
    Wish,
    problem_of,
)
from engine.presets import PRESETS
from engine.protocol import EngineBusy, Scoring
from engine.protocol import Request as ReplyRequest
from engine.server.refusals import ascii_json
from engine.server.relay import Named, Relay, Stream, refusal
from engine.server.service import Served
from retrieval.protocol import Neighbour, Retrieve

BODY = 16 << 20  # bytes; a reply of a full context with its trials takes a few
BODY_SECONDS = 60.0  # for all of a body to arrive
MOST_STREAMS = 256  # open at once; each has a thread
SEARCH_SECONDS = 10.0  # for the page's answer, as in the engine's own search

T = TypeVar("T")
Handler = Callable[["Passthrough", Request], Awaitable[Response]]


class SearchFailed(RuntimeError):
    """The page could not search, or did not answer."""


class TooLarge(ValueError):
    """A body of more than `BODY` bytes."""


class TooSlow(ValueError):
    """A body that took longer than `BODY_SECONDS`."""


def routes(engine: Served, card: Mapping[str, Any] | None = None) -> list[Route]:
    """The routes under /retro; `card` is the model card. They check no key themselves."""
    answers = Passthrough(engine, card or {})
    return [
        Route("/retro/info", answers.about),
        Route("/retro/tokenizer", answers.tokenizer),
        Route("/retro/count", answers.count, methods=["POST"]),
        Route("/retro/generate", answers.generate, methods=["POST"]),
        Route("/retro/found/{ticket}", answers.found, methods=["POST"]),
        Route("/retro/score", answers.score, methods=["POST"]),
    ]


def answered(handle: Handler) -> Handler:
    """A wrong body is an answer, not a failure."""

    @wraps(handle)
    async def answer(self: "Passthrough", request: Request) -> Response:
        try:
            return await handle(self, request)
        except TooLarge as error:
            return refusal(Problem("too_large", str(error)), 413)
        except TooSlow as error:
            return refusal(Problem("too_slow", str(error)), 408)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except (wire.WireError, OtherModel) as error:
            return refusal(problem_of(error))

    return answer


class Passthrough:
    """The handlers of one engine."""

    def __init__(self, engine: Served, card: Mapping[str, Any]):
        self._engine, self._card = engine, card
        shape = PRESETS.get(engine.info.preset)
        self._vocab = shape.vocab if shape else engine.tokenizer.size
        self._tickets = Tickets()
        self._streams = threading.BoundedSemaphore(MOST_STREAMS)

    async def about(self, request: Request) -> Response:
        engine = self._engine
        about = About(PROTOCOL, engine.info, engine.device, self._card)
        return ascii_json(wire.to_json(about))

    async def tokenizer(self, request: Request) -> Response:
        return Response(self._engine.tokenizer.data, media_type="application/octet-stream")

    @answered
    async def count(self, request: Request) -> Response:
        text = await body_of(request, Text)
        return ascii_json({"tokens": await run_in_threadpool(self._engine.count, text.text)})

    @answered
    async def generate(self, request: Request) -> Response:
        wish = await body_of(request, Wish)
        await run_in_threadpool(self._check, wish.model, tokens_of(wish.request))
        return Stream(lambda relay: self._counted(self._write(wish, relay)))

    @answered
    async def score(self, request: Request) -> Response:
        reading = await body_of(request, Reading)
        await run_in_threadpool(self._check, reading.model, tokens_in(reading.scoring))
        return Stream(lambda relay: self._counted(self._read(reading.scoring)))

    @answered
    async def found(self, request: Request) -> Response:
        ticket = request.path_params["ticket"]
        if ticket in self._tickets:  # else the body is not worth reading
            found = await body_of(request, Found)
            self._check("", _of_neighbours(found.neighbours))
            if self._tickets.answer(ticket, found):
                return Response(status_code=204)
        message = "nobody waits for this search: it was answered, took too long, or its reply ended"
        return refusal(Problem("no_search", message), 404)

    def _check(self, model: str, tokens: Iterable[int]) -> None:
        own = self._engine.info.fingerprint
        if model not in ("", own):
            raise OtherModel(
                f"the weights {model[:12]} were asked for, but {own[:12]} "
                f"({self._engine.info.preset}) are served here"
            )
        for token in tokens:
            if not 0 <= token < self._vocab:
                raise wire.WireError(
                    "a token", str(token), f"0 to {self._vocab - 1}, this model's vocabulary"
                )

    def _counted(self, items: Iterator[Named]) -> Iterator[Named]:
        """The same items, while no more than `MOST_STREAMS` are open."""
        if not self._streams.acquire(blocking=False):
            raise EngineBusy(f"{MOST_STREAMS} streams are open; try again in a few seconds", 5.0)
        try:
            yield from items
        finally:
            self._streams.release()

    def _write(self, wish: Wish, relay: Relay) -> Iterator[Named]:
        request, retrieve = wish.request, None
        if wish.retrieve == "client":
            retrieve = self._tickets.asking(relay)
        elif wish.retrieve == "none":
            request = replace(request, retrieve=False)
        events = self._engine.generate(request, retrieve)
        try:
            for event in events:
                yield wire.name_of(event), event
        finally:
            getattr(events, "close", lambda: None)()

    def _read(self, scoring: Scoring) -> Iterator[Named]:
        for chunk in self._engine.score(scoring):
            yield "scores", chunk


class Tickets:
    """Searches that wait for a page's answer. A ticket cannot be guessed and is answered once."""

    def __init__(self) -> None:
        self._waiting: dict[str, Future[Found]] = {}

    def __contains__(self, ticket: str) -> bool:
        return ticket in self._waiting

    def answer(self, ticket: str, found: Found) -> bool:
        """Hands the answer over; whether it was still waited for."""
        future = self._waiting.pop(ticket, None)
        if future is None or not future.set_running_or_notify_cancel():
            return False
        future.set_result(found)
        return True

    def asking(self, relay: Relay) -> Retrieve:
        """A search that asks the page at the other end of a stream."""

        def retrieve(query: str, k: int) -> Sequence[Neighbour]:
            ticket, future = secrets.token_urlsafe(24), Future[Found]()
            self._waiting[ticket] = future
            relay.waits.add(future)
            try:
                if relay.closed:
                    raise SearchFailed("the page has gone")
                relay.say("search", Search(ticket, query, k))
                found = future.result(SEARCH_SECONDS)
            except NoAnswer:
                raise SearchFailed(f"no answer in {SEARCH_SECONDS:g} s") from None
            finally:
                relay.waits.discard(future)
                self._waiting.pop(ticket, None)
            if found.error:
                raise SearchFailed(found.error)
            return found.neighbours

        return retrieve


async def body_of(request: Request, kind: type[T]) -> T:
    """The value in a body. Raises WireError, TooLarge, TooSlow and ClientDisconnect."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > BODY:
                    raise TooLarge(f"the body has more than {BODY:,} bytes; ask for less at once")
    except TimeoutError:
        raise TooSlow(f"the body took longer than {BODY_SECONDS:g} s to arrive") from None
    return await run_in_threadpool(lambda: wire.read(kind, wire.loads(bytes(body))))


def tokens_of(request: ReplyRequest) -> Iterator[int]:
    """All token ids in a request."""
    for segment in request.prompt:
        yield from segment.tokens or ()
        for shown in segment.shown:
            yield from _of_neighbours(shown)
    for shown in (*request.pinned.values(), request.always):
        yield from _of_neighbours(shown)


def tokens_in(scoring: Scoring) -> Iterator[int]:
    """All token ids in a scoring."""
    yield from tokens_of(ReplyRequest(scoring.prompt, ""))
    yield from scoring.tokens
    for shown in scoring.shown:
        yield from _of_neighbours(shown)
    for trials in scoring.trials:
        for trial in trials:
            yield from _of_neighbours(trial)


def _of_neighbours(neighbours: Iterable[Neighbour]) -> Iterator[int]:
    for neighbour in neighbours:
        yield from neighbour.tokens
        yield from neighbour.continuation_tokens
