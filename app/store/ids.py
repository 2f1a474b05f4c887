"""Ids that sort by time, and the one way this application writes a time."""

import secrets
import threading
import time
from datetime import UTC, datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O or U
_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A ULID: 48 bits of Unix milliseconds, then 80 random bits, as 26 characters.

    Ids made by one process sort in the order in which they were made, also within a millisecond
    and when the clock is set back.
    """
    global _last
    fresh = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    with _lock:
        value = _last = max(fresh, _last + 1)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def now() -> str:
    """The time as UTC ISO-8601 with milliseconds, such as 2026-11-23T09:30:00.250Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
