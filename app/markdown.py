"""A conversation to read: Markdown in which no text of it can act as Markdown or HTML."""

import re
from collections.abc import Iterator
from dataclasses import replace

from app.export import Exchange, Transcript
from app.records import Settings
from app.settings import VERSION
from app.store.effects import gain_of
from app.store.rows import legible, valid
from engine.protocol import ReplyChunk
from retrieval.protocol import Neighbour

_LEGEND = (
    "A passage is what the model was shown while it wrote a chunk, not necessarily the source of "
    "what it says. An effect is what a passage changed in the log-probability of the chunk, in "
    "nats, measured on this reply."
)
_VERDICTS = {"useful": "useful", "not": "not useful", "misleading": "misleading"}
_NEWLINE = re.compile("\r\n?|[\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SIGN = re.compile(r"[\\`*_\[\]<>&|~$#]")
_LINE_START = re.compile(r"^(?=[-+=:%])|^(\d+)(?=[.)])")


def to_markdown(transcript: Transcript, through: str | None = None) -> str:
    """All turns, oldest first, or those of the branch that ends in the turn `through`.

    Passages follow at the end, each once. KeyError where there is no such turn.
    """
    chosen = transcript.turns if through is None else transcript.branch(through)
    numbers = {exchange.turn.id: i for i, exchange in enumerate(chosen, 1)}
    passages: dict[Neighbour, int] = {}
    head = transcript.conversation
    extent = "with all versions" if through is None else f"up to reply {inline(through)}"
    blocks = [
        f"# {inline(head.title) or 'Untitled'}",
        f"Conversation {inline(head.id)}, {extent}. Begun {inline(head.created)}, last changed "
        f"{inline(head.updated)}; written by Retroscope {VERSION}.",
        _LEGEND,
    ]
    for exchange in chosen:
        blocks += _exchange(exchange, transcript, numbers, passages)
    for neighbour, number in passages.items():
        blocks += [
            f"## Passage {number}: {inline(neighbour.title) or 'without a title'}",
            f"{inline(neighbour.source)}, characters {neighbour.start} to {neighbour.end}",
            quote(neighbour.text),
        ]
        if neighbour.continuation.strip():
            blocks += ["and its continuation", quote(neighbour.continuation)]
    return "\n\n".join(blocks) + "\n"


def inline(text: str) -> str:
    """A text on one line, shown as it is."""
    return _shown(legible(text))


def quote(text: str) -> str:
    """A text as a block quote, line by line as it is; indentation is kept."""
    lines = _CONTROL.sub("", _NEWLINE.sub("\n", valid(text))).split("\n")
    quoted = []
    for i, line in enumerate(lines):
        text = line.strip()
        indent = "\u00a0" * len(line[: len(line) - len(line.lstrip())].expandtabs(4))
        # a backslash keeps a line break that Markdown would make a space
        end = "\\" if any(after.strip() for after in lines[i + 1 : i + 2]) else ""
        quoted.append(f"> {indent}{_shown(text)}{end}" if text else ">")
    while quoted and quoted[-1] == ">":
        quoted.pop()
    return "\n".join(quoted) or "> *(empty)*"


def _shown(line: str) -> str:
    """A line with a backslash before every sign that Markdown would act on."""
    return _LINE_START.sub(r"\1\\", _SIGN.sub(r"\\\g<0>", line))


def _exchange(
    exchange: Exchange,
    transcript: Transcript,
    numbers: dict[str, int],
    passages: dict[Neighbour, int],
) -> Iterator[str]:
    turn, reply = exchange.turn, exchange.turn.reply
    follows = f" (follows {numbers[turn.parent]})" if turn.parent else ""
    yield f"## {numbers[turn.id]}. Message{follows}"
    yield quote(turn.message)
    if turn.passage:
        yield "Put into the prompt before the message:"
        yield quote(turn.passage)
    yield f"## {numbers[turn.id]}. Reply {inline(turn.id)}"
    versions = [e.turn.id for e in transcript.turns if e.turn.parent == turn.parent]
    version = f"version {versions.index(turn.id) + 1} of {len(versions)}, "
    ended = f"ended: {turn.finish}" + (f" ({inline(turn.error)})" if turn.error else "")
    yield (
        f"{version if len(versions) > 1 else ''}{inline(turn.created)}, "
        f"{inline(turn.model.preset)}, {asked(turn.settings)}, {ended}"
    )
    yield quote(reply.text)
    if exchange.attribution and (gain := gain_of(exchange.attribution)) is not None:
        yield f"All passages together changed this reply by {gain:+.2f} nats."
    lines = []
    for number, chunk in enumerate(reply.chunks, 1):
        place = f"Chunk {number}, characters {chunk.start} to {chunk.end}"
        lines.append(f"- {place}: {_passages(exchange, chunk, passages)}")
    for finding in exchange.findings:
        place = f"characters {finding.start} to {finding.end}"
        what = f"{inline(finding.kind)} ({finding.severity})"
        lines.append(f"- Found: {what}, {place}: {inline(finding.explanation)}")
    for comparison in transcript.comparisons:
        if comparison.b == turn.id:
            vote = {"a": "the other", "b": "this one", "tie": "a tie", None: "none"}
            lines.append(
                f"- Compared with reply {inline(comparison.a)}; changed here: "
                f"{inline(comparison.change)}; vote: {vote[comparison.vote]}"
            )
    if lines:
        yield "\n".join(lines)


def facts(exchange: Exchange, chunk: ReplyChunk, rank: int) -> str:
    """What is known of a passage that was shown for a chunk: distance, effect, judgements."""
    known = []
    if (distance := chunk.neighbours[rank].distance) is not None:
        known.append(f"distance {distance:.3f}")
    if effects := exchange.effects.get(chunk.index):
        known.append(f"effect {effects[rank].shapley:+.2f} nats")
    for judgement in exchange.judgements:
        if (judgement.chunk, judgement.rank) == (chunk.index, rank):
            by = f" by {legible(judgement.annotator)}" if judgement.annotator else ""
            known.append(f"judged {_VERDICTS[judgement.verdict]}{by}")
    return ", ".join(known)


def _passages(exchange: Exchange, chunk: ReplyChunk, numbers: dict[Neighbour, int]) -> str:
    """Mentions of a chunk's passages, which are given numbers where they have none yet."""
    mentions = []
    for rank, neighbour in enumerate(chunk.neighbours):
        # the same passage may be found again, at another distance
        alone = replace(neighbour, distance=None, overlap=0.0)
        number = numbers.setdefault(alone, len(numbers) + 1)
        known = facts(exchange, chunk, rank)
        mentions.append(f"passage {number}" + (f" ({inline(known)})" if known else ""))
    why = f" ({inline(chunk.error)})" if chunk.error else ""
    return "; ".join(mentions) or f"no passage{why}"


def asked(settings: Settings) -> str:
    """How the reply was asked for, as far as it is not the usual."""
    sampling = settings.sampling
    drawn = f"temperature {sampling.temperature:g}, seed {sampling.seed}"
    facts = ["greedy" if sampling.temperature == 0 else drawn]
    if not settings.retrieve:
        facts.append("retrieval off")
    elif settings.random:
        facts.append("random passages")
    if settings.pinned:
        facts.append(f"{len(settings.pinned)} pinned passages")
    if settings.without:
        facts.append(f"without {len(settings.without)} passages")
    return ", ".join(facts)
