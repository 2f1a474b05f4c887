"""The queue view: one reply at a time, its findings to rule on and its failures to mark.

Every function takes one JSON value, which any page may send, and answers with a dictionary; where
something could not be done, that is {"problem": why}. What the annotator shall not see yet is not
sent: findings in blind mode, and what others say, until the review is done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.compose import Application
from app.failures.guidelines import guidelines
from app.failures.taxonomy import taxonomy
from app.records import Annotation, Review
from app.store.connection import LogError
from app.store.marks import named
from app.store.queue import Place, Queue
from app.ui.asking import Answer, Refused, Serve, answered, given
from app.ui.reviewing import annotation_told, reply_told

Wanted = Mapping[str, Any]


def annotating(app: Application) -> Sequence[Serve]:
    """What the view's scripts may ask for. Each takes one JSON value, which any page may send."""
    view = Annotating(app)
    return (
        view.labels, view.open, view.mark, view.revise, view.withdraw, view.restore, view.rule,
        view.judge, view.close,
    )  # fmt: skip


class Annotating:
    """What an annotator does. "annotator" is the name in every request."""

    def __init__(self, app: Application):
        self._app, self._marks, self._queue = app, app.marks, Queue(app.log)

    @answered
    def labels(self, wanted: Wanted) -> Answer:
        """The taxonomy, the keys that its labels have, and the guidelines."""
        rules = guidelines()
        return {
            "version": taxonomy().version,
            "labels": [asdict(label) for label in taxonomy().labels.values()],
            "guidelines": {
                "version": rules.version,
                "sections": [asdict(section) for section in rules.sections],
            },
        }

    @answered
    def open(self, wanted: Wanted) -> Answer:
        """{"turn": id, or "" for the next of the queue, "blind"} -> {"progress", "reply"}.

        Begins the review, unless it is done. The reply is None at the end of the queue; see
        `reply_told`. Only one that the queue draws can be blind: the findings of a chosen one may
        have been seen where it was chosen.
        """
        annotator, turn_id = _annotator(wanted), given(wanted, "turn", str)
        blind = given(wanted, "blind", bool)
        drawn = None if turn_id else self._queue.next(annotator)
        if drawn and drawn.turn is None:
            return {"progress": _progress(drawn), "reply": None}
        turn = self._app.log.turn(drawn.turn if drawn and drawn.turn else turn_id)
        review = self._marks.review(turn.id, annotator)
        if review is None or review.state != "done":
            unseen = blind and drawn is not None and not self._has_ruled(turn.id, annotator)
            self._marks.begin(turn.id, annotator, drawn.drawn if drawn else "chosen", blind=unseen)
        with self._app.log.snapshot():
            review = self._marks.review(turn.id, annotator)
            if review is None:
                raise LogError(f"the review of turn {turn.id} is gone; load the queue again")
            told = reply_told(
                turn, review, hide=blind and review.state == "open",
                findings=self._marks.findings(turn.id),
                annotations=self._marks.annotations(turn.id),
                judgements=self._app.log.judgements(turn.id),
            )  # fmt: skip
        return {"progress": _progress(drawn or self._queue.next(annotator)), "reply": told}

    @answered
    def mark(self, wanted: Wanted) -> Answer:
        """{"turn", "label", "start", "end", "quote", "severity", "note"} -> {"annotation"}.

        The offsets are code points; the quote must be what stands there.
        """
        annotator, turn_id = _annotator(wanted), given(wanted, "turn", str)
        span = given(wanted, "start", int), given(wanted, "end", int)
        quote = given(wanted, "quote", str)
        text = self._app.log.turn(turn_id).reply.text
        there = text[max(span[0], 0) : max(span[1], 0)]
        if 0 <= span[0] <= span[1] <= len(text) and there != quote:
            raise Refused(
                f"not marked: characters {span[0]} to {span[1]} of the reply are "
                f"“{_short(there)}”, not “{_short(quote)}”; load the reply again and mark them anew"
            )
        review = self._marks.review(turn_id, annotator)
        made = self._marks.annotate(
            turn_id, annotator, given(wanted, "label", str), span,
            severity=given(wanted, "severity", int), note=given(wanted, "note", str),
            blind=_is_blind(review),
        )  # fmt: skip
        return {"annotation": annotation_told(made, annotator)}

    @answered
    def revise(self, wanted: Wanted) -> Answer:
        """{"id", and what changes of "label", "severity", "note"} -> {"annotation"}, which has
        another id."""
        changes: dict[str, Any] = {
            name: given(wanted, name, kind)
            for name, kind in (("label", str), ("severity", int), ("note", str))
            if name in wanted
        }
        annotator = _annotator(wanted)
        made = self._marks.revise(given(wanted, "id", str), annotator, **changes)
        return {"annotation": annotation_told(made, annotator)}

    @answered
    def withdraw(self, wanted: Wanted) -> Answer:
        """{"id"} -> {"withdrawn": id}."""
        id = given(wanted, "id", str)
        self._marks.withdraw(id, _annotator(wanted))
        return {"withdrawn": id}

    @answered
    def restore(self, wanted: Wanted) -> Answer:
        """{"turn", "id"} -> {"annotation"}, in the place of what superseded it."""
        annotator, id = _annotator(wanted), given(wanted, "id", str)
        self._marks.restore(id, annotator)
        standing = self._marks.annotations(given(wanted, "turn", str))
        made: Annotation | None = next((a for a in standing if a.id == id), None)
        if made is None:
            raise Refused(f"annotation {id} is of another reply; load this one again")
        return {"annotation": annotation_told(made, annotator)}

    @answered
    def rule(self, wanted: Wanted) -> Answer:
        """{"turn", "finding": id, "ruling": accepted, rejected or null} -> {"ruling"}."""
        annotator, turn_id = _annotator(wanted), given(wanted, "turn", str)
        id, ruling = given(wanted, "finding", int), wanted.get("ruling")
        rule(self._app, turn_id, id, annotator, ruling)
        return {"ruling": ruling}

    @answered
    def judge(self, wanted: Wanted) -> Answer:
        """{"turn", "chunk", "rank", "verdict": useful, not, misleading or null} -> {"verdict"};
        chunk and rank count from 0."""
        annotator, verdict = _annotator(wanted), wanted.get("verdict")
        turn_id = given(wanted, "turn", str)
        chunk, rank = given(wanted, "chunk", int), given(wanted, "rank", int)
        chunks = self._app.log.turn(turn_id).reply.chunks
        if not 0 <= chunk < len(chunks):
            raise Refused(f"the reply of turn {turn_id} has no chunk {chunk + 1}; load it again")
        self._app.log.judge(turn_id, chunks[chunk].index, rank, verdict, annotator)
        return {"verdict": verdict}

    @answered
    def close(self, wanted: Wanted) -> Answer:
        """{"turn", "state": done or skipped} -> {"state"}."""
        state = wanted.get("state")
        if state not in ("done", "skipped"):  # opened again it would pass for blind
            raise Refused(f"a review ends as done or skipped, not as {state!r:.40}")
        self._marks.close(given(wanted, "turn", str), _annotator(wanted), state)
        return {"state": state}

    def _has_ruled(self, turn_id: str, annotator: str) -> bool:
        """Whether the annotator ruled on a finding before, on the chat page: saw it, that is."""
        return any(annotator in logged.rulings for logged in self._marks.findings(turn_id))


def rule(app: Application, turn_id: str, finding: int, annotator: str, ruling: Any) -> None:
    """Rules on a finding of a turn. Whoever does has seen it, so an open review is not blind.

    Raises LogError.
    """
    if all(logged.id != finding for logged in app.marks.findings(turn_id)):
        raise LogError(
            f"turn {turn_id} has no finding {finding}: it was checked again or deleted; "
            "load the reply again"
        )
    app.marks.rule(finding, annotator, ruling)
    review = app.marks.review(turn_id, named(annotator))
    if review and _is_blind(review):
        app.marks.begin(turn_id, annotator, review.drawn, blind=False)


def _is_blind(review: Review | None) -> bool:
    """What is marked after the end of a blind review is not blind: the findings are shown then."""
    return review is not None and review.blind and review.state == "open"


def _progress(place: Place) -> Answer:
    return {"done": place.done, "skipped": place.skipped, "total": place.total}


def _annotator(wanted: Wanted) -> str:
    return named(given(wanted, "annotator", str))


def _short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
