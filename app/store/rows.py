"""Turns, runs and findings as rows of the log; `values` is the way back.

SQLite holds every valid Unicode text, NUL included. A lone surrogate is no valid text (UTF-8 has
no bytes for it), so it is stored as U+FFFD; offsets stay true because one replaces one. A number
that JSON has no name for (infinity, not-a-number) is stored in JSON as its text.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.records import DetectorRun, Finding, Turn
from engine.protocol import Info, Reply, ReplyChunk, TokenEvent
from retrieval.protocol import Neighbour

Row = dict[str, Any]

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_TITLE = 60  # characters


def valid(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, so that it can be stored."""
    return _SURROGATE.sub("\ufffd", text)


def legible(text: str) -> str:
    """The text on one line: no control characters, single spaces."""
    return valid(" ".join(_CONTROL.sub(" ", text).split()))


def conversation_row(turn: Turn) -> Row:
    """The conversation that a first turn opens."""
    return storable(
        {
            "id": turn.conversation,
            "title": title_of(turn.message),
            "created": turn.created,
            "updated": turn.created,
        }
    )


def title_of(text: str) -> str:
    """The first line that has something to read, cut to 60 characters, else "Untitled"."""
    for line in text.lstrip()[:1000].splitlines():
        if title := legible(line):
            return title if len(title) <= _TITLE else title[: _TITLE - 1].rstrip() + "…"
    return "Untitled"


def model_row(model: Info) -> Row:
    row = asdict(model)
    return storable({"id": row.pop("fingerprint"), **row})


def turn_row(turn: Turn, app_version: str) -> Row:
    """A row of `turns` but for its place `n`."""
    settings, sampling = turn.settings, turn.settings.sampling
    return storable(
        {
            "id": turn.id,
            "conversation_id": turn.conversation,
            "parent_id": turn.parent,
            "message": turn.message,
            "finish": turn.finish,
            "error": turn.error,
            "passage": turn.passage,
            "model_id": turn.model.fingerprint,
            "database_fingerprint": turn.database,
            "retrieve": int(settings.retrieve),
            "k": settings.k,
            "temperature": float(sampling.temperature),
            "top_k": sampling.top_k,
            "top_p": float(sampling.top_p),
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
            "created": turn.created,
            "app_version": app_version,
            "settings": to_json(asdict(settings)),
            "model": to_json(asdict(turn.model)),
            **reply_columns(turn.reply),
        }
    )


def reply_columns(reply: Reply) -> Row:
    """The columns of `turns` that grow while a reply is written."""
    done = reply.done
    logprobs = [float(token.logprob) for token in reply.tokens]
    return storable(
        {
            "reply": reply.text,
            "n_tokens": len(reply.tokens),
            "mean_logprob": sum(logprobs) / len(logprobs) if logprobs else None,
            "prompt_tokens": done and done.prompt_tokens,
            "first_token_ms": done and _milliseconds(done.seconds.get("first_token")),
            "total_ms": done and _milliseconds(done.seconds.get("total")),
            "done_reason": done and done.reason,
            "timings": done and to_json(dict(done.seconds)),
        }
    )


def tokens_row(turn_id: str, tokens: Sequence[TokenEvent]) -> Row:
    return storable(
        {
            "turn_id": turn_id,
            "ids": to_json([token.id for token in tokens]),
            "texts": to_json([token.text for token in tokens]),
            "logprobs": to_json([token.logprob for token in tokens]),
            "top": to_json([token.top for token in tokens]),
            "chunks": to_json([token.chunk for token in tokens]),
        }
    )


def chunk_rows(turn_id: str, chunks: Sequence[ReplyChunk]) -> tuple[list[Row], list[Row]]:
    """Rows of `chunks`, and the rows of `neighbours` that belong to them."""
    rows, neighbours = [], []
    for place, chunk in enumerate(chunks):
        chunk_id = f"{turn_id}.{place}"
        rows.append(
            storable(
                {
                    "id": chunk_id,
                    "turn_id": turn_id,
                    "ord": chunk.index,
                    "query": chunk.query,
                    "start": chunk.start,
                    "end": chunk.end,
                    "first_token": chunk.first,
                    "last_token": chunk.last,
                    "seconds": float(chunk.seconds),
                    "error": chunk.error,
                }
            )
        )
        for rank, neighbour in enumerate(chunk.neighbours):
            neighbours.append(_neighbour_row(chunk_id, rank, neighbour))
    return rows, neighbours


def _neighbour_row(chunk_id: str, rank: int, neighbour: Neighbour) -> Row:
    return storable(
        {
            "chunk_id": chunk_id,
            "rank": rank,
            "title": neighbour.title,
            "distance": None if neighbour.distance is None else float(neighbour.distance),
            "overlap": float(neighbour.overlap),
            "text": neighbour.text,
            "continuation": neighbour.continuation,
            "source": neighbour.source,
            "database_document_id": int(neighbour.document_id),
            "database_chunk_id": int(neighbour.chunk_id),
            "position": int(neighbour.position),
            "start": int(neighbour.start),
            "end": int(neighbour.end),
            "tokens": to_json(neighbour.tokens),
            "continuation_tokens": to_json(neighbour.continuation_tokens),
        }
    )


def run_row(turn_id: str, run: DetectorRun) -> Row:
    return storable(
        {
            "turn_id": turn_id,
            "detector": run.detector,
            "version": run.version,
            "status": run.status,
            "seconds": float(run.seconds),
            "message": run.message,
        }
    )


def finding_row(turn_id: str, run_id: int, finding: Finding, created: str) -> Row:
    return storable(
        {
            "run_id": run_id,
            "turn_id": turn_id,
            "kind": finding.kind,
            "severity": finding.severity,
            "score": float(finding.score),
            "threshold": float(finding.threshold),
            "quote": finding.quote,
            "explanation": finding.explanation,
            "start": int(finding.start),
            "end": int(finding.end),
            "evidence": to_json(dict(finding.evidence)),
            "created": created,
        }
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def storable(row: Row) -> Row:
    """The row with only valid Unicode in its texts."""
    return {name: valid(value) if isinstance(value, str) else value for name, value in row.items()}


def to_json(value: object) -> str:
    """Compact JSON; may hold lone surrogates, which `storable` replaces."""
    try:
        return _dumps(value)
    except ValueError:  # an infinity or a not-a-number somewhere; rare, so looked for only now
        return _dumps(_named(value))


def _dumps(value: object) -> str:
    # Not escaped to ASCII: it can be read in a shell, and a surrogate stays visible to storable.
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
    )


def _plain(value: Any) -> Any:
    """What JSON does not know: a NumPy number becomes a number, anything else its text."""
    return value.item() if hasattr(value, "item") else str(value)


def _named(value: object) -> object:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case Mapping():
            return {key: _named(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_named(inner) for inner in value]
    return value
