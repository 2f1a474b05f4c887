"""What the inspector is given: a turn as JSON. Pure; offsets are code points of the text beside."""

from collections.abc import Sequence
from typing import Any

from app.failures.loops import Words
from app.records import Finding, Turn
from app.ui.copied import Shared, shared_runs
from engine.protocol import ReplyChunk
from retrieval.protocol import Neighbour

_ENDINGS = {
    "stop": "complete",
    "length": "ended: reached the limit of {limit} tokens",
    "context": "ended: the prompt and the reply filled the model's context of {context} tokens",
    "loop": "stopped early: the reply had begun to repeat itself",
    "stopped": "stopped by you",
    "error": "broken off by an error: {error}",
    "crashed": "broken off: the application ended while it was being written",
    "running": "being written",
}


def ending(turn: Turn) -> str:
    """How the reply ended, in words."""
    return _ENDINGS[turn.finish].format(
        limit=turn.settings.sampling.max_tokens, context=turn.model.context, error=turn.error
    )


def inspection(
    turn: Turn, findings: Sequence[Finding] = (), versions: Sequence[str] = ()
) -> dict[str, Any]:
    """The payload for one turn. `versions` are the ids of the replies beside it, itself included.

    {"turn", "text", "running", "ending", "facts", "version", "prompt_passage",
     "chunks": [{"start", "end", "cards", "absence"}], "findings"}; see `_card` and `_finding`.
    """
    reply = turn.reply
    words = Words.of(reply.text)
    return {
        "turn": turn.id,
        "text": reply.text,
        "running": turn.finish == "running",
        "ending": ending(turn),
        "facts": facts(turn),
        "version": _version(turn.id, versions),
        "prompt_passage": turn.passage,
        "chunks": [
            {
                "start": chunk.start,
                "end": chunk.end,
                "cards": [
                    _card(rank, neighbour, words, position, reply.chunks)
                    for rank, neighbour in enumerate(chunk.neighbours, 1)
                ],
                "absence": "" if chunk.neighbours else _absence(turn, chunk),
            }
            for position, chunk in enumerate(reply.chunks)
        ],
        "findings": [_finding(finding) for finding in findings],
    }


def facts(turn: Turn) -> list[str]:
    """What the reply was written with, a few words each."""
    sampling = turn.settings.sampling
    tokens = len(turn.reply.tokens)
    done = turn.reply.done
    length = f"{tokens} token{'' if tokens == 1 else 's'}"
    if done and "total" in done.seconds:
        length += f" in {done.seconds['total']:.1f} s"
    drawn = (
        "greedy"
        if sampling.temperature == 0
        else f"temperature {sampling.temperature:g}, seed {sampling.seed}"
    )
    return [turn.model.preset, length, drawn]


def _version(turn_id: str, versions: Sequence[str]) -> str:
    if len(versions) < 2 or turn_id not in versions:
        return ""
    return f"version {versions.index(turn_id) + 1} of {len(versions)}"


def _absence(turn: Turn, chunk: ReplyChunk) -> str:
    """Why a chunk has no neighbours."""
    if not turn.settings.retrieve:
        return "Retrieval was off, so no passage was shown for this chunk."
    if chunk.error:
        return f"No passage was shown for this chunk: {chunk.error}"
    return "No passage was found for this chunk."


def _shown_for(
    neighbour: Neighbour, position: int, chunks: Sequence[ReplyChunk]
) -> tuple[int, int]:
    """Code points of the reply written while the neighbour was shown, around one chunk.

    A passage often stays for several chunks; a run of words may then cross their borders.
    """

    def shown(chunk: ReplyChunk) -> bool:  # its distance may differ, as the query does
        place = (neighbour.chunk_id, neighbour.text)
        return any((n.chunk_id, n.text) == place for n in chunk.neighbours)

    first = last = position
    while first > 0 and shown(chunks[first - 1]):
        first -= 1
    while last + 1 < len(chunks) and shown(chunks[last + 1]):
        last += 1
    return chunks[first].start, chunks[last].end


def _card(
    rank: int, neighbour: Neighbour, reply: Words, position: int, chunks: Sequence[ReplyChunk]
) -> dict[str, Any]:
    """A neighbour of the chunk at `position`, with the words that the chunk shares with it.

    `marks` are spans of `text` and of `continuation`, `copied` are the same words in the reply.
    """
    border = len(neighbour.text)
    passage = Words.of(neighbour.text + neighbour.continuation)
    chunk = chunks[position]
    runs = [
        run
        for run in shared_runs(passage, reply, _shown_for(neighbour, position, chunks))
        if run.reply[0] < chunk.end and chunk.start < run.reply[1]
    ]
    return {
        "rank": rank,
        "title": neighbour.title,
        "source": neighbour.source,
        "start": neighbour.start,
        "end": neighbour.end,
        "distance": None if neighbour.distance is None else round(neighbour.distance, 4),
        "text": neighbour.text,
        "continuation": neighbour.continuation,
        "marks": {
            "text": _marks(runs, neighbour.text, 0),
            "continuation": _marks(runs, neighbour.continuation, border),
        },
        "copied": [list(run.reply) for run in runs],
    }


def _marks(runs: Sequence[Shared], part: str, offset: int) -> list[list[int]]:
    """Spans of a part that begins at `offset` of the passage: in order, merged, without edge space.

    A run that crosses from the neighbour into its continuation is marked in both.
    """
    spans: list[list[int]] = []
    for start, end in sorted(run.passage for run in runs):
        start, end = max(start - offset, 0), max(min(end - offset, len(part)), 0)
        quote = part[start:end]
        start, end = start + len(quote) - len(quote.lstrip()), start + len(quote.rstrip())
        if start >= end:
            continue
        if spans and start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([start, end])
    return spans


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "start": finding.start,
        "end": finding.end,
        "quote": finding.quote,
        "score": round(finding.score, 3),
        "threshold": round(finding.threshold, 3),
        "severity": finding.severity,
        "explanation": finding.explanation,
    }
