"""JSON Lines: a flat object a failure, with the same columns in every line.

What has no fixed columns of its own (evidence, rulings, settings, passages) is JSON inside a text,
because readers of tables take the columns of a file from its first lines. Loads with
`datasets.load_dataset("json", data_files=...)`. Only `score` and `threshold` can be null, of
annotations.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from app.exports.failure import Failure, Written, compact

SCHEMA = "retroscope.failure/1"


def columns(failure: Failure) -> dict[str, Any]:
    """The columns of a failure: texts, numbers and None. `offsets` names the unit of the spans."""
    turn = failure.turn
    sampling = turn.settings.get("sampling", {})
    return {
        "schema": SCHEMA,
        "id": failure.id,
        "source": failure.source,
        "kind": failure.kind,
        "title": failure.title,
        "severity": failure.severity,
        "status": failure.status,
        "start": failure.start,
        "end": failure.end,
        "offsets": "code points",
        "quote": failure.quote,
        "prefix": failure.prefix,
        "suffix": failure.suffix,
        "value_hash": failure.hash,
        "note": failure.note,
        "score": failure.score,
        "threshold": failure.threshold,
        "evidence": compact(failure.evidence or {}),
        "detector": failure.detector,
        "version": failure.version,
        "rulings": compact(failure.rulings or {}),
        "annotator": failure.annotator,
        "blind": failure.blind,
        "supersedes": failure.supersedes or "",
        "created": failure.created,
        "turn": turn.id,
        "conversation": turn.conversation,
        "message": turn.message,
        "reply": turn.reply,
        "prompt_passage": turn.passage,
        "passages": compact([asdict(passage) for passage in failure.passages]),
        "finish": turn.finish,
        "written": turn.created,
        "model": turn.model,
        "fingerprint": turn.fingerprint,
        "database": turn.database,
        "program": turn.program,
        "temperature": sampling.get("temperature"),
        "top_k": sampling.get("top_k"),
        "top_p": sampling.get("top_p"),
        "max_tokens": sampling.get("max_tokens"),
        "seed": sampling.get("seed"),
        "retrieve": turn.settings.get("retrieve"),
        "k": turn.settings.get("k"),
        "settings": compact(turn.settings),
    }


_BLANK = Written("", "", "", "", "", "", "", "", "", "", "", {}, ())
HEADER = tuple(columns(Failure("", "machine", "", 1, "", 0, 0, "", "", "", _BLANK)))  # the names


def write(failures: Iterable[Failure]) -> Iterator[str]:
    for failure in failures:
        yield compact(columns(failure)) + "\n"
