"""A reply as an annotator is shown it, as JSON. Pure; offsets are code points of the reply."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.failures.taxonomy import taxonomy, top_of
from app.records import Annotation, Judgement, Logged, Review, Turn
from app.ui.payload import facts, finding_told, inspection

Answer = dict[str, Any]

_WHY = {
    "flagged": "In the queue because a detector found something.",
    "sample": "Drawn at random from the replies without a finding, so that it can be told what "
    "the detectors miss.",
    "chosen": "Opened by its address, so it was not drawn by the queue.",
}
_HIDDEN = (
    "Blind: whether there are findings, and which, is shown when you have finished this reply."
)
_SEEN = " It does not count as blind: its findings may have been seen before."


def reply_told(
    turn: Turn,
    review: Review,
    *,
    hide: bool,
    findings: Sequence[Logged],
    annotations: Sequence[Annotation],
    judgements: Sequence[Judgement],
) -> Answer:
    """The reply with what the annotator of the review may see of it.

    {"turn", "message", "text", "facts", "ending", "state", "blind", "hidden", "why",
     "findings", "annotations", "chunks"}. With `hide` no finding is told, nor how the reply was
    drawn. What others say is told when the review is done. Chunks are those of `inspection`, with
    the verdicts of this annotator.
    """
    mine, done = review.annotator, review.state == "done"
    own = [replace(j, annotator="") for j in judgements if j.annotator == mine]
    shown = inspection(turn, judgements=own)
    return {
        "turn": turn.id,
        "message": turn.message,
        "text": turn.reply.text,
        "facts": [*facts(turn), _retrieval(turn), turn.created[:10]],
        "ending": shown["ending"],
        "state": review.state,
        "blind": review.blind,
        "hidden": hide,
        "why": _HIDDEN + ("" if review.blind else _SEEN) if hide else _WHY[review.drawn],
        "findings": [] if hide else [_finding(f, mine, done) for f in findings],
        "annotations": [
            annotation_told(a, mine) for a in annotations if done or a.annotator == mine
        ],
        "chunks": shown["chunks"],
    }  # fmt: skip


def annotation_told(annotation: Annotation, annotator: str) -> Answer:
    """What is shown of an annotation; "mine" says whether the annotator may change it."""
    names = ("id", "label", "start", "end", "quote", "severity", "note", "annotator")
    told = {name: getattr(annotation, name) for name in names}
    return {
        **told,
        "title": taxonomy().title(annotation.label),
        "mine": annotation.annotator == annotator,
    }


def _finding(logged: Logged, mine: str, others: bool) -> Answer:
    rulings = logged.rulings if others else {}
    return {
        **finding_told(logged.finding),
        "id": logged.id,
        "title": _title(logged.finding.kind),
        "evidence": dict(logged.finding.evidence),
        "ruling": logged.rulings.get(mine),
        "others": [{"annotator": n, "ruling": r} for n, r in rulings.items() if n != mine],
    }


def _title(kind: str) -> str:
    """The title of the kind; of the kind above it where the list lacks this one."""
    return taxonomy().title(kind if kind in taxonomy().labels else top_of(kind))


def _retrieval(turn: Turn) -> str:
    if not turn.settings.retrieve:
        return "retrieval off"
    return f"retrieval on, {turn.settings.k} passage{'' if turn.settings.k == 1 else 's'} a chunk"
