"""The bodies of OpenAI's requests, as far as this server follows them, and how they are read.

A field that is null counts as absent. What this server does not do may be given with the value
that means "off", since clients send those; anything else about it is refused by name.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from engine import wire
from engine.server.refusals import Refusal, wrong
from engine.server.service import ALTERNATIVES, Limits, Message

STOPS = 16  # stop strings

T = TypeVar("T")


@dataclass(frozen=True)
class Pinned:
    """A passage that a client brings; a neighbour out of a response may be sent back as it is."""

    text: str
    continuation: str = ""
    title: str = ""
    source: str = ""
    id: int = -1
    document: int = -1
    start: int = 0
    end: int = 0
    distance: float | None = None
    overlap: float = 0.0


@dataclass(frozen=True)
class Retro:
    """What is particular to retrieval: `pinned` passages are shown for every chunk, before what is
    found; with `in_context` the best passage also stands in the prompt."""

    retrieve: bool | None = None
    k: int | None = None
    pinned: tuple[Pinned, ...] = ()
    in_context: bool | None = None


@dataclass(frozen=True)
class StreamOptions:
    include_usage: bool = False


@dataclass(frozen=True)
class Body:
    """What both kinds of request have."""

    model: str = ""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: Any = None
    n: int = 1
    stream: bool = False
    stream_options: StreamOptions = field(default_factory=StreamOptions)
    user: str = ""
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[str, float] = field(default_factory=dict)
    retro: Retro = field(default_factory=Retro)

    def check(self, limits: Limits) -> None:
        """Raises Refusal."""
        if not 1 <= self.n <= limits.choices:
            raise wrong("n", str(self.n), f"1 to {limits.choices}")
        if self.max_tokens is not None and self.max_tokens > limits.tokens:
            raise wrong("max_tokens", str(self.max_tokens), f"{limits.tokens} at most")
        for name in ("frequency_penalty", "presence_penalty"):
            if getattr(self, name) != 0:
                raise wrong(name, str(getattr(self, name)), "0; penalties are not supported")
        if self.logit_bias:
            raise wrong("logit_bias", "an object with tokens", "{}; biases are not supported")

    @property
    def stops(self) -> tuple[str, ...]:
        """Raises Refusal."""
        given = [] if self.stop is None else self.stop
        given = [given] if isinstance(given, str) else given
        if not isinstance(given, list) or not all(isinstance(s, str) and s for s in given):
            raise wrong("stop", shown(self.stop), "a text, or a list of texts, none empty")
        if len(given) > STOPS:
            raise wrong("stop", f"a list of {len(given)}", f"{STOPS} texts at most")
        return tuple(given)


@dataclass(frozen=True)
class CompletionBody(Body):
    """POST /v1/completions"""

    prompt: Any = None
    logprobs: int | None = None
    echo: bool = False
    best_of: int | None = None
    suffix: str = ""

    def check(self, limits: Limits) -> None:
        super().check(limits)
        if self.max_tokens is not None and self.max_tokens < (0 if self.echo else 1):
            least = "0 or more with echo" if self.echo else "1 or more, or 0 with echo"
            raise wrong("max_tokens", str(self.max_tokens), least)
        if self.logprobs is not None and not 0 <= self.logprobs <= ALTERNATIVES:
            raise wrong("logprobs", str(self.logprobs), f"0 to {ALTERNATIVES}")
        if self.best_of not in (None, self.n):
            raise wrong("best_of", str(self.best_of), f"n ({self.n}); choices are not ranked")
        if self.suffix:
            raise wrong("suffix", "a text", '""; text is only written at the end')

    def prompts(self, most: int, vocabulary: int) -> list[str | tuple[int, ...]]:
        """Each prompt as a text or as token ids. Raises Refusal."""
        given = self.prompt
        if isinstance(given, str) or (isinstance(given, list) and given and _whole(given[0])):
            given = [given]
        if not isinstance(given, list) or not given:
            expected = "a text, a list of token ids, or a list of either"
            raise wrong("prompt", "missing" if given is None else shown(given), expected)
        if len(given) > most:
            raise wrong("prompt", f"a list of {len(given)}", f"{most} prompts at most")
        alone = given[0] is self.prompt
        return [
            one_prompt(prompt, "prompt" if alone else f"prompt[{i}]", vocabulary)
            for i, prompt in enumerate(given)
        ]


@dataclass(frozen=True)
class Turn:
    """A message as it is sent; content may be a list of parts with text."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Any = None
    name: str = ""
    annotations: tuple[Any, ...] = ()
    tool_calls: tuple[Any, ...] = ()


@dataclass(frozen=True)
class ChatBody(Body):
    """POST /v1/chat/completions"""

    messages: tuple[Any, ...] = ()
    max_completion_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    response_format: Any = None

    def check(self, limits: Limits) -> None:
        super().check(limits)
        if self.max_completion_tokens is not None and self.max_tokens is not None:
            raise wrong("max_tokens", "given twice", "max_completion_tokens alone")
        for name in ("max_tokens", "max_completion_tokens"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= limits.tokens:
                raise wrong(name, str(value), f"1 to {limits.tokens}")
        if self.top_logprobs is not None:
            if not self.logprobs:
                raise wrong("top_logprobs", "given without logprobs", "logprobs to be true")
            if not 0 <= self.top_logprobs <= ALTERNATIVES:
                raise wrong("top_logprobs", str(self.top_logprobs), f"0 to {ALTERNATIVES}")
        if self.response_format not in (None, {"type": "text"}):
            raise wrong("response_format", shown(self.response_format), '{"type": "text"}')

    def conversation(self) -> tuple[Message, ...]:
        """The messages: perhaps system messages, then user and assistant in turn, a user's last.

        Raises Refusal.
        """
        turns = [_turn(message, f"messages[{i}]") for i, message in enumerate(self.messages)]
        spoken = [m for m in turns if m.role != "system"]
        if not spoken:
            raise wrong("messages", "without a user's message", "at least one")
        first = next(i for i, m in enumerate(turns) if m.role != "system")
        for i, message in enumerate(turns[first:]):
            wanted = ("user", "assistant")[i % 2]
            if message.role != wanted:
                raise wrong(
                    f"messages[{first + i}].role", f'"{message.role}"',
                    f'"{wanted}": system messages first, then user and assistant in turn',
                )  # fmt: skip
        if turns[-1].role != "user":
            raise wrong("messages", "ended by the assistant", "a user's message at the end")
        return tuple(turns)


async def body_of(request: Request, kind: type[T], limits: Limits) -> T:
    """Reads a JSON body. Raises Refusal, WireError and ClientDisconnect."""
    try:
        data = await asyncio.wait_for(_read(request, limits.body), limits.body_seconds)
    except TimeoutError:
        raise Refusal(
            408, f"the body did not arrive within {limits.body_seconds:g} s; send it again",
            code="timeout",
        ) from None  # fmt: skip
    return await run_in_threadpool(parse, kind, data)


def parse(kind: type[T], data: bytes) -> T:
    """Raises WireError."""
    return wire.read(kind, _without_nulls(wire.loads(data)))


async def _read(request: Request, most: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise Refusal(
                413, f"the body has more than {most:,} bytes; send less at once", code="too_large"
            )
    return bytes(body)


def _without_nulls(value: Any) -> Any:
    """An object, and those directly in it, without fields that are null."""
    if not isinstance(value, dict):
        return value
    inner = ("retro", "stream_options")
    return {
        name: _without_nulls(item) if name in inner else item
        for name, item in value.items()
        if item is not None
    }


def _turn(given: Any, path: str) -> Message:
    try:
        turn = wire.read(Turn, _without_nulls(given))
    except wire.WireError as error:
        around = (
            error.inside(path) if error.path else wire.WireError(path, error.given, error.expected)
        )
        raise wrong(around.path, around.given, around.expected) from None
    if turn.annotations or turn.tool_calls:
        raise wrong(f"{path}.tool_calls", "given", "none; tools are not supported")
    role = "system" if turn.role == "developer" else turn.role
    return Message(role, _content(turn.content, f"{path}.content"))


def _content(given: Any, path: str) -> str:
    if isinstance(given, list):
        for i, part in enumerate(given):
            if not isinstance(part, dict) or part.get("type") != "text":
                raise wrong(f"{path}[{i}]", "not a part with text", '{"type": "text", "text": ...}')
            if not isinstance(part.get("text"), str) or part.keys() - {"type", "text"}:
                raise wrong(f"{path}[{i}]", shown(part), '{"type": "text", "text": ...}')
        given = "\n".join(part["text"] for part in given)
    if not isinstance(given, str):
        raise wrong(path, "missing" if given is None else shown(given), "a text")
    if not given.strip():
        raise wrong(path, "empty", "a text")
    return given


def one_prompt(given: Any, path: str, vocabulary: int) -> str | tuple[int, ...]:
    """Raises Refusal."""
    if isinstance(given, str) and given:
        return given
    if isinstance(given, list) and given:
        return token_ids(given, path, vocabulary)
    empty = given in ("", [])
    raise wrong(path, "empty" if empty else shown(given), "a text or a list of token ids")


def token_ids(given: list[Any], path: str, vocabulary: int) -> tuple[int, ...]:
    """Raises Refusal where one is not of the vocabulary."""
    for i, token in enumerate(given):
        if not _whole(token) or not 0 <= token < vocabulary:
            expected = f"a token id, 0 to {vocabulary - 1}"
            raise wrong(f"{path}[{i}]", shown(token), expected)
    return tuple(given)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """What was given, short enough for a message."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = ascii(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else text[:57] + "..."
