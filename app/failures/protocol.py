"""What a detector is."""

from collections.abc import Callable
from dataclasses import dataclass

from app.records import Finding, Turn


class NotApplicable(Exception):
    """Raised by a detector that cannot say anything about a turn; the message says why."""


@dataclass(frozen=True)
class Detector:
    """A family of measurements on a finished turn.

    `find` is pure: the same turn gives the same findings. Each finding quotes its span exactly.
    `version` changes whenever the same reply could give other findings.
    """

    kind: str
    version: str
    find: Callable[[Turn], list[Finding]]
