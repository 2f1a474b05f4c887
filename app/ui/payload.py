"""What the inspector is given: a turn as JSON. Pure; offsets are code points of the text beside."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from app.failures.loops import Words
from app.failures.quality import quality_of
from app.records import DetectorRun, Finding, Judgement, Turn, Verdict
from app.shared import Shared, shared_runs
from engine.protocol import ReplyChunk
from retrieval.protocol import Neighbour

# Runs of words that a passage shares with what begins in a span of the reply.
Runs = Callable[[str, tuple[int, int]], list[Shared]]

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
    turn: Turn,
    findings: Sequence[Finding] = (),
    versions: Sequence[str] = (),
    *,
    runs: Sequence[DetectorRun] = (),
    judgements: Sequence[Judgement] = (),
) -> dict[str, Any]:
    """The payload for one turn. `versions` are the ids of the replies beside it, itself included.

    {"turn", "text", "running", "ending", "facts", "version", "prompt_passage",
     "chunks": [{"start", "end", "tokens", "origin", "query", "cards", "absence"}], "findings",
     "ran": [{"detector", "status", "message"}]}; see `_card` and `finding_told`.
    """
    reply = turn.reply
    words = Words.of(reply.text)
    verdicts: dict[tuple[int, int], Verdict] = {
        (j.chunk, j.rank): j.verdict for j in judgements if not j.annotator
    }

    @cache  # a passage often stays for many chunks
    def shared(passage: str, within: tuple[int, int]) -> list[Shared]:
        return shared_runs(Words.of(passage), words, within)

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
                "tokens": chunk.last - chunk.first,
                "origin": _origin(turn, position),
                "query": chunk.query,
                "cards": [
                    _card(turn, position, rank, shared, verdicts.get((chunk.index, rank)))
                    for rank in range(len(chunk.neighbours))
                ],
                "absence": "" if chunk.neighbours else _absence(turn, chunk),
            }
            for position, chunk in enumerate(reply.chunks)
        ],
        "findings": [finding_told(finding) for finding in findings],
        "ran": [
            {"detector": run.detector, "status": run.status, "message": run.message} for run in runs
        ],
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


def _origin(turn: Turn, position: int) -> str:
    """How the passages of a chunk came to it: by what was there before it, never by its own text.

    The search is made when the text before is complete (RETRO, section 2.4).
    """
    settings = turn.settings
    neighbours = turn.reply.chunks[position].neighbours
    if not neighbours:
        return ""
    if all(_pinned(turn, neighbour) for neighbour in neighbours):
        how = "chosen by hand"
    elif settings.random:
        how = "drawn at random"
    elif position == 0:
        how = "found with the question"
    elif settings.follow == "chunk":
        how = f"found with the text of chunk {position}"
    else:
        how = f"found with the question and the text of chunk {position}"
    its, were, them = (
        ("Its passage", "was", "it") if len(neighbours) == 1 else ("Its passages", "were", "them")
    )
    return f"{its} {were} {how}; the model read {them} while it wrote this chunk."


def _pinned(turn: Turn, neighbour: Neighbour) -> bool:
    return any(_same(neighbour, pinned) for pinned in turn.settings.pinned)


def _same(one: Neighbour, other: Neighbour) -> bool:
    """The same passage; its distance may differ, as the query does."""
    return (one.chunk_id, one.text) == (other.chunk_id, other.text)


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

    def shown(chunk: ReplyChunk) -> bool:
        return any(_same(neighbour, n) for n in chunk.neighbours)

    first = last = position
    while first > 0 and shown(chunks[first - 1]):
        first -= 1
    while last + 1 < len(chunks) and shown(chunks[last + 1]):
        last += 1
    return chunks[first].start, chunks[last].end


def _card(
    turn: Turn, position: int, rank: int, shared: Runs, verdict: Verdict | None
) -> dict[str, Any]:
    """A neighbour of the chunk at `position`, with the words that the chunk shares with it.

    `marks` are spans of `text` and of `continuation`, `copied` are the same words in the reply.
    `document` says whether it comes from one that can be opened.
    """
    chunk = turn.reply.chunks[position]
    neighbour = chunk.neighbours[rank]
    border = len(neighbour.text)
    runs = [
        run
        for run in shared(
            neighbour.text + neighbour.continuation,
            _shown_for(neighbour, position, turn.reply.chunks),
        )
        if run.reply[0] < chunk.end and chunk.start < run.reply[1]
    ]
    return {
        "rank": rank + 1,
        "passage": neighbour.chunk_id,
        "title": neighbour.title,
        "source": neighbour.source,
        "document": neighbour.document_id >= 0,
        "pinned": _pinned(turn, neighbour),
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
        "verdict": verdict,
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


def finding_told(finding: Finding) -> dict[str, Any]:
    """A finding with how often such findings were right on labelled cases."""
    quality = quality_of(finding.kind)
    return {
        "kind": finding.kind,
        "start": finding.start,
        "end": finding.end,
        "quote": finding.quote,
        "score": round(finding.score, 3),
        "threshold": round(finding.threshold, 3),
        "severity": finding.severity,
        "explanation": finding.explanation,
        "quality": quality.words() if quality else "",
    }
