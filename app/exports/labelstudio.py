"""Label Studio: a task a turn, findings as predictions and people's annotations as annotations.

Label Studio counts the offsets of a plain text in Unicode code points, as this application does:
its own browser tests of texts with emoji say so ("offsets by code points in text"), while before
2022 it counted UTF-16 code units (issues 1008, 1347). So offsets are written as they are. Regions
belong to a control named "label" on a text named "text"; `meta` keeps what Label Studio has no
place for, so that reading a file back loses nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from app.exports.failure import Failure, compact

META = "retroscope"  # the name in a region's meta


def write(failures: Iterable[Failure]) -> Iterator[str]:
    """`failures` of a turn must follow each other."""
    yield "["
    between = "\n"
    for _, group in groupby(failures, key=lambda failure: failure.turn.id):
        yield between + compact(task(list(group)))
        between = ",\n"
    yield "\n]\n"


def task(failures: list[Failure]) -> dict[str, Any]:
    """The task of a turn with these failures, at least one."""
    turn = failures[0].turn
    data = {
        "text": turn.reply,
        "message": turn.message,
        "turn": turn.id,
        "conversation": turn.conversation,
        "model": turn.model,
        "fingerprint": turn.fingerprint,
        "written": turn.created,
        "settings": compact(turn.settings),
        "passages": [asdict(passage) for passage in turn.passages],
    }
    predictions: dict[str, list[Failure]] = {}
    annotations: dict[str, list[Failure]] = {}
    for failure in failures:
        if failure.source == "machine":
            by = f"retroscope {failure.detector} {failure.version}"
            predictions.setdefault(by, []).append(failure)
        else:
            annotations.setdefault(failure.annotator, []).append(failure)
    return {
        "data": data,
        "predictions": [
            {"model_version": by, "result": [region(failure) for failure in found]}
            for by, found in predictions.items()
        ],
        "annotations": [
            {"result": [region(failure) for failure in found]} for found in annotations.values()
        ],
    }


def region(failure: Failure) -> dict[str, Any]:
    machine = failure.source == "machine"
    own: dict[str, Any] = {"id": failure.id, "severity": failure.severity}
    if machine:
        own |= {"status": failure.status, "threshold": failure.threshold}
        own |= {"evidence": compact(failure.evidence or {}), "value_hash": failure.hash}
        own |= {"rulings": dict(failure.rulings or {})}
    else:
        own |= {"annotator": failure.annotator, "blind": failure.blind}
        own |= {"version": failure.version, "supersedes": failure.supersedes}
    return {
        "id": failure.id,
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {
            "start": failure.start,
            "end": failure.end,
            "text": failure.quote,
            "labels": [failure.kind],
        },
        **({"score": failure.score} if machine else {}),
        "meta": {
            "text": [failure.note] if failure.note else [],
            META: {**own, "created": failure.created},
        },
    }
