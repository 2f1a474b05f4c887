"""The browse view: cases, which are findings of detectors and failures that people marked.

Every function takes one JSON value, which any page may send, and answers with a dictionary; where
something could not be done, that is {"problem": why}.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from app.compose import Application
from app.failures.taxonomy import taxonomy
from app.records import Turn
from app.similar import Similar
from app.store.cases import Case, Cases, Counts, Sort
from app.store.filters import Filter
from app.ui.asking import Answer, Refused, Serve, answered, given
from app.ui.bulk import Bulk, told
from app.ui.payload import ending, facts, finding_told

ROWS = 50  # cases on a page
CLIP = 160  # characters of a quote in the list

_NO_ENCODER = (
    "Similar cases are found with the passage encoder, which is not there: {why} "
    "Open the case again when the passages are ready."
)


def browsing(app: Application) -> Sequence[Serve]:
    """What the view's scripts may ask for. Each takes one JSON value, which any page may send."""
    view = Browsing(app)
    return [view.choices, view.cases, view.case, view.similar, view.act, view.undo]


class Browsing:
    """What the browse view asks for."""

    def __init__(self, app: Application):
        self._app, self._cases, self._bulk = app, Cases(app.log), Bulk(app)
        self._similar = Similar(app.log, lambda: app.passages and app.passages.embedder)

    @answered
    def choices(self, wanted: Mapping[str, Any]) -> Answer:
        """What the filters can be set to."""
        choices = self._cases.choices()
        return {
            "kinds": [
                {"code": label.code, "title": label.title, "parent": label.parent,
                 "meaning": label.meaning}
                for label in taxonomy().labels.values()
            ],
            "models": [{"name": name, "fingerprint": id} for id, name in choices.models.items()],
            "ways": [{"value": way.code, "text": way.words()} for way in choices.ways],
            "annotators": list(choices.annotators),
        }  # fmt: skip

    @answered
    def cases(self, wanted: Mapping[str, Any]) -> Answer:
        """{"filter", "sort", "descending", "page": from 0} -> the rows of that page and counts.

        A page beyond the last is the last; "all" counts every case of the log.
        """
        filter = Filter.of(given(wanted, "filter", dict))
        sort, descending = _sort(wanted), given(wanted, "descending", bool)
        with self._app.log.snapshot():
            counts = self._cases.counts(filter)
            everything = counts.total if filter == Filter() else self._cases.count()
            pages = max(1, -(-counts.total // ROWS))
            page = min(max(given(wanted, "page", int), 0), pages - 1)
            first = page * ROWS
            rows = min(ROWS, counts.total - first)
            after = counts.total - first - rows
            backwards = after < first  # a page near the end is near the beginning the other way
            found = self._cases.cases(
                filter, sort=sort, descending=descending != backwards,
                offset=after if backwards else first, limit=rows,
            )  # fmt: skip
        return {
            "rows": [_row(case) for case in (reversed(found) if backwards else found)],
            "total": counts.total,
            "all": everything,
            "summary": summary(counts),
            "page": page,
            "pages": pages,
            "first": first,
            "filter": filter.given(),
        }

    @answered
    def case(self, wanted: Mapping[str, Any]) -> Answer:
        """{"id", "annotator"} -> the case with its reply, evidence and passages, and the other
        cases of the reply. Offsets are code points of the reply."""
        with self._app.log.snapshot():
            case = self._case(wanted)
            turn = self._app.log.turn(case.turn)
            logged = {f"f{f.id}": f for f in self._app.marks.findings(turn.id)}
            others = self._cases.of_turn(turn.id)
            reviews = self._cases.reviews(turn.id)
        finding = logged[case.id].finding if case.id in logged else None
        return {
            **_row(case),
            "quote": case.quote,
            "note": case.note,
            "start": case.start,
            "end": case.end,
            "rulings": [{"annotator": n, "ruling": r} for n, r in sorted(case.rulings.items())],
            "mine": case.rulings.get(str(wanted.get("annotator", ""))),
            "finding": finding and finding_told(finding),
            "evidence": evidence(finding.evidence if finding else {}),
            "created": case.created[:16].replace("T", " "),
            "message": turn.message,
            "text": turn.reply.text,
            "facts": [*facts(turn), turn.created[:10]],
            "ending": ending(turn),
            "passages": passages(turn, case.start, case.end),
            "others": [_row(other) | {"note": other.note} for other in others if other != case],
            "reviews": [
                {"annotator": r.annotator, "state": r.state, "drawn": r.drawn} for r in reviews
            ],
        }

    @answered
    def similar(self, wanted: Mapping[str, Any]) -> Answer:
        """{"id"} -> {"rows", each with its "likeness", "compared", "of", "waiting"}, or why not
        as {"absent"}."""
        case = self._case(wanted)
        near = self._similar.near(case)
        if near is None:
            ready = self._app.status.stage == "ready"
            why = "this page was started without passages." if ready else self._app.status.message
            return {"absent": _NO_ENCODER.format(why=why if why.endswith(".") else f"{why}.")}
        return {
            "rows": [_row(c) | {"likeness": round(likeness, 2)} for c, likeness in near.cases],
            "compared": near.compared,
            "of": near.of,
            "waiting": near.waiting,
        }

    @answered
    def act(self, wanted: Mapping[str, Any]) -> Answer:
        """{"annotator", "ids", "action": accepted, rejected or relabel, "label"} ->
        {"told", "done", "steps": what `undo` takes}."""
        action, label = given(wanted, "action", str), str(wanted.get("label", ""))
        outcome = self._bulk.act(
            given(wanted, "ids", list), given(wanted, "annotator", str), action, label
        )
        return {"told": told(action, outcome, label), "done": outcome.done, "steps": outcome.steps}

    @answered
    def undo(self, wanted: Mapping[str, Any]) -> Answer:
        """{"annotator", "steps"} -> {"told", "done"}."""
        outcome = self._bulk.undo(given(wanted, "steps", list), given(wanted, "annotator", str))
        return {"told": told("undo", outcome), "done": outcome.done}

    def _case(self, wanted: Mapping[str, Any]) -> Case:
        id = given(wanted, "id", str)
        case = self._cases.case(id)
        if case is None:
            raise Refused(
                f"There is no case {id[:40]} any more: it was withdrawn or relabelled, its reply "
                "was checked again, or it was deleted."
            )
        return case


def summary(counts: Counts) -> str:
    """ "12 cases: 10 found by detectors (8 open, 2 accepted), 2 marked by people"."""
    if not counts.total:
        return "No case"
    parts = []
    if found := counts.by_source["machine"]:
        statuses = [f"{n:,} {s}" for s, n in counts.by_status.items() if n and s != "marked"]
        parts.append(f"{found:,} found by detectors ({', '.join(statuses)})")
    if marked := counts.by_source["person"]:
        parts.append(f"{marked:,} marked by people")
    return f"{counts.total:,} case{'' if counts.total == 1 else 's'}: {', '.join(parts)}"


def evidence(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a detector measured, as names with values in words."""
    return [{"name": str(name).replace("_", " "), "value": _said(v)} for name, v in found.items()]


def passages(turn: Turn, start: int, end: int) -> list[dict[str, Any]]:
    """The chunks that a span lies in with the passages that were shown for them; for an empty
    span the chunk at its place."""
    chunks = turn.reply.chunks
    found = [c for c in chunks if c.start < end and c.end > start]
    if not found:
        found = [c for c in chunks if c.start <= start <= c.end][:1]
    return [
        {
            "chunk": chunk.index + 1,
            "passages": [
                {"title": n.title, "source": n.source, "text": n.text,
                 "continuation": n.continuation,
                 "distance": None if n.distance is None else round(n.distance, 3)}
                for n in chunk.neighbours
            ],
        }
        for chunk in found
    ]  # fmt: skip


def _sort(wanted: Mapping[str, Any]) -> Sort:
    asked = given(wanted, "sort", str)
    for sort in get_args(Sort):
        if sort == asked:
            return sort
    raise Refused(f"cases cannot be sorted by {asked!r}; give one of {', '.join(get_args(Sort))}")


def _row(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "source": case.source,
        "kind": case.kind,
        "title": case.title,
        "level": case.level,
        "severity": case.severity,
        "status": case.status,
        "quote": _clip(case.quote),
        "message": _clip(case.message),
        "turn": case.turn,
        "model": case.model,
        "annotator": case.annotator,
        "written": case.written[:10],
    }


def _clip(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= CLIP else text[: CLIP - 1] + "…"


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_said(inner)}" for name, inner in value.items()) or "none"
    return str(value)
