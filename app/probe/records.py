"""Values of the probe: what was asked for, what was scored, what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Mode = Literal["frozen", "live", "off"]
MODES: tuple[Mode, ...] = get_args(Mode)
MODE_WORDS = {
    "frozen": "passages frozen: those found for a neutral form, shown to all",
    "live": "passages found anew for each",
    "off": "no passages",
}
LARGEST_SEED = 2**32


class ProbeError(ValueError):
    """A probe that cannot be run; the message says what was given and what to do."""


class Cancelled(Exception):
    """The probe was cancelled. What it had finished is kept."""


@dataclass(frozen=True)
class Plan:
    """What to run. Two runs with the same plan, model and passages give the same numbers."""

    families: tuple[str, ...]
    modes: tuple[Mode, ...] = MODES
    seed: int = 0


@dataclass(frozen=True)
class Score:
    """How likely a text was after a prompt: the sum of its log-probabilities in nats."""

    nats: float
    tokens: int

    @property
    def per_token(self) -> float:
        return self.nats / self.tokens


@dataclass(frozen=True)
class Scored:
    """Both continuations of a template's pair after its sentence with one term."""

    template: str
    terms: str  # name of the list
    term: str
    pair: Literal["attribute", "neutral"]
    first: Score
    second: Score


@dataclass(frozen=True)
class Measured:
    """One family in one mode, of a run. `result` is JSON, and so are the `scores` in the log.

    It belongs to a model and a database, never to a reply.
    """

    run: str
    family: str
    mode: Mode
    version: str  # of the templates and the lists, or a fingerprint of the file
    created: str  # UTC, ISO-8601
    seconds: float
    scores: Sequence[Any]
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """A run of the probe. `finished` is None while it is under way, and after it was cut off."""

    id: str
    created: str
    finished: str | None
    preset: str
    fingerprint: str  # of the weights
    database: str  # fingerprint of the passages, "" without any
    seed: int
    config: Mapping[str, Any]
