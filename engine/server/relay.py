"""A blocking iterator as a stream of server-sent events that ends when the client goes away."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine import sse
from engine.messages import PING_SECONDS, STATUS, Problem, problem_of
from engine.server.refusals import Refusal
from engine.wire import dumps

Named = tuple[str, Any]  # the name of a message and a value for `engine.wire`
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_logger = logging.getLogger(__name__)


class Relay:
    """Runs an iterator in a thread of its own; what it yields is read by the event loop.

    Once closed, the iterator is closed at its next item, and no future in `waits` is awaited.
    """

    def __init__(self, make: Callable[["Relay"], Iterator[Named]]):
        self._make, self._loop = make, asyncio.get_running_loop()
        self._items: asyncio.Queue[bytes | Problem | None] = asyncio.Queue()
        self._closed = threading.Event()
        self.waits: set[Future[Any]] = set()
        threading.Thread(target=self._run, name="stream", daemon=True).start()

    def say(self, name: str, value: Any) -> None:
        """Puts a message into the stream, from any thread."""
        self._put(sse.message(name, dumps(value)))

    async def next(self) -> bytes | Problem | None:
        """The next message, a ping where there is none yet, how it failed, or None at the end."""
        try:
            return await asyncio.wait_for(self._items.get(), PING_SECONDS)
        except TimeoutError:
            return sse.PING

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        self._closed.set()
        for future in tuple(self.waits):
            future.cancel()

    def _put(self, item: bytes | Problem | None) -> None:
        with suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    def _run(self) -> None:
        try:
            items = self._make(self)
            try:
                for name, value in items:
                    if self.closed:
                        return
                    self.say(name, value)
            finally:
                getattr(items, "close", lambda: None)()
            self.say("end", None)
            self._put(None)
        except Exception as error:
            problem = problem_of(error)
            if problem.code == "failed" and not self.closed:
                _logger.exception("a stream failed")
            self._put(problem)


class Stream(Response):
    """What an iterator yields, as it comes. Where it fails before its first item it is no stream
    but an error with a status of its own."""

    def __init__(self, make: Callable[[Relay], Iterator[Named]]):
        self._make, self.background = make, None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        relay = Relay(self._make)
        work = asyncio.create_task(_pass_on(relay, scope, receive, send))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            relay.close()
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
        if not work.cancelled() and (problem := work.exception()):
            raise problem


async def _pass_on(relay: Relay, scope: Scope, receive: Receive, send: Send) -> None:
    item = await relay.next()
    if isinstance(item, Problem):
        await refusal(item)(scope, receive, send)
        return
    start = Response(headers=_HEADERS, media_type="text/event-stream")
    headers = [pair for pair in start.raw_headers if pair[0] != b"content-length"]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while item is not None:
        ended = isinstance(item, Problem)
        body = sse.message("error", dumps(item)) if isinstance(item, Problem) else item
        await send({"type": "http.response.body", "body": body, "more_body": True})
        item = None if ended else await relay.next()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def refusal(problem: Problem, status: int = 0) -> Response:
    """The answer to a request that has come to nothing."""
    status = status or STATUS.get(problem.code, 500)
    wait = problem.retry_after if status == 429 else None
    return Refusal(status, problem.message, code=problem.code, retry_after=wait).response()
