"""What a detector is."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.records import Finding, Severity, Turn


class NotApplicable(Exception):
    """Raised by a detector that cannot say anything about a turn; the message says why."""


@dataclass(frozen=True)
class Detector:
    """A family of measurements on a finished turn: findings of `kind`, or of kinds below it.

    `find` is pure: the same turn gives the same findings. Each finding quotes its span exactly,
    its score is at least its threshold, and its severity is the most that it may be shown as;
    `quality.graded` lowers it to what the labelled cases bear out. `version` changes whenever
    the same reply could give other findings.
    """

    kind: str
    version: str
    find: Callable[[Turn], list[Finding]]


def finding(
    kind: str,
    text: str,
    span: tuple[int, int],
    *,
    score: float,
    threshold: float,
    explanation: str,
    evidence: Mapping[str, Any],
    severity: Severity = "warn",
) -> Finding:
    """A finding on code points [start, end) of a reply's text."""
    start, end = span
    quote = text[start:end]
    return Finding(kind, start, end, quote, score, threshold, severity, explanation, evidence)


def first_of_each(findings: Iterable[Finding]) -> list[Finding]:
    """Without findings of a kind on words that have had one: a reply that circles says it once."""
    found: dict[tuple[str, str], Finding] = {}
    for one in findings:
        found.setdefault((one.kind, one.quote.casefold()), one)
    return list(found.values())


def excerpt(text: str, start: int = 0, end: int | None = None, length: int = 80) -> str:
    """A piece of a text on one line, cut to `length`."""
    unit = " ".join(text[start:end].split())
    return unit if len(unit) <= length else unit[: length - 1] + "…"
