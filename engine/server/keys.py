"""API keys: who may ask the engine server."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Keys:
    """The keys that are accepted, as keyed hashes only. Without any, everybody is."""

    _secret: bytes = field(repr=False)
    _known: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(cls, keys: Iterable[str]) -> "Keys":
        secret = secrets.token_bytes(32)
        return cls(secret, tuple(_hash(secret, key.encode()) for key in keys))

    @property
    def open(self) -> bool:
        return not self._known

    def admit(self, authorization: bytes | None) -> bool:
        """Whether an Authorization header has a key; the time taken tells nothing about keys."""
        scheme, _, given = (authorization or b"").partition(b" ")
        digest = _hash(self._secret, given.strip())
        found = False
        for known in self._known:
            found |= hmac.compare_digest(digest, known)
        return self.open or (found and scheme.lower() == b"bearer")


def _hash(secret: bytes, key: bytes) -> bytes:
    return hmac.digest(secret, key, hashlib.sha256)
