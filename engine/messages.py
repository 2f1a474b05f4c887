"""What an engine server and its client say to each other, beside the values of the protocol.

The server is `engine.server.passthrough`, the client `engine.remote`; both through `engine.wire`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.protocol import EngineBusy, Info, PromptTooLong, Request, Scoring
from engine.wire import WireError
from retrieval.protocol import Neighbour

PROTOCOL = 1  # raised when a server and a client of different versions would misread each other
PING_SECONDS = 5.0  # a stream without anything else to say shows that it is alive
STATUS = {
    "invalid_value": 400, "context_length_exceeded": 400, "other_model": 409, "engine_busy": 429,
}  # fmt: skip


@dataclass(frozen=True)
class About:
    """GET /retro/info: who answers. `card` is the model card as its file has it, or {}."""

    protocol: int
    info: Info
    device: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """POST /retro/generate. With "client" the stream asks for neighbours, see `Search`; "server"
    takes the server's own passages, "none" no search. `model` is the fingerprint of the weights
    that are expected to answer, "" for any."""

    request: Request
    retrieve: Literal["client", "server", "none"] = "none"
    model: str = ""


@dataclass(frozen=True)
class Reading:
    """POST /retro/score. `model` as in `Wish`."""

    scoring: Scoring
    model: str = ""


@dataclass(frozen=True)
class Text:
    """POST /retro/count."""

    text: str


@dataclass(frozen=True)
class Search:
    """In a stream: asks for the k best neighbours of `query`, at /retro/found/`ticket`."""

    ticket: str
    query: str
    k: int


@dataclass(frozen=True)
class Found:
    """POST /retro/found/TICKET: what a search found, or why it failed."""

    neighbours: tuple[Neighbour, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Problem:
    """In a stream: why it ends here. `retry_after` is in seconds, for "engine_busy"."""

    code: str
    message: str
    retry_after: float = 0.0


class BadAddress(ValueError):
    """The address or the key of a server cannot be right; says what is expected."""


class RemoteError(RuntimeError):
    """A server that cannot be used, now or at all; the message says which, why and what to do.

    RemoteError
    ├── Unreachable   nothing answers there just now; trying again may help
    ├── WrongKey      it refuses the key
    ├── WrongServer   it is no engine server, or one of another version or with another tokenizer
    ├── OtherModel    other weights answer than those asked for
    ├── Failed        the engine there failed
    └── Broken        the connection broke in the middle of a reply
    """


class Unreachable(RemoteError): ...


class WrongKey(RemoteError): ...


class WrongServer(RemoteError): ...


class OtherModel(RemoteError): ...


class Failed(RemoteError): ...


class Broken(RemoteError): ...


def problem_of(error: Exception) -> Problem:
    """What a client is told of an error."""
    match error:
        case EngineBusy():
            return Problem("engine_busy", str(error), error.retry_after)
        case PromptTooLong():
            return Problem("context_length_exceeded", str(error))
        case OtherModel():
            return Problem("other_model", str(error))
        case WireError() | ValueError():
            return Problem("invalid_value", str(error))
    return Problem("failed", f"{type(error).__name__}: {error}")


def error_of(problem: Problem, url: str) -> Exception:
    """The error that the client raises for it."""
    match problem.code:
        case "engine_busy":
            return EngineBusy(problem.message, problem.retry_after)
        case "context_length_exceeded":
            return PromptTooLong(problem.message)
        case "other_model":
            return OtherModel(problem.message)
        case "invalid_value":
            return ValueError(problem.message)
    return Failed(f"the engine at {url} failed: {problem.message}")
