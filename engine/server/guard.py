"""The door of the server: keys, hosts, counting, and answers to what nobody handles.

Without keys anybody on this machine is let in, but no page of another site: its name may lead to
this machine (DNS rebinding), so that a request must name a local host and come from no other site.
"""

import ipaddress
import logging
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.server.keys import Keys
from engine.server.metrics import Meter
from engine.server.refusals import Refusal

FREE = "/health"  # the route that asks for no key
_logger = logging.getLogger(__name__)


class Guard:
    """ASGI middleware around all routes. `routes` are the paths that are counted by their name."""

    def __init__(self, app: ASGIApp, keys: Keys, meter: Meter, routes: Iterable[str]):
        self._app, self._keys, self._meter = app, keys, meter
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        start, status = time.monotonic(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if (refusal := self._refusal(scope)) is not None:
                await refusal.response()(scope, receive, counted)
            else:
                await self._app(scope, receive, counted)
        except Exception:
            _logger.exception("a request failed")
            if not status:
                refusal = Refusal(500, "the server failed; its log says why", code="failed")
                await refusal.response()(scope, receive, counted)
        finally:
            path = scope["path"]
            route = path if path in self._routes else "other"
            self._meter.answered(route, status, time.monotonic() - start)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = dict(scope["headers"])
        if scope["path"] == FREE:
            return None
        if self._keys.open and not _from_here(headers):
            return Refusal(403, "this server answers this machine alone; it has no API keys")
        if not self._keys.admit(headers.get(b"authorization")):
            return Refusal(
                401, "the API key is missing or unknown; send it as: Authorization: Bearer KEY",
                code="invalid_api_key",
            )  # fmt: skip
        return None


def _from_here(headers: dict[bytes, bytes]) -> bool:
    """Whether a request names this machine and comes from no page of another site."""
    host = headers.get(b"host", b"").decode("latin-1")
    origin = headers.get(b"origin")
    try:
        name = urlsplit(f"//{host}").hostname or ""
        local = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
    return local and (origin is None or urlsplit(origin.decode("latin-1")).netloc == host)
