"""Server-sent events: one message as bytes, and messages out of bytes as they come.

Of the format (WHATWG HTML, section 9.2) what we send: lines `event:` and `data:`, comments as
signs of life, an empty line after each message.
"""

from collections.abc import Iterator

LONGEST = 16 << 20  # bytes of one line that are kept; more is no stream of ours
PING = b": ping\n\n"


class BadStream(ValueError):
    """Bytes that are no stream of messages; says what is wrong."""


def message(event: str, data: str) -> bytes:
    """One message; neither part may have a line break."""
    return f"event: {event}\ndata: {data}\n\n".encode()


class Messages:
    """Takes bytes in pieces of any size and gives (event, data) as soon as each is whole."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._event, self._data = "", ""

    def feed(self, piece: bytes) -> Iterator[tuple[str, str]]:
        """Raises BadStream."""
        start = max(len(self._rest) - 1, 0)
        self._rest += piece
        while (end := self._rest.find(b"\n", start)) >= 0:
            line = bytes(self._rest[:end]).removesuffix(b"\r")
            del self._rest[: end + 1]
            start = 0
            yield from self._line(line)
        if len(self._rest) > LONGEST:
            raise BadStream(f"a line of more than {LONGEST} bytes")

    def _line(self, line: bytes) -> Iterator[tuple[str, str]]:
        if not line:
            if self._data:
                yield self._event or "message", self._data
            self._event, self._data = "", ""
            return
        name, _, value = line.partition(b":")
        try:
            text = value.removeprefix(b" ").decode()
        except UnicodeDecodeError:
            raise BadStream("a line that is not UTF-8") from None
        if name == b"event":
            self._event = text
        elif name == b"data":
            self._data = f"{self._data}\n{text}" if self._data else text
