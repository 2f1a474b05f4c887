"""Many cases at once: accept, reject, relabel, and take it back.

Each case is a transaction of its own. What cannot be done to a case is told with the reason, and
does not hold up the others.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.compose import Application
from app.failures.taxonomy import taxonomy
from app.store.cases import Case, Cases
from app.store.connection import LogError
from app.store.marks import named
from app.ui.annotating import rule
from app.ui.asking import Refused

MOST = 500  # cases at once
ACTIONS = ("accepted", "rejected", "relabel")
Step = dict[str, Any]  # what takes one change back; a page keeps it and may send anything instead


@dataclass
class Outcome:
    """How many cases were changed, what takes that back, and why how many others were not."""

    done: int = 0
    steps: list[Step] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


class Bulk:
    """What one annotator does to many cases."""

    def __init__(self, app: Application):
        self._app, self._cases = app, Cases(app.log)

    def act(self, ids: Sequence[Any], annotator: str, action: str, label: str = "") -> Outcome:
        """Raises Refused for what can be done to no case, LogError for an unfit name."""
        annotator = named(annotator)
        if action not in ACTIONS:
            raise Refused(f"there is no action {action!r}; give one of {', '.join(ACTIONS)}")
        if action == "relabel" and label not in taxonomy().labels:
            raise Refused(f"there is no label {label!r}; choose one of the list")
        wanted = list(dict.fromkeys(id for id in ids if isinstance(id, str)))
        if len(wanted) > MOST:
            raise Refused(f"{len(wanted):,} cases are too many at once; the most is {MOST}")
        cases = self._cases.of(wanted)
        outcome = Outcome()
        if gone := len(wanted) - len(cases):
            outcome.refused["gone: withdrawn, checked again or deleted"] = gone
        for case in cases:
            self._try(outcome, lambda case=case: self._act(case, annotator, action, label))
        return outcome

    def undo(self, steps: Sequence[Any], annotator: str) -> Outcome:
        """Takes steps of this annotator back, the last one first."""
        annotator = named(annotator)
        outcome = Outcome()
        for step in list(steps)[: -2 * MOST - 1 : -1]:
            self._try(outcome, lambda step=step: self._undo(step, annotator))
        return outcome

    @staticmethod
    def _try(outcome: Outcome, change: Callable[[], list[Step]]) -> None:
        try:
            outcome.steps += change()
            outcome.done += 1
        except (LogError, Refused) as problem:
            outcome.refused[str(problem)] += 1

    def _act(self, case: Case, annotator: str, action: str, label: str) -> list[Step]:
        if action == "relabel":
            return self._relabel(case, annotator, label)
        if case.source == "person":
            raise Refused("marked by a person, not found by a detector; relabel or withdraw it")
        if case.rulings.get(annotator) == action:
            raise Refused(f"{action} by you before")
        return [self._rule(case, annotator, action)]

    def _relabel(self, case: Case, annotator: str, label: str) -> list[Step]:
        if case.kind == label:
            raise Refused("has this label already")
        marks = self._app.marks
        if case.source == "person" and case.annotator == annotator:
            made = marks.revise(case.id[1:], annotator, label=label)
            return [{"made": made.id, "old": case.id[1:]}]
        span = case.start, case.end
        for own in marks.annotations(case.turn):
            if (own.annotator, own.label, own.start, own.end) == (annotator, label, *span):
                raise Refused("marked so by you before")
        made = marks.annotate(case.turn, annotator, label, span, severity=case.severity)
        steps: list[Step] = [{"made": made.id}]
        if case.source == "machine" and case.rulings.get(annotator) != "rejected":
            steps.append(self._rule(case, annotator, "rejected"))
        return steps

    def _rule(self, case: Case, annotator: str, ruling: str) -> Step:
        finding = int(case.id[1:])
        rule(self._app, case.turn, finding, annotator, ruling)
        return {"finding": finding, "turn": case.turn, "before": case.rulings.get(annotator)}

    def _undo(self, step: Any, annotator: str) -> list[Step]:
        match step:
            case {"finding": int(finding), "turn": str(turn), "before": before}:
                rule(self._app, turn, finding, annotator, before)
            case {"made": str(_), "old": str(old)}:
                self._app.marks.restore(old, annotator)
            case {"made": str(made)}:
                self._app.marks.withdraw(made, annotator)
            case _:
                raise Refused("the page sent no usable step to take back; load the page again")
        return []


_DONE = {"accepted": "Accepted", "rejected": "Rejected", "relabel": "Relabelled", "undo": "Undone"}


def told(action: str, outcome: Outcome, label: str = "") -> str:
    """What was done, and what was not and why, in words."""
    count = outcome.done
    what = f"{count:,} change{'' if count == 1 else 's'}" if action == "undo" else cases_of(count)
    to = f" as {taxonomy().title(label)}" if action == "relabel" else ""
    words = [f"{_DONE[action]} {what}{to}." if count else f"{_NOTHING[action]}."]
    if outcome.refused:
        words.append(f"Not done: {reasons(outcome.refused)}.")
    return " ".join(words)


_NOTHING = {
    "accepted": "Nothing was accepted", "rejected": "Nothing was rejected",
    "relabel": "Nothing was relabelled", "undo": "Nothing was undone",
}  # fmt: skip


def reasons(refused: Mapping[str, int]) -> str:
    """ "2 cases (has this label already); 1 case (…)"."""
    return "; ".join(f"{cases_of(n)} ({why})" for why, n in sorted(refused.items()))


def cases_of(count: int) -> str:
    return f"{count:,} case{'' if count == 1 else 's'}"
