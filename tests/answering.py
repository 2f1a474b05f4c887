"""An engine server for tests: a fake engine whose tokens follow from what it reads, and clients."""

import hashlib
import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.testclient import TestClient

from engine.protocol import (
    ChunkEvent,
    ChunkScores,
    DoneEvent,
    EngineBusy,
    Event,
    Info,
    PromptTooLong,
    Request,
    Score,
    Scoring,
    Segment,
    TokenEvent,
)
from engine.server.application import build
from engine.server.keys import Keys
from engine.server.service import ALTERNATIVES, Limits, Message, Rendered, Service
from engine.streaming import TextStream
from engine.tokenizer import Tokenizer
from retrieval.protocol import Neighbour, Retrieve

KEY = "key-of-the-tests"
HEADERS = {"Authorization": f"Bearer {KEY}"}
CHAT = {"messages": [{"role": "user", "content": "When was the harbour dug?"}]}
CONTEXT, CHUNK = 256, 8  # as the preset "tiny" has them


def neighbour(i: int, text: str = "") -> Neighbour:
    return Neighbour(
        i, i, f"Title {i}", f"library/{i}.md", 0, 0, 9, text or f"passage {i}", " and on", (5, 6),
        (7,), 0.5, 0.25,
    )  # fmt: skip


def retrieve(query: str, k: int) -> Sequence[Neighbour]:
    return [neighbour(i, f"passage {i} for {query[-20:]}") for i in range(k)]


def render(messages: Sequence[Message], passage: str) -> Rendered:
    """Each message on a line of its own."""
    lines = [f"{m.role}: {m.text}\n" for m in messages]
    prompt = (Segment(f"{passage}{''.join(lines)}assistant:", ends_chunk=True),)
    return Rendered(prompt, messages[-1].text, ("\nuser:",))


@dataclass
class FakeEngine:
    """Writes tokens that follow from all tokens before them and the seed; counts what is open."""

    tokenizer: Tokenizer
    seconds: float = 0.0  # before each token
    busy: bool = False
    broken: str = ""
    open: int = 0
    most_open: int = 0
    asked: list[Request] = field(default_factory=list)
    device: str = "fake"
    _lock: Any = field(default_factory=threading.Lock)

    @property
    def info(self) -> Info:
        return Info("tiny", 1000, "f" * 64, self.tokenizer.fingerprint, CONTEXT, "A fake.")

    def count(self, text: str) -> int:
        return len(self.tokenizer.encode(text))

    def generate(self, request: Request, retrieve: Retrieve | None = None) -> Iterator[Event]:
        self.asked.append(request)
        if self.busy:
            raise EngineBusy("40 replies wait already; try again in 7 s", 7.0)
        tokens = [i for s in request.prompt for i in self._ids(s)]
        if not 0 < len(tokens) < CONTEXT:
            raise PromptTooLong(f"the prompt takes {len(tokens)} tokens, this model {CONTEXT - 1}")
        with self._lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        try:
            yield from self._write(request, tokens)
        finally:
            with self._lock:
                self.open -= 1

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        before = [i for s in scoring.prompt for i in self._ids(s)]
        if len(before) + len(scoring.tokens) > CONTEXT:
            raise PromptTooLong(f"together more than the {CONTEXT} of this model")
        chunks = []
        for j in range(0, len(scoring.tokens), CHUNK):
            logprobs, top = [], []
            for token in scoring.tokens[j : j + CHUNK]:
                likely = likeliest(before, self.tokenizer.size)
                logprobs.append(logprob(before, token, self.tokenizer.size))
                top.append(tuple((i, logprob(before, i, self.tokenizer.size)) for i in likely))
                before.append(token)
            chunks.append(ChunkScores(Score(tuple(logprobs), ()), (), tuple(top)))
        return tuple(chunks)

    def _ids(self, segment: Segment) -> Sequence[int]:
        if segment.tokens is not None:
            return segment.tokens
        return self.tokenizer.encode(segment.text)

    def _write(self, request: Request, tokens: list[int]) -> Iterator[Event]:
        size = len(tokens)
        stream = TextStream(self.tokenizer, request.stop)
        for number in range(request.sampling.max_tokens):
            if number % CHUNK == 0:
                shown = tuple(retrieve("", request.k)) if request.retrieve else ()
                yield ChunkEvent(number // CHUNK, request.query, (*request.always, *shown), 0.0)
            time.sleep(self.seconds)
            if self.broken:
                raise RuntimeError(self.broken)
            seed = request.sampling.seed if request.sampling.temperature else 0
            likely = likeliest(tokens, self.tokenizer.size)
            token = likely[seed % len(likely)]
            top = tuple(
                (self.tokenizer.decode([i]), logprob(tokens, i, self.tokenizer.size))
                for i in likely
            )
            value = logprob(tokens, token, self.tokenizer.size)
            tokens.append(token)
            yield from stream.feed(TokenEvent(token, "", value, top, number // CHUNK))
            if stream.stopped:
                break
        yield from stream.close()
        yield DoneEvent("stop" if stream.stopped else "length", size, {"total": 0.1})


def likeliest(before: Sequence[int], vocabulary: int) -> list[int]:
    """The likeliest tokens after some; ordinary ones, no special tokens and bytes."""
    digest = hashlib.sha256(repr(list(before)).encode()).digest()
    first = int.from_bytes(digest[:4], "big")
    return [260 + (first + 7 * i) % (vocabulary - 260) for i in range(ALTERNATIVES)]


def logprob(before: Sequence[int], token: int, vocabulary: int) -> float:
    likely = likeliest(before, vocabulary)
    rank = likely.index(token) if token in likely else ALTERNATIVES + token % 7
    return math.log(0.4 / 2**rank) - (sum(before) % 97) / 1e5


def service(engine: Any, **changes: Any) -> Service:
    given: dict[str, Any] = {"render": render, "retrieve": retrieve, "started": 1} | changes
    return Service(engine, **given)


def client_of(served: Service, **limits: Any) -> TestClient:
    """A client of the server which has the key; it is to be entered."""
    return TestClient(build(served, Keys.of([KEY]), Limits(**limits)), headers=HEADERS)


def ok(response: Any) -> Any:
    assert response.status_code == 200, response.text
    return response.json()


def refused(response: Any, status: int, *words: str) -> dict[str, Any]:
    """The error of a refusal; its message has all of `words`."""
    assert response.status_code == status, response.text
    assert response.json().keys() == {"error"}
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    for word in words:
        assert word in error["message"]
    return error


def pieces(response: Any) -> list[dict[str, Any]]:
    """What a stream held, without the mark at its end."""
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """The address of a server on loopback."""
    import uvicorn

    config = uvicorn.Config(app, "127.0.0.1", 0, lifespan="off", log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def eventually(done: Any, seconds: float = 5.0) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(done())
