"""What the server answers with, and the seams that whoever composes it fills in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from engine.presets import PRESETS
from engine.protocol import ChunkScores, Event, Info, Request, Sampling, Scoring, Segment
from engine.tokenizer import EOS, Tokenizer
from retrieval.protocol import CHUNK, Neighbour, Retrieve

END = "</s>"  # the name of EOS
ALTERNATIVES = 5  # the most of the likeliest tokens that engines report


class Served(Protocol):
    """An engine with the tokenizer that its tokens are of."""

    @property
    def info(self) -> Info: ...

    @property
    def device(self) -> str: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    def count(self, text: str) -> int: ...

    def generate(self, request: Request, retrieve: Retrieve | None = None) -> Iterator[Event]: ...

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]: ...


@dataclass(frozen=True)
class Message:
    """A message of a conversation."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model reads it: the prompt, the text that its first reply chunk is
    retrieved with, and where a reply is cut off."""

    prompt: tuple[Segment, ...]
    query: str
    stop: tuple[str, ...] = ()


class Render(Protocol):
    """Renders a conversation; a passage is also put into the prompt unless it is ""."""

    def __call__(self, messages: Sequence[Message], passage: str) -> Rendered: ...


@dataclass(frozen=True)
class Limits:
    """What a request may ask for, and how much is under way at once."""

    body: int = 1 << 20  # bytes
    body_seconds: float = 30.0  # for all of a body to arrive
    tokens: int = 4096  # to write for one choice
    prompts: int = 64  # in one request
    choices: int = 4  # n
    requests: int = 64  # under way at once, in all; more are asked to come back
    parallel: int = 4  # choices of one request that are written at once, each with a thread
    seconds: float = 300.0  # for one request
    first_seconds: float = 60.0  # for its first token
    retry_seconds: float = 2.0  # what a client is told to wait


@dataclass(frozen=True)
class Service:
    """An engine and what is round it.

    `retrieve` finds passages, None where there are none; `quote` is a passage as it is put into a
    prompt. Where a request is silent, `defaults`, `k`, `follow` and `in_context` are taken, and
    passages are searched for where `search_chats` and `search_completions` say so.
    """

    engine: Served
    render: Render
    retrieve: Retrieve | None = None
    quote: Callable[[Neighbour], str] = lambda neighbour: neighbour.text
    defaults: Sampling = field(default_factory=Sampling)
    k: int = 2
    follow: Literal["chunk", "question+chunk"] = "question+chunk"
    in_context: bool = False
    search_chats: bool = True
    search_completions: bool = False
    card: Mapping[str, Any] = field(default_factory=dict)
    started: int = 0  # when, in seconds since 1970

    @property
    def model(self) -> str:
        return self.engine.info.preset

    def encode(self, text: str) -> list[int]:
        """Tokens of a text from outside. The name of the token that ends a text, at its beginning,
        is that token: a text begins after the end of the one before it."""
        rest = text.removeprefix(END)
        return [EOS] * (rest != text) + self.engine.tokenizer.encode(rest)

    def decode(self, tokens: Sequence[int]) -> str:
        """What `encode` takes."""
        begins = tokens[:1] == [EOS] or tokens[:1] == (EOS,)
        return END * begins + self.engine.tokenizer.decode(tokens)

    @property
    def chunk(self) -> int:
        preset = PRESETS.get(self.model)
        return preset.chunk if preset else CHUNK

    @property
    def neighbours(self) -> int:
        """The most neighbours that a chunk is shown; 0 for a model without retrieval."""
        preset = PRESETS.get(self.model)
        if preset is None:
            return 2
        return preset.retrieval.neighbours if preset.retrieval else 0

    @property
    def vocabulary(self) -> int:
        """Token ids are below this."""
        preset = PRESETS.get(self.model)
        size = self.engine.tokenizer.size
        return min(preset.vocab, size) if preset else size
