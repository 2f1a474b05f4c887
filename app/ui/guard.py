"""Who may ask: only pages that this server served itself, and with logins only who has one.

A page of another site can have its name lead to this machine (DNS rebinding) and then read what
the server answers, so a request must name a host that the server is known by. Every request passes
here: pages, gradio's own routes, uploads, downloads and websockets.
"""

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from app.logins import CHALLENGE, Logins

_REFUSAL = "This server does not answer to that name. Open it as http://localhost:PORT instead.\n"
_LOG_IN = "This page asks for a name and a password.\n"
_BEGIN = "/gradio_api/startup-events"  # gradio asks this of itself, once, before the page is up


class Guard:
    """ASGI middleware that refuses requests for other hosts, and requests by other sites' pages.

    `host` is the address that is listened on. Where that is every address of the machine, it may
    be called by any of them, and by its name. With `logins`, every request must have one.
    """

    def __init__(self, app: Any, host: str, logins: Logins | None = None):
        self._app, self._logins, self._begun = app, logins, False
        self._names = {"localhost", host.casefold()}
        self._everywhere = _address(host) is not None and _address(host).is_unspecified
        if self._everywhere:
            self._names |= {socket.gethostname().casefold(), socket.getfqdn().casefold()}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = dict(scope["headers"])
            if not self.allows(headers):
                return await _refuse(scope, send, 403, _REFUSAL)
            if not (self._admits(headers) or self._begins(scope)):
                challenge = (b"www-authenticate", CHALLENGE.encode())
                return await _refuse(scope, send, 401, _LOG_IN, challenge)
        await self._app(scope, receive, send)

    def _admits(self, headers: dict[bytes, bytes]) -> bool:
        return self._logins is None or self._logins.admits(headers.get(b"authorization"))

    def _begins(self, scope: Any) -> bool:
        """Whether this is gradio's request to itself, which has no login and tells nothing."""
        first = not self._begun and (scope.get("method"), scope["path"]) == ("GET", _BEGIN)
        self._begun |= first
        return first

    def allows(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a request with these headers, their names in lower case, may be answered."""
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin")
        if not self._known(host):
            return False
        return origin is None or urlsplit(origin.decode("latin-1")).netloc == host

    def _known(self, netloc: str) -> bool:
        try:
            name = urlsplit(f"//{netloc}").hostname or ""
        except ValueError:
            return False
        address = _address(name)
        if address is not None and (address.is_loopback or self._everywhere):
            return True
        return name.removesuffix(".") in self._names


async def _refuse(scope: Any, send: Any, status: int, why: str, *more: tuple[bytes, bytes]) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": why.encode()})


def _address(name: str) -> Any:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
