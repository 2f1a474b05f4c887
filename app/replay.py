"""Replay: a logged turn is written again with its settings and seed, and compared with the log."""

import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from app.records import Turn
from engine.protocol import (
    ChunkEvent,
    Engine,
    Event,
    Info,
    ReplyChunk,
    Request,
    TokenEvent,
)
from retrieval.protocol import Neighbour

WHOLE = ("stop", "length", "context")  # replies that ended by themselves, not before
PINNED = "pinned, because the passages have changed since"


class NotReplayable(ValueError):
    """A turn that cannot be written again as it was; the message says why."""


@dataclass(frozen=True)
class Parting:
    """The first token that differs, and what stood and stands there; "" is the reply's end."""

    index: int
    logged: str
    new: str


@dataclass(frozen=True)
class Replay:
    """What came of it. `tokens` of the logged reply came again, up to `first`, where it differs.

    `passages` is "same", "different at chunk N" counted from 1, or `PINNED`.
    """

    turn: str
    tokens: int
    first: Parting | None
    passages: str
    seconds: float

    @property
    def same_tokens(self) -> bool:
        return self.first is None

    @property
    def same(self) -> bool:
        """Whether nothing differs. Passages that were pinned cannot."""
        return self.same_tokens and self.passages in ("same", PINNED)

    def to_dict(self) -> dict[str, Any]:
        return {"same_tokens": self.same_tokens, **asdict(self)}

    def __str__(self) -> str:
        """One line for a person."""
        if self.first is None:
            found = f"the same {self.tokens} tokens again"
        else:
            logged, new = (
                f"“{t}”" if t else "its end" for t in (self.first.logged, self.first.new)
            )
            found = f"differs at token {self.first.index + 1}: {logged} in the log, {new} now"
        return f"{self.turn}: {found}; passages: {self.passages} ({self.seconds:.1f} s)"


def check_replayable(turn: Turn, model: Info, redacted: str | None = None) -> None:
    """Raises NotReplayable where the turn was written with another model, or is not written yet, or
    something in it was masked at the time `redacted`."""
    if redacted:
        raise NotReplayable(
            f"personal data in turn {turn.id} or before it was masked on {redacted[:10]}, so what "
            "the model read and wrote is no longer known; ask again instead"
        )
    if turn.finish == "running":
        raise NotReplayable(
            f"the reply of turn {turn.id} is still being written; wait for it or stop it first"
        )
    for what, then, now in (
        ("weights", turn.model.fingerprint, model.fingerprint),
        ("the tokenizer", turn.model.tokenizer, model.tokenizer),
    ):
        if then != now:
            raise NotReplayable(
                f"turn {turn.id} was written with {what} {then[:12]} ({turn.model.preset}), but "
                f"{now[:12]} ({model.preset}) is running; start the application with --weights "
                "and the directory of that model"
            )


def shown_in(turn: Turn) -> dict[int, tuple[Neighbour, ...]]:
    """The passages that were shown, by reply chunk: a `Request.pinned`."""
    return {chunk.index: chunk.neighbours for chunk in turn.reply.chunks}


def failed_in(turn: Turn) -> dict[int, tuple[Neighbour, ...]]:
    """The same for those chunks alone whose search failed, which it may not do again."""
    return {chunk.index: chunk.neighbours for chunk in turn.reply.chunks if chunk.error}


def replay(
    turn: Turn, request: Request, engine: Engine, *, pinned: bool
) -> Generator[Event | Replay, None, None]:
    """Yields the engine's events up to the first difference, then a Replay. Writes nothing.

    `request` is the turn's; `pinned` says that its passages are the logged ones. A reply that was
    stopped, looped or crashed is compared up to its logged length.
    """
    start = time.monotonic()
    logged, whole = turn.reply.tokens, turn.finish in WHOLE
    written: list[TokenEvent] = []
    chunks: list[ChunkEvent] = []
    if whole or logged:
        with closing(engine.generate(request)) as events:  # type: ignore[type-var]  # a generator
            for event in events:
                yield event
                if isinstance(event, ChunkEvent):
                    chunks.append(event)
                elif isinstance(event, TokenEvent):
                    written.append(event)
                    at = len(written)
                    if at > len(logged) or event.id != logged[at - 1].id:
                        break
                    if at == len(logged) and not whole:
                        break
    first = parting(logged, written)
    tokens = len(logged) if first is None else first.index
    passages = PINNED if pinned else compared(turn.reply.chunks, chunks)
    yield Replay(turn.id, tokens, first, passages, round(time.monotonic() - start, 3))


def parting(logged: Sequence[TokenEvent], new: Sequence[TokenEvent]) -> Parting | None:
    """Where two runs of tokens part, by their ids; None where they are the same."""
    for i, (a, b) in enumerate(zip(logged, new, strict=False)):
        if a.id != b.id:
            return Parting(i, _text(a), _text(b))
    i = min(len(logged), len(new))
    if len(logged) == len(new):
        return None
    return Parting(i, _text(*logged[i : i + 1]), _text(*new[i : i + 1]))


def compared(logged: Sequence[ReplyChunk], new: Iterable[ChunkEvent]) -> str:
    """Whether the same passages were shown, in words; chunks that came to neither are left out."""
    for a, b in zip(logged, new, strict=False):
        if _read(a.neighbours) != _read(b.neighbours):
            return f"different at chunk {b.index + 1}" + (f": {b.error}" if b.error else "")
    return "same"


def _read(neighbours: Sequence[Neighbour]) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """What a model reads of passages, and which they are."""
    return [(n.chunk_id, n.tokens, n.continuation_tokens) for n in neighbours]


def _text(*tokens: TokenEvent) -> str:
    """The text of a token; its id where it is a part of a character."""
    return "".join(t.text or f"token {t.id}" for t in tokens)
