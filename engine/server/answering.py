"""Plans as responses: whole, or as server-sent events. A client that goes away ends the writing."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.protocol import TokenEvent, WaitEvent
from engine.server.metrics import Meter
from engine.server.planning import Plan, usage
from engine.server.pump import Places
from engine.server.refusals import Refusal, ascii_json, dumped, refusal_of
from engine.server.service import Limits, Service
from engine.server.shapes import Shape
from engine.server.writing import Item, Written, written

_STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
_logger = logging.getLogger(__name__)


class Answer(Response):
    """A plan as it is carried out. `stream` for server-sent events, with the token counts at their
    end if `count`."""

    def __init__(
        self, plan: Plan, shape: Shape, service: Service, limits: Limits, places: Places,
        meter: Meter, *, stream: bool = False, count: bool = False,
    ):  # fmt: skip
        self.background = None
        self._plan, self._shape, self._service = plan, shape, service
        self._limits, self._places, self._meter = limits, places, meter
        self._stream, self._count = stream, count
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.create_task(self._work(scope, receive, send))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
        if not work.cancelled() and (problem := work.exception()):
            raise problem

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        choices = [Written(choice) for choice in self._plan.choices]
        envelope = {
            "id": self._shape.prefix + secrets.token_hex(12),
            "object": self._shape.piece_kind if self._stream else self._shape.kind,
            "created": int(time.time()),
            "model": self._service.model,
            "system_fingerprint": self._service.engine.info.fingerprint[:16],
        }
        try:
            async with aclosing(self._items(choices)) as items:
                if self._stream:
                    await self._send_pieces(envelope, choices, items, send)
                else:
                    async for _ in items:
                        pass
                    whole = [self._shape.whole(choice) for choice in choices]
                    body = envelope | {"choices": whole, "usage": self._usage(choices)}
                    await ascii_json(body)(scope, receive, send)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                _logger.exception("a reply failed")
                refusal = Refusal(500, f"the engine failed: {error}", code="engine_failed")
            if self._begun:
                await _send_piece(refusal.body, send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await refusal.response()(scope, receive, send)
        finally:
            tokens = sum(len(choice.tokens) for choice in choices)
            self._meter.written(self._plan.prompt_tokens, tokens)

    async def _items(self, choices: list[Written]) -> AsyncGenerator[tuple[Written, Item], None]:
        start, first = time.monotonic(), True
        source = written(
            self._plan, self._service, self._limits, self._places,
            whole=self._shape.kind == "text_completion",
        )  # fmt: skip
        async with aclosing(source) as items:
            async for index, item in items:
                if first and isinstance(item, TokenEvent):
                    first = False
                    self._meter.first_token(time.monotonic() - start)
                choices[index].take(item)
                yield choices[index], item

    async def _send_pieces(
        self, envelope: dict[str, Any], choices: list[Written],
        items: AsyncIterator[tuple[Written, Item]], send: Send,
    ) -> None:  # fmt: skip
        greeted: set[int] = set()
        nothing = {"usage": None} if self._count else {}
        async for choice, item in items:
            if isinstance(item, WaitEvent):
                continue  # who waits too long is refused, with a status of its own
            piece = self._shape.piece(choice, item)
            if not self._begun:
                self._begun = True
                await send(
                    {"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS}
                )
            if choice.choice.index not in greeted and "delta" in piece:
                piece["delta"] = {"role": "assistant", "content": ""} | piece["delta"]
            greeted.add(choice.choice.index)
            await _send_piece(envelope | {"choices": [piece]} | nothing, send)
        if self._count:
            await _send_piece(envelope | {"choices": [], "usage": self._usage(choices)}, send)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _usage(self, choices: list[Written]) -> dict[str, int]:
        return usage(self._plan, {c.choice.index: len(c.tokens) for c in choices})


async def _send_piece(content: Any, send: Send) -> None:
    body = f"data: {dumped(content)}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
