"""An engine server on a free port of this machine, and engines to put behind it."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from engine.protocol import (
    ChunkEvent,
    DoneEvent,
    Event,
    Info,
    Request,
    Scoring,
    Segment,
    TokenEvent,
)
from engine.server.application import build
from engine.server.keys import Keys
from engine.server.service import Message, Rendered, Served, Service
from engine.tokenizer import Tokenizer
from retrieval.protocol import Retrieve

KEY = "correct-horse"
COUNT = Request((Segment("Count."),), "count")


class Loopback:
    """Serves an ASGI application until it is stopped."""

    def __init__(self, app: ASGIApp, port: int = 0):
        config = uvicorn.Config(
            app, "127.0.0.1", port, log_level="critical", lifespan="off", ws="none",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.005)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """As if it crashed: connections are cut."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)


def serve(engine: Served, card: Mapping[str, Any] | None = None, port: int = 0) -> Loopback:
    """Serves an engine to who has `KEY`."""
    service = Service(engine, render=_none, card=card or {})
    return Loopback(build(service, Keys.of([KEY])), port)


def _none(messages: Sequence[Message], passage: str) -> Rendered:
    raise NotImplementedError("no conversation is rendered for a page")


class Counting:
    """Counts up to 1000, a number every few milliseconds, and remembers how it was treated."""

    device = "an abacus"

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.info = Info("counting", 0, "c" * 64, tokenizer.fingerprint, 2048, "It counts.")
        self.fails: dict[int, Exception] = {}  # by the number that it says instead
        self.said, self.running, self.ended = 0, 0, threading.Event()

    def count(self, text: str) -> int:
        return len(self.tokenizer.encode(text))

    def generate(self, request: Request, retrieve: Retrieve | None = None) -> Iterator[Event]:
        self.running += 1
        try:
            for number in range(1000):
                if number in self.fails:
                    raise self.fails[number]
                if number == 0:
                    found = tuple(retrieve(request.query, request.k)) if retrieve else ()
                    yield ChunkEvent(0, request.query, found, 0.0)
                self.said = number
                yield TokenEvent(number, f" {number}", -1.0, (), 0)
                time.sleep(0.002)
            yield DoneEvent("stop", 1, {})
        finally:
            self.running -= 1
            self.ended.set()

    def score(self, scoring: Scoring):
        raise self.fails[0]


@dataclass
class Canned:
    """Answers each connection with given bytes, and keeps the last open so many seconds after."""

    answers: Sequence[bytes]
    open_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked: list[bytes] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for number, answer in enumerate(self.answers, 1):
            connection, _ = self._socket.accept()
            with connection:
                self.asked.append(connection.recv(1 << 20))
                connection.sendall(answer)
                if number == len(self.answers):
                    time.sleep(self.open_seconds)
        self._socket.close()


def plain(value, status: str = "200 OK", *headers: str) -> bytes:
    """A whole answer of HTTP with a JSON body."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def stream(*messages: bytes) -> bytes:
    """The beginning of a stream, which ends when the connection does."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return head + b"".join(b"%x\r\n%s\r\n" % (len(m), m) for m in messages)
