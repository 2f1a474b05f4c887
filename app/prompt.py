"""The prompt of a turn: what the model reads before it writes, as it is now and as it was."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.records import Settings, Turn
from app.store.queries import Reader
from engine.presets import PRESETS
from engine.protocol import Info, Segment
from prompts.dialogue import exchange, template_of
from prompts.templates import Template
from retrieval.protocol import CHUNK, Neighbour

Count = Callable[[str], int]  # tokens in a text, as `Engine.count`
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]|[\ud800-\udfff]")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")


@dataclass(frozen=True)
class Piece:
    """A piece of a prompt: its tokens, and the padding tokens that stand in front of them."""

    text: str
    tokens: int
    padding: int


@dataclass(frozen=True)
class LaidOut:
    """A prompt on the chunk grid. `total` are its tokens with padding, `context` is the most that
    it and the reply can have together."""

    pieces: tuple[Piece, ...]
    total: int
    context: int


def prompt_of(log: Reader, turn: Turn, count: Count) -> tuple[Segment, ...]:
    """The prompt of a turn, of one in the log the same as when it was written.

    `count` must be of the tokenizer that the turn names. Raises LogError where an earlier turn is
    not in the log, and BadTemplate.
    """
    past = past_of(log, turn.parent, turn.settings.history)
    return fit(turn.message, turn.passage, past, turn.settings, turn.model, count)


def past_of(log: Reader, parent: str | None, count: int) -> list[Turn]:
    """The last `count` turns up to `parent`, oldest first. Raises LogError if it is unknown."""
    past: list[Turn] = []
    while parent is not None and len(past) < max(count, 1):
        past.insert(0, log.turn(parent))
        parent = past[0].parent
    return past[-count:] if count else []


def fit(
    message: str, passage: str, past: Sequence[Turn], settings: Settings, model: Info, count: Count
) -> tuple[Segment, ...]:
    """The prompt with as many earlier exchanges as fit beside the reply. Raises BadTemplate."""
    template = template_of(settings.template)
    gap = chunk_of(model) - 1  # the most padding in front of a segment

    def size(segment: Segment) -> int:
        if segment.tokens is not None:
            return len(segment.tokens)
        return count(segment.text) + (gap if segment.ends_chunk else 0)

    room = model.context - settings.sampling.max_tokens
    segments = render(message, passage, past, template)
    while past and sum(map(size, segments)) > room:
        past = past[1:]
        segments = render(message, passage, past, template)
    return segments


def render(
    message: str, passage: str, past: Sequence[Turn], template: Template
) -> tuple[Segment, ...]:
    """The prompt: earlier exchanges with the neighbours they were written under, then this one."""
    segments: list[Segment] = []
    for turn in past:
        text = exchange(turn.message, turn.passage, first=not segments, template=template)
        segments.append(Segment(text, ends_chunk=True))
        if turn.reply.tokens:
            tokens = tuple(t.id for t in turn.reply.tokens)
            shown = tuple(c.neighbours for c in turn.reply.chunks)
            segments.append(Segment(turn.reply.text, tokens=tokens, shown=shown))
    text = exchange(message, passage, first=not segments, template=template)
    return (*segments, Segment(text, ends_chunk=True))


def laid_out(segments: Sequence[Segment], model: Info, count: Count) -> LaidOut:
    """Where the pieces of a prompt come to lie, as the engine lays them out."""
    pieces: list[Piece] = []
    total = 0
    for segment in segments:
        tokens = count(segment.text) if segment.tokens is None else len(segment.tokens)
        padding = -(total + tokens) % chunk_of(model) if segment.ends_chunk else 0
        pieces.append(Piece(segment.text, tokens, padding))
        total += padding + tokens
    return LaidOut(tuple(pieces), total, model.context)


def chunk_of(model: Info) -> int:
    """Tokens in a chunk of a model."""
    preset = PRESETS.get(model.preset)
    return preset.chunk if preset else CHUNK


def cleaned(text: str) -> str:
    """A text from outside without control characters, lines ended by \\n, no space around it."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def whole_sentences(neighbour: Neighbour) -> str:
    """A passage and its continuation, from the first to the last whole sentence in them."""
    text = f"{neighbour.text}{neighbour.continuation}"
    ends = [m.end() for m in _SENTENCE_END.finditer(text)]
    if not ends:
        return text.strip()
    start = 0 if neighbour.start == 0 or len(ends) < 2 else ends[0]
    return text[start : ends[-1]].strip()
