"""Who may ask: only pages that this server served itself.

A page of another site can have its name lead to this machine (DNS rebinding) and then read what
the server answers, so a request must name a host that the server is known by. Every request passes
here, also those for routes beside gradio's, so a login will have its place here too.
"""

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

_REFUSAL = "This server does not answer to that name. Open it as http://localhost:PORT instead.\n"


class Guard:
    """ASGI middleware that refuses requests for other hosts, and requests by other sites' pages.

    `host` is the address that is listened on. Where that is every address of the machine, it may
    be called by any of them, and by its name.
    """

    def __init__(self, app: Any, host: str):
        self._app = app
        self._names = {"localhost", host.casefold()}
        self._everywhere = _address(host) is not None and _address(host).is_unspecified
        if self._everywhere:
            self._names |= {socket.gethostname().casefold(), socket.getfqdn().casefold()}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and not self.allows(dict(scope["headers"])):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            body = _REFUSAL.encode()
            headers = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"cache-control", b"no-store"),
            ]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await self._app(scope, receive, send)

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


def _address(name: str) -> Any:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
