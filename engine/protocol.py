"""The seam between the application and any engine, local or remote. Standard library only."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from retrieval.protocol import Neighbour

Reason = Literal["stop", "length", "context"]


class BadSampling(ValueError):
    """A sampling value outside its range; the message names it and says what to give."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Temperature 0 is greedy; top_k 0 and top_p 1 keep all tokens.

    Raises BadSampling.
    """

    temperature: float = 0.6
    top_k: int = 0
    top_p: float = 0.9
    max_tokens: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        checks = (
            ("temperature", 0 <= self.temperature <= 10, "a number from 0 to 10"),
            ("top_k", self.top_k >= 0, "0 (off) or a positive whole number"),
            ("top_p", 0 < self.top_p <= 1, "a number above 0 and up to 1"),
            ("max_tokens", self.max_tokens >= 1, "a positive whole number"),
            ("seed", 0 <= self.seed < 2**32, "a whole number from 0 to 4294967295"),
        )
        for name, ok, expected in checks:
            value = getattr(self, name)
            if not ok or not math.isfinite(value):
                raise BadSampling(f"{name} is {value}; give {expected}")


@dataclass(frozen=True)
class Segment:
    """A piece of the prompt.

    With `ends_chunk` the engine pads in front of it, so that its last token is the last of a
    chunk and what follows starts on a chunk boundary. `tokens` gives exact ids (an earlier
    reply); else `text` is tokenised. `shown[j]` are the neighbours under which the j-th chunk
    of an earlier reply was written.
    """

    text: str
    ends_chunk: bool = False
    tokens: tuple[int, ...] | None = None
    shown: tuple[tuple[Neighbour, ...], ...] = ()


@dataclass(frozen=True)
class Request:
    """One reply to write.

    `query` is the text the first reply chunk is retrieved with. Later chunks are retrieved with
    the text of the chunk just completed, after `query` if `follow` says so. `always` are shown
    for every chunk, before what is found, k in all; passages whose chunk id is in `without` are
    left out of what is found and not replaced. `pinned[j]` fixes all neighbours of reply chunk j.
    """

    prompt: tuple[Segment, ...]
    query: str
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    retrieve: bool = True
    k: int = 2
    follow: Literal["chunk", "question+chunk"] = "question+chunk"
    pinned: Mapping[int, tuple[Neighbour, ...]] = field(default_factory=dict)
    always: tuple[Neighbour, ...] = ()
    without: frozenset[int] = frozenset()


@dataclass(frozen=True)
class WaitEvent:
    """The request waits: `ahead` replies have to end before it begins; 0 once it has begun.

    Comes when that changes, and from time to time while nothing else does, so that whoever follows
    a reply can leave it then.
    """

    ahead: int


@dataclass(frozen=True)
class ChunkEvent:
    """Reply chunk `index` begins; `neighbours` are shown to the model while it is written.

    `error` says why there are none although retrieval was asked for.
    """

    index: int
    query: str
    neighbours: tuple[Neighbour, ...]
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class TokenEvent:
    """One sampled token. `text` is what it adds to the reply (empty inside a character).

    `logprob` is the model's own log-probability in nats, before temperature and cuts; `top`
    are the likeliest (text, logprob) at this place.
    """

    id: int
    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]
    chunk: int


@dataclass(frozen=True)
class DoneEvent:
    """The end of a reply. Seconds are spent in: prefill, retrieval, decode, first_token, total.

    The last two count from when the reply was asked for.
    """

    reason: Reason
    prompt_tokens: int
    seconds: Mapping[str, float]


Event = WaitEvent | ChunkEvent | TokenEvent | DoneEvent


@dataclass(frozen=True)
class ReplyChunk:
    """A chunk of a finished reply: tokens [first, last) and code points [start, end)."""

    index: int
    query: str
    neighbours: tuple[Neighbour, ...]
    seconds: float
    error: str | None
    first: int
    last: int
    start: int
    end: int


@dataclass(frozen=True)
class Reply:
    """A reply folded from its events."""

    text: str
    tokens: tuple[TokenEvent, ...]
    chunks: tuple[ReplyChunk, ...]
    done: DoneEvent | None = None

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Reply":
        """Folds events in order; a missing DoneEvent (stopped, crashed) leaves `done` None."""
        chunk_events: list[ChunkEvent] = []
        tokens: list[TokenEvent] = []
        done = None
        for event in events:
            match event:
                case ChunkEvent():
                    chunk_events.append(event)
                case TokenEvent():
                    tokens.append(event)
                case DoneEvent():
                    done = event
        starts = [0]
        for token in tokens:
            starts.append(starts[-1] + len(token.text))
        chunks = []
        for c in chunk_events:
            inside = [i for i, token in enumerate(tokens) if token.chunk == c.index]
            first, last = (inside[0], inside[-1] + 1) if inside else (len(tokens), len(tokens))
            chunks.append(
                ReplyChunk(
                    c.index, c.query, c.neighbours, c.seconds, c.error,
                    first, last, starts[first], starts[last],
                )
            )  # fmt: skip
        return cls("".join(t.text for t in tokens), tuple(tokens), tuple(chunks), done)


@dataclass(frozen=True)
class Scoring:
    """Reply tokens to score by teacher forcing: how likely each was, given all before it.

    `shown[j]` are the neighbours under which reply chunk j is read; `trials[j]` are other sets to
    try for that chunk alone, with everything before it as it was. The prompt ends a chunk.
    `alternatives` asks for the likeliest tokens at each place too.
    """

    prompt: tuple[Segment, ...]
    tokens: tuple[int, ...]
    shown: tuple[tuple[Neighbour, ...], ...]
    trials: tuple[tuple[tuple[Neighbour, ...], ...], ...] = ()
    alternatives: bool = False


@dataclass(frozen=True)
class Score:
    """A chunk under one set of neighbours.

    `logprobs` are of the chunk's tokens, in nats. `attention[r]` is the share of the
    cross-attention that neighbour r received, a mean over tokens, heads and layers.
    """

    logprobs: tuple[float, ...]
    attention: tuple[float, ...]


@dataclass(frozen=True)
class ChunkScores:
    """A reply chunk as it was shown, and under each of its trials.

    `top` are the likeliest (token id, logprob) in the place of each of its tokens, as it was shown;
    () where they were not asked for.
    """

    shown: Score
    trials: tuple[Score, ...] = ()
    top: tuple[tuple[tuple[int, float], ...], ...] = ()


@dataclass(frozen=True)
class Info:
    """What is answering: enough to name it in the log and to replay a reply."""

    preset: str
    parameters: int
    fingerprint: str  # SHA-256 of the weights file
    tokenizer: str  # SHA-256 of the tokenizer file
    context: int  # tokens
    note: str  # one sentence for the page: what this model can and cannot do


class PromptTooLong(ValueError):
    """The prompt does not fit into the context; the message gives both numbers."""


class EngineBusy(RuntimeError):
    """Too many replies wait already; `retry_after` are seconds until it is worth trying again."""

    def __init__(self, message: str, retry_after: float = 1.0):
        super().__init__(message)
        self.retry_after = retry_after


class EngineClosed(RuntimeError):
    """The engine was closed before a request had ended."""


class Engine(Protocol):
    """Anything that writes replies."""

    @property
    def info(self) -> Info: ...

    def count(self, text: str) -> int:
        """Tokens in a text."""
        ...

    def generate(self, request: Request) -> Iterator[Event]:
        """Streams a reply. Closing the iterator cancels within one step.

        Raises PromptTooLong and EngineBusy before the first event.
        """
        ...

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        """Scores a finished reply, chunk by chunk; see `engine.attribution`.

        Raises PromptTooLong where prompt and reply do not fit, and EngineBusy.
        """
        ...
