"""Who may use the page: names and passwords from a file, asked for by HTTP Basic (RFC 7617)."""

import base64
import binascii
import hashlib
import hmac
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from app.store.rows import legible

CHALLENGE = 'Basic realm="Retroscope", charset="UTF-8"'
_LARGEST = 1_000_000  # bytes of a file of logins


class BadLogins(ValueError):
    """A file of logins that cannot be used; says where and why, and repeats no password."""


@dataclass(frozen=True)
class Logins:
    """The names and passwords that open the page. Only their keyed hashes are kept."""

    _key: bytes = field(repr=False)
    _known: tuple[tuple[bytes, bytes], ...] = field(repr=False)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> "Logins":
        key = secrets.token_bytes(32)
        return cls(key, tuple((_hash(key, name), _hash(key, word)) for name, word in pairs))

    def admits(self, authorization: bytes | None) -> bool:
        """Whether an Authorization header has a known name with its password.

        Every header takes the same path, so that the time tells neither which names there are nor
        how much of a password is right.
        """
        name, password = _credentials(authorization or b"")
        given = _hash(self._key, name), _hash(self._key, password)
        found = False
        for known, right in self._known:
            named = hmac.compare_digest(given[0], known)
            found |= hmac.compare_digest(given[1], right) & named
        return found


def read_logins(path: Path) -> Logins:
    """Reads lines of NAME:PASSWORD; empty lines and those that begin with # are passed over.

    Raises BadLogins where the file cannot be read, others than its owner may read it, a line is no
    login, or there is none.
    """
    pairs: dict[str, str] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        place = f"{path}, line {number}"
        if not colon or not name.strip() or not password:
            raise BadLogins(f"{place} is no login; write NAME:PASSWORD, both not empty")
        if legible(name) != name:
            raise BadLogins(f"{place}: the name has spaces around it or control characters")
        if name in pairs:
            raise BadLogins(f"{place} gives {name} a second password; leave one line for a name")
        pairs[name] = password
    if not pairs:
        raise BadLogins(f"{path} has no login; write a line NAME:PASSWORD into it")
    return Logins.of(pairs.items())


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                raise BadLogins(
                    f"others than its owner may read {path} (mode {mode:03o}); change that with: "
                    f"chmod 600 {path}"
                )
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise BadLogins(
            f"cannot read the logins in {path}: {error.strerror}; name a file of NAME:PASSWORD "
            "lines with --logins"
        ) from None
    if len(raw) > _LARGEST:
        raise BadLogins(f"{path} is larger than {_LARGEST:,} bytes; that is no file of logins")
    try:
        return [line.removesuffix("\r") for line in raw.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadLogins(f"{path}, line {line} is not UTF-8; save the file as UTF-8") from None


def _credentials(header: bytes) -> tuple[str, str]:
    """Name and password in a header; empty ones where it is not of this scheme."""
    scheme, _, token = header.partition(b" ")
    if scheme.lower() != b"basic":
        return "", ""
    try:
        text = base64.b64decode(token.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    name, _, password = text.partition(":")
    return name, password


def _hash(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), hashlib.sha256)
