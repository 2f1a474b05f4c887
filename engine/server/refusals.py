"""What is not answered, in OpenAI's shape of an error: what was given, what was expected.

JSON is written in ASCII, since a text from outside may hold half of a surrogate pair, which has no
form in UTF-8.
"""

import json
from collections.abc import Mapping
from math import ceil
from typing import Any

from starlette.responses import Response

from engine.protocol import EngineBusy, PromptTooLong
from engine.wire import WireError


class Refusal(Exception):
    """A request that is not answered; `param` is the field that is wrong."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ):
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = kinds.get(self.status) or (
            "invalid_request_error" if self.status < 500 else "server_error"
        )
        return {
            "error": {
                "message": self.message, "type": kind, "param": self.param, "code": self.code,
            }
        }  # fmt: skip

    @property
    def headers(self) -> dict[str, str]:
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, ceil(self.retry_after)))
        return headers

    def response(self) -> Response:
        return ascii_json(self.body, self.status, self.headers)


def ascii_json(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON whatever texts it holds."""
    return Response(dumped(content), status, headers, "application/json")


def dumped(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def wrong(param: str, given: str, expected: str, code: str = "invalid_value") -> Refusal:
    """A field that is not what it should be."""
    message = f"{param or 'the body'} is {given}; expected {expected}"
    return Refusal(400, message, param=param or None, code=code)


def refusal_of(error: Exception) -> Refusal | None:
    """What a client is told of an error that is its own or passes; None for a defect."""
    match error:
        case Refusal():
            return error
        case WireError():
            return wrong(error.path, error.given, error.expected)
        case PromptTooLong():
            return Refusal(400, str(error), param="prompt", code="context_length_exceeded")
        case EngineBusy():
            return Refusal(429, str(error), code="engine_busy", retry_after=error.retry_after)
    return None
