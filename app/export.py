"""One conversation as a JSON document, and back without loss.

{"schema", "version", "program",
 "conversation": {"id", "title", "created", "updated"},
 "turns": [{"turn", "runs", "attribution", "judgements"}],
 "comparisons": [...]}

Turns come oldest first, so that a parent precedes its children. Records are written field by
field as app/records.py, engine/protocol.py, engine/attribution.py and retrieval/protocol.py
define them; offsets are Unicode code points, times UTC, log-probabilities and effects nats.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from app.plain import Unfit, plain, read, shown
from app.records import Comparison, DetectorRun, Finding, Judgement, Turn
from app.settings import VERSION
from app.store.queries import Reader
from app.store.rows import valid
from engine.attribution import Attribution, NeighbourEffect

SCHEMA, SCHEMA_VERSION = "retroscope.conversation", 1
_WIDTH = 100  # characters of a line, but for texts and lists of numbers
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_STEERING = re.compile("[\x7f-\x9f]")  # json escapes the others


class BadDocument(ValueError):
    """A file that is no conversation of ours; says what is wrong where."""


@dataclass(frozen=True)
class Heading:
    """What the list of conversations says of one."""

    id: str
    title: str
    created: str
    updated: str


@dataclass(frozen=True)
class Exchange:
    """A turn with all that was measured and said of it."""

    turn: Turn
    runs: tuple[DetectorRun, ...] = ()
    attribution: Attribution | None = None
    judgements: tuple[Judgement, ...] = ()

    @property
    def effects(self) -> dict[int, tuple[NeighbourEffect, ...]]:
        """Effects of the neighbours, by index of the chunk; empty where not measured."""
        if self.attribution is None:
            return {}
        measured = [chunk for chunk in self.turn.reply.chunks if chunk.last > chunk.first]
        pairs = zip(measured, self.attribution.chunks, strict=True)
        return {chunk.index: effect.neighbours for chunk, effect in pairs}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """In the order of the reply, as `Reader.findings`."""
        found = (finding for run in self.runs for finding in run.findings)
        return tuple(sorted(found, key=lambda finding: (finding.start, finding.end)))


@dataclass(frozen=True)
class Transcript:
    """A conversation with all its branches, oldest turn first.

    A comparison may name a turn of another conversation as one of its sides.
    """

    conversation: Heading
    turns: tuple[Exchange, ...]
    comparisons: tuple[Comparison, ...] = ()

    def branch(self, through: str) -> tuple[Exchange, ...]:
        """The exchanges from the first to the turn `through`; KeyError if it is not here."""
        by_id = {exchange.turn.id: exchange for exchange in self.turns}
        path = [by_id[through]]
        while (parent := path[-1].turn.parent) is not None:
            path.append(by_id[parent])
        return tuple(reversed(path))


def collect(log: Reader, conversation_id: str) -> Transcript:
    """A conversation from the log; raises LogError."""
    with log.snapshot():
        found = log.conversation(conversation_id)
        turns = tuple(_exchange(log, turn) for turn in log.tree(conversation_id))
        compared = {c.id: c for exchange in turns for c in log.comparisons(exchange.turn.id)}
    return Transcript(
        Heading(found.id, found.title, found.created, found.updated),
        turns,
        tuple(compared[id] for id in sorted(compared)),
    )


def exchange_of(log: Reader, turn_id: str) -> Exchange:
    """A turn with what the log has of it; raises LogError."""
    with log.snapshot():
        return _exchange(log, log.turn(turn_id))


def to_json(transcript: Transcript) -> str:
    """The document as text, laid out for reading and for comparing line by line."""
    head = {"schema": SCHEMA, "version": SCHEMA_VERSION, "program": f"Retroscope {VERSION}"}
    return _document(head | plain(transcript)) + "\n"


def exchange_json(exchange: Exchange) -> str:
    """One turn with all that belongs to it, as it stands in the document."""
    return _document(plain(exchange))


def transcript_of(text: str) -> Transcript:
    """`to_json` backwards; raises BadDocument."""
    try:
        document = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"this is not JSON: {error}") from None
    if not isinstance(document, dict) or document.pop("schema", None) != SCHEMA:
        raise BadDocument(f'this is no exported conversation: "schema" should be "{SCHEMA}"')
    if (version := document.pop("version", None)) != SCHEMA_VERSION:
        raise BadDocument(
            f"the document has version {shown(version)}, but this program reads version "
            f"{SCHEMA_VERSION}; use the program that wrote it: {shown(document.get('program'))}"
        )
    document.pop("program", None)
    try:
        transcript = read(Transcript, document)
        _check(transcript)
    except Unfit as error:
        raise BadDocument(f"{error}; export the conversation again") from None
    return transcript


def _exchange(log: Reader, turn: Turn) -> Exchange:
    return Exchange(turn, log.runs(turn.id), log.attribution(turn.id), log.judgements(turn.id))


def _check(transcript: Transcript) -> None:
    """What the types do not say. Raises Unfit."""
    seen: set[str] = set()
    for i, exchange in enumerate(transcript.turns):
        place, turn = f"turns[{i}]", exchange.turn
        if turn.id in seen:
            raise Unfit(f"{place}.turn.id", f"is that of an earlier turn: {shown(turn.id)}")
        if turn.conversation != transcript.conversation.id:
            raise Unfit(f"{place}.turn.conversation", f"is another one: {shown(turn.conversation)}")
        if turn.parent is not None and turn.parent not in seen:
            raise Unfit(f"{place}.turn.parent", f"is no earlier turn: {shown(turn.parent)}")
        seen.add(turn.id)
        _check_spans(exchange, place)
        for j, judgement in enumerate(exchange.judgements):
            if judgement.turn != turn.id:
                raise Unfit(f"{place}.judgements[{j}].turn", "is another turn")


def _check_spans(exchange: Exchange, place: str) -> None:
    reply = exchange.turn.reply
    characters, tokens = len(reply.text), len(reply.tokens)
    for j, chunk in enumerate(reply.chunks):
        inside = 0 <= chunk.start <= chunk.end <= characters
        if not (inside and 0 <= chunk.first <= chunk.last <= tokens):
            raise Unfit(f"{place}.turn.reply.chunks[{j}]", "reaches beyond the reply")
    for r, run in enumerate(exchange.runs):
        for f, finding in enumerate(run.findings):
            if not 0 <= finding.start <= finding.end <= characters:
                raise Unfit(f"{place}.runs[{r}].findings[{f}]", "reaches beyond the reply")
    if (effects := exchange.attribution) is not None:
        shown = [(c.last - c.first, len(c.neighbours)) for c in reply.chunks if c.last > c.first]
        measured = [(len(chunk.on), len(chunk.neighbours)) for chunk in effects.chunks]
        if measured != shown or len(effects.bare) != tokens:
            raise Unfit(f"{place}.attribution", "is of another reply")


def _document(value: Any) -> str:
    """JSON of valid Unicode, without characters that steer a terminal."""
    text = valid(_laid_out(value))
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _laid_out(value: Any, indent: str = "") -> str:
    """JSON with a line for each item, unless all fit on one line or are numbers."""
    more = indent + " "
    if isinstance(value, dict):
        left, right = "{}"
        parts = [f"{_encode(name)}: {_laid_out(item, more)}" for name, item in value.items()]
    elif isinstance(value, list):
        left, right = "[]"
        parts = [_laid_out(item, more) for item in value]
    else:
        return _encode(value)
    short = sum(map(len, parts)) + 2 * len(parts) <= _WIDTH
    numbers = isinstance(value, list) and all(isinstance(item, int | float) for item in value)
    if numbers or (short and not any("\n" in part for part in parts)):
        return f"{left}{', '.join(parts)}{right}"
    return f"{left}\n{more}" + f",\n{more}".join(parts) + f"\n{indent}{right}"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
