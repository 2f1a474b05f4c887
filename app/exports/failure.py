"""A failure as it leaves the application: a finding or an annotation, with its turn.

Offsets are Unicode code points, end exclusive, and `quote` is always reply[start:end]. Without
personal data, every value that `failures.masking` finds is a run of █ of the same length, in every
text; a finding of such a value keeps its kind and has the value's hash.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.failures.taxonomy import taxonomy

AROUND = 32  # code points of the reply before and after a quote


@dataclass(frozen=True)
class Passage:
    """A passage shown to the model while it wrote a chunk: reply[start:end] of the turn."""

    chunk: int  # index of the reply chunk
    start: int
    end: int
    rank: int  # 0 is the best
    title: str
    source: str
    text: str
    continuation: str
    distance: float | None


@dataclass(frozen=True)
class Written:
    """The turn that a failure is in."""

    id: str
    conversation: str
    message: str
    reply: str
    passage: str  # put into the prompt
    finish: str
    created: str
    model: str  # preset
    fingerprint: str
    database: str
    program: str  # version
    settings: Mapping[str, Any]
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Failure:
    """A finding of a detector, or an annotation that stands.

    `severity` is 1 to 3, of a finding info, warn and alert. `note` is the explanation of a finding
    or what the annotator noted. `hash` is of a value that is personal data, "" of anything else.
    """

    id: str
    source: Literal["machine", "person"]
    kind: str
    severity: int
    status: str
    start: int
    end: int
    quote: str
    note: str
    created: str
    turn: Written
    hash: str = ""
    score: float | None = None
    threshold: float | None = None
    evidence: Mapping[str, Any] | None = None
    detector: str = ""
    version: str = ""  # of the detector, or of the taxonomy
    rulings: Mapping[str, str] | None = None  # by annotator
    annotator: str = ""
    blind: bool = False
    supersedes: str | None = None

    @property
    def title(self) -> str:
        return taxonomy().title(self.kind)

    @property
    def prefix(self) -> str:
        return self.turn.reply[max(self.start - AROUND, 0) : self.start]

    @property
    def suffix(self) -> str:
        return self.turn.reply[self.end : self.end + AROUND]

    @property
    def passages(self) -> tuple[Passage, ...]:
        """Those shown for the chunks that the failure lies in; all where it has no extent."""
        shown = self.turn.passages
        if self.start == self.end:
            return shown
        return tuple(p for p in shown if p.start < self.end and self.start < p.end)


def compact(value: object) -> str:
    """JSON on one line, so that a line or a cell can hold it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
