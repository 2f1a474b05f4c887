"""HTTP to one engine server: plain answers, streams of messages, and what goes wrong in words."""

import ipaddress
import ssl
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from typing import Any, TypeVar

import httpx

from engine import wire
from engine.messages import (
    PING_SECONDS,
    BadAddress,
    Broken,
    Problem,
    Unreachable,
    WrongKey,
    WrongServer,
    error_of,
)
from engine.sse import BadStream, Messages

CONNECT_SECONDS = 5.0
SILENT_SECONDS = 3 * PING_SECONDS + 1  # without a sign of life the connection is given up
PAUSES = (0.2, 0.8)  # before a request is tried again of which nothing has come back
LARGEST = 64 << 20  # bytes of a plain answer, such as a tokenizer

T = TypeVar("T")


class Connection:
    """For any thread. Raises BadAddress; each call raises RemoteError or what the server says."""

    def __init__(self, url: str, key: str = ""):
        self.url = address_of(url)
        if not (key.isascii() and key.isprintable()) or " " in key:  # and so it is not shown
            raise BadAddress("the key has spaces or is not ASCII; give it as the server has it")
        self._http = httpx.Client(
            base_url=self.url,
            headers={
                **({"Authorization": f"Bearer {key}"} if key else {}),
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
            },
            timeout=httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
            verify=ssl.create_default_context(),
            trust_env=False,  # no proxy, and no other key, is picked up in passing
        )

    def fetch(self, path: str) -> bytes:
        """The body of a plain answer."""
        for pause in (*PAUSES, None):
            body = bytearray()
            try:
                with closing(self._opened("GET", path, None)) as response:
                    for piece in response.iter_bytes():
                        body += piece
                        if len(body) > LARGEST:
                            raise self.foreign(f"{path} has more than {LARGEST:,} bytes")
                    return bytes(body)
            except httpx.HTTPError as error:
                self._wait(error, pause)
        raise AssertionError  # the last `_wait` raises

    def stream(
        self, path: str, value: Any, read: Callable[[str, Any], T]
    ) -> Generator[T, None, None]:
        """The messages of a stream up to its end, each through `read`.

        Raises Broken where the stream breaks after its first message; before that it is tried
        again.
        """
        body = wire.dumps(value)
        for pause in (*PAUSES, None):
            count = 0
            try:
                with closing(self._opened("POST", path, body)) as response:
                    for name, data in _messages(response):
                        if name == "end":
                            return
                        if name == "error":
                            raise error_of(wire.read(Problem, data), self.url)
                        message = read(name, data)
                        yield message
                        count += 1
                raise httpx.RemoteProtocolError("it ended early")
            except httpx.HTTPError as error:
                if count:
                    raise self._broken(count, _why(error)) from None
                self._wait(error, pause)
            except (BadStream, wire.WireError) as error:
                raise self._broken(count, f"it sent what cannot be read: {error}") from None

    def send(self, path: str, value: Any) -> None:
        """Posts a value; whether it arrives is not known."""
        with suppress(httpx.HTTPError):
            self._http.post(path, content=wire.dumps(value))

    def foreign(self, what: str) -> WrongServer:
        """That this is no engine server, as `what` shows."""
        return WrongServer(
            f"{self.url} answers, but not as an engine of Retroscope ({what[:200]}); give the "
            "address that `python app.py serve` prints"
        )

    def close(self) -> None:
        self._http.close()

    def _opened(self, method: str, path: str, body: str | None) -> httpx.Response:
        """The answer to a request, of which nothing has been read yet. To be closed."""
        request = self._http.build_request(method, path, content=body)
        response = self._http.send(request, stream=True)
        if response.status_code == 200:
            return response
        with closing(response):
            raise self._refused(response)

    def _wait(self, error: httpx.HTTPError, pause: float | None) -> None:
        """Before the next try; raises Unreachable after the last, and where time has run out."""
        if pause is None or isinstance(error, httpx.TimeoutException):
            raise Unreachable(
                f"cannot reach the engine at {self.url}: {_why(error)}; is `python app.py serve` "
                "running there, and are address and port right?"
            ) from None
        time.sleep(pause)

    def _broken(self, count: int, why: str) -> Broken:
        return Broken(
            f"the connection to {self.url} broke after {count} messages: {why}; what came until "
            "then is kept, ask again for a whole reply"
        )

    def _refused(self, response: httpx.Response) -> Exception:
        """What an answer other than 200 means."""
        status = response.status_code
        try:
            error = wire.loads(response.read())["error"]
            code, message = str(error["code"]), str(error["message"])
        except (httpx.HTTPError, wire.WireError, LookupError, TypeError):
            code, message = "", f"status {status}"
        if status in (401, 403):
            return WrongKey(
                f"the server at {self.url} refuses the key ({message}); give one that it knows "
                "with --api-key or RETROSCOPE_API_KEY"
            )
        if status in (429, 503):
            code = "engine_busy"
        if not code and status >= 500:
            return Unreachable(f"the engine at {self.url} fails just now, with status {status}")
        if not code or status in (404, 405) or 300 <= status < 400:
            return self.foreign(message)
        wait = response.headers.get("Retry-After", "")
        seconds = float(wait) if wait.isdigit() else 1.0
        return error_of(Problem(code, message, seconds), self.url)


def _messages(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    parser = Messages()
    for piece in response.iter_bytes():
        for name, data in parser.feed(piece):
            yield name, wire.loads(data)


def _why(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no sign of life in time"
    return str(error) or type(error).__name__


def address_of(url: str) -> str:
    """The address of a server without what may follow it. Raises BadAddress."""
    expected = "give one like http://host:8000"
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise BadAddress(f"--engine is no address ({error}); {expected}") from None
    if parsed.userinfo:
        raise BadAddress(f"--engine holds a name or password; {expected}, and a key by --api-key")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadAddress(f"--engine is {url[:100]!r}; {expected}")
    if parsed.port is not None and parsed.port > 65535:
        raise BadAddress(f"--engine has the port {parsed.port}; {expected}")
    if parsed.query or parsed.fragment:
        raise BadAddress(f"--engine has a query or fragment; {expected}")
    return str(parsed).rstrip("/").removesuffix("/v1").rstrip("/")


def warning_of(url: str) -> str:
    """What to know of an address before anything is sent there, "" if nothing."""
    parsed = httpx.URL(address_of(url))
    if parsed.scheme == "https" or parsed.host == "localhost":
        return ""
    with suppress(ValueError):
        if ipaddress.ip_address(parsed.host).is_loopback:
            return ""
    return (
        f"warning: {parsed.host} is another machine and http is not encrypted: the key, the "
        "conversations and the passages can be read on the way"
    )
