"""What the application records: turns and findings. Pure values; the store adds nothing but ids."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.protocol import Info, Reply, Sampling
from retrieval.protocol import Neighbour

Finish = Literal["stop", "length", "context", "loop", "stopped", "error", "crashed", "running"]
Severity = Literal["info", "warn", "alert"]


@dataclass(frozen=True)
class Settings:
    """How a turn was asked for; with the message and the parents enough to ask for it again.

    `in_context` also puts the best passage into the prompt, before the message (RETRO++, arXiv
    2304.06762). `follow` is the text that later chunks are retrieved with. `pinned` passages are
    shown for every chunk, before what is found; passages with an id in `without` are not shown.
    With `random`, passages drawn at random take the place of found ones. `template` is how the
    prompt is written, "" for the model's own.
    """

    sampling: Sampling = field(default_factory=Sampling)
    retrieve: bool = True
    in_context: bool = False
    k: int = 2
    follow: Literal["chunk", "question+chunk"] = "question+chunk"
    history: int = 1  # earlier exchanges that the model is shown
    pinned: tuple[Neighbour, ...] = ()
    without: tuple[int, ...] = ()
    random: bool = False
    template: str = ""


@dataclass(frozen=True)
class Turn:
    """One exchange: a person's message and the reply to it.

    `parent` is the turn before it in the conversation; a retry or an edit is a sibling with the
    same parent. `database` is the fingerprint of the passage database, "" without one.
    """

    id: str
    conversation: str
    parent: str | None
    message: str
    reply: Reply
    settings: Settings
    model: Info
    database: str
    finish: Finish
    created: str  # UTC, ISO-8601
    passage: str = ""  # the passage put into the prompt, where settings.in_context
    error: str = ""


@dataclass(frozen=True)
class Finding:
    """Something a detector measured in a reply; an observation, not a verdict.

    `start` and `end` are code points of the reply and `quote` is reply[start:end].
    """

    kind: str
    start: int
    end: int
    quote: str
    score: float
    threshold: float
    severity: Severity
    explanation: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DetectorRun:
    """One run of one detector on one reply, logged also when it found nothing."""

    detector: str
    version: str
    status: Literal["ok", "found", "skipped", "error"]
    seconds: float
    findings: tuple[Finding, ...] = ()
    message: str = ""


Vote = Literal["a", "b", "tie"]
Verdict = Literal["useful", "not", "misleading"]


@dataclass(frozen=True)
class Comparison:
    """Two replies to the same message that differ in one thing: turn `b` is `a` with `change`."""

    id: str
    a: str
    b: str
    change: str  # in words, such as "retrieval off"
    vote: Vote | None
    created: str


@dataclass(frozen=True)
class Judgement:
    """What a person thinks of a passage that a reply chunk was shown."""

    turn: str
    chunk: int  # index of the reply chunk
    rank: int  # of the neighbour, 0 is the first
    verdict: Verdict
    annotator: str = ""


@dataclass(frozen=True)
class Preset:
    """Named settings for replies. One of them may be the default of new pages."""

    name: str
    settings: Settings
    default: bool = False


Ruling = Literal["accepted", "rejected"]
Drawn = Literal["flagged", "sample", "chosen"]
Progress = Literal["open", "done", "skipped"]


@dataclass(frozen=True)
class Annotation:
    """A failure that a person marked in a reply. Never overwritten: a change is a new one.

    `start` and `end` are code points of the reply and `quote` is reply[start:end]. `label` is a
    code of the taxonomy in `version`, `severity` 1 (slight) to 3 (grave). `blind` says that the
    annotator saw no finding of a detector before. `supersedes` is the id of the annotation that it
    takes the place of; a withdrawn one has the time of that.
    """

    id: str
    turn: str
    annotator: str
    label: str
    start: int
    end: int
    quote: str
    severity: int
    note: str
    blind: bool
    version: str
    created: str
    supersedes: str | None = None
    withdrawn: str | None = None


@dataclass(frozen=True)
class Logged:
    """A finding in the log: its id there, and what people say of it, by annotator."""

    id: int
    finding: Finding
    rulings: Mapping[str, Ruling]


@dataclass(frozen=True)
class Review:
    """An annotator's reading of a whole reply, begun and perhaps finished.

    `drawn` says how the reply came up: for a finding, in the random sample of replies without
    any, or chosen by the annotator. Only a review that is done says that what it does not mark is
    no failure to that annotator.
    """

    turn: str
    annotator: str
    drawn: Drawn
    blind: bool
    state: Progress
    started: str
    ended: str | None
