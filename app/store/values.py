"""Rows of the log as the turns, runs and findings that were saved: `rows` backwards, no loss."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from app.records import DetectorRun, Finding, Settings, Turn
from engine.protocol import DoneEvent, Info, Reply, ReplyChunk, Sampling, TokenEvent
from retrieval.protocol import Neighbour

Row = dict[str, Any]


def turn_of(turn: Row, tokens: Row, chunks: Sequence[Row], neighbours: Sequence[Row]) -> Turn:
    """The turn that was saved, from its rows in their order."""
    done = None
    if turn["done_reason"] is not None:
        seconds = {name: float(value) for name, value in json.loads(turn["timings"]).items()}
        done = DoneEvent(turn["done_reason"], turn["prompt_tokens"], seconds)
    shown: dict[str, list[Neighbour]] = {chunk["id"]: [] for chunk in chunks}
    for row in neighbours:
        shown[row["chunk_id"]].append(_neighbour_of(row))
    return Turn(
        id=turn["id"],
        conversation=turn["conversation_id"],
        parent=turn["parent_id"],
        message=turn["message"],
        reply=Reply(
            turn["reply"],
            tuple(_tokens_of(tokens)),
            tuple(_chunk_of(row, shown[row["id"]]) for row in chunks),
            done,
        ),
        settings=settings_of(turn["settings"]),
        model=Info(**json.loads(turn["model"])),
        database=turn["database_fingerprint"],
        finish=turn["finish"],
        created=turn["created"],
        passage=turn["passage"],
        error=turn["error"],
    )


def settings_of(text: str) -> Settings:
    """Settings from their JSON; what an older program did not write has its default."""
    stored = json.loads(text)
    stored["sampling"] = Sampling(**stored["sampling"])
    stored["pinned"] = tuple(_pinned_of(row) for row in stored.get("pinned", ()))
    stored["without"] = tuple(stored.get("without", ()))
    return Settings(**stored)


def _pinned_of(row: Row) -> Neighbour:
    distance = row["distance"]
    changed = {
        "tokens": tuple(row["tokens"]),
        "continuation_tokens": tuple(row["continuation_tokens"]),
        "distance": None if distance is None else float(distance),  # JSON has "inf" as text
        "overlap": float(row["overlap"]),
    }
    return Neighbour(**row | changed)


def _tokens_of(row: Row) -> Iterable[TokenEvent]:
    columns = (json.loads(row[name]) for name in ("ids", "texts", "logprobs", "top", "chunks"))
    for token, text, logprob, top, chunk in zip(*columns, strict=True):
        likeliest = tuple((other, float(value)) for other, value in top)
        yield TokenEvent(token, text, float(logprob), likeliest, chunk)


def _chunk_of(row: Row, neighbours: Sequence[Neighbour]) -> ReplyChunk:
    return ReplyChunk(
        index=row["ord"],
        query=row["query"],
        neighbours=tuple(neighbours),
        seconds=row["seconds"],
        error=row["error"],
        first=row["first_token"],
        last=row["last_token"],
        start=row["start"],
        end=row["end"],
    )


def _neighbour_of(row: Row) -> Neighbour:
    return Neighbour(
        chunk_id=row["database_chunk_id"],
        document_id=row["database_document_id"],
        title=row["title"],
        source=row["source"],
        position=row["position"],
        start=row["start"],
        end=row["end"],
        text=row["text"],
        continuation=row["continuation"],
        tokens=tuple(json.loads(row["tokens"])),
        continuation_tokens=tuple(json.loads(row["continuation_tokens"])),
        distance=row["distance"],
        overlap=row["overlap"],
    )


def finding_of(row: Row) -> Finding:
    return Finding(
        kind=row["kind"],
        start=row["start"],
        end=row["end"],
        quote=row["quote"],
        score=row["score"],
        threshold=row["threshold"],
        severity=row["severity"],
        explanation=row["explanation"],
        evidence=json.loads(row["evidence"]),
    )


def run_of(row: Row, findings: Iterable[Finding]) -> DetectorRun:
    return DetectorRun(
        row["detector"],
        row["version"],
        row["status"],
        row["seconds"],
        tuple(findings),
        row["message"],
    )
