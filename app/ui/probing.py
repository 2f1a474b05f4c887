"""The probe view: what swapping a word for another changes, over many templates."""

from collections.abc import Sequence
from typing import Any

from app.compose import Application
from app.probe.anecdote import what_if
from app.probe.job import EXPECTED, Job, State
from app.probe.records import MODE_WORDS, MODES, Plan, ProbeError
from app.probe.report import LIMITS, report_of
from app.store.probes import Probes
from app.store.rows import legible
from app.turn import BadMessage
from app.ui.asking import Serve, answering
from engine.attribution import Unmeasurable
from prompts.probes import families

RECENT = 30  # turns to choose from
_EXCERPT = 90  # characters
_answered = answering(*EXPECTED, Unmeasurable, BadMessage)


def probing(app: Application) -> Sequence[Serve]:
    """What the view's scripts may ask for. Each takes one JSON value, which any page may send."""
    job, probes = Job(app), Probes(app.log)

    @_answered
    def probe_look(_: Any) -> dict[str, Any]:
        """Everything but what a run found."""
        return {
            "ready": app.engine is not None and app.status.stage == "ready",
            "status": app.status.message,
            "failed": app.status.stage == "failed",
            "passages": app.passages is not None,
            "limits": LIMITS,
            "families": [_family(name) for name in families()],
            "modes": [{"mode": mode, "words": MODE_WORDS[mode]} for mode in MODES],
            "runs": [_line(run) for run in probes.runs()],
            "job": _told(job.state),
        }

    @_answered
    def probe_job(_: Any) -> dict[str, Any]:
        return {"job": _told(job.state)}

    @_answered
    def probe_report(wanted: Any) -> dict[str, Any]:
        id = _text({"run": wanted}, "run")
        return {"report": report_of(probes.run(id), probes.parts(id))}

    @_answered
    def probe_start(wanted: Any) -> dict[str, Any]:
        job.start(plan_of(wanted))
        return {"job": _told(job.state)}

    @_answered
    def probe_cancel(_: Any) -> dict[str, Any]:
        job.cancel()
        return {"job": _told(job.state)}

    @_answered
    def probe_turns(wanted: Any) -> dict[str, Any]:
        """The newest turns, and the one that is wanted before them if there is such a one."""
        return {"turns": turns_of(app, wanted)}

    @_answered
    def probe_word(wanted: Any) -> dict[str, Any]:
        named = [_text(wanted, name) for name in ("turn", "word", "replacement")]
        return {"found": what_if(app, *named)}

    return [
        probe_look, probe_job, probe_report, probe_start, probe_cancel, probe_turns, probe_word,
    ]  # fmt: skip


def plan_of(wanted: Any) -> Plan:
    """A plan from a page. Raises ProbeError."""
    given = wanted if isinstance(wanted, dict) else {}
    chosen = []
    for name in ("families", "modes"):
        names = given.get(name)
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise ProbeError(f"{name} is missing; choose one or more")
        chosen.append(tuple(legible(n)[:40] for n in names))
    seed = given.get("seed", 0)
    if type(seed) is not int:
        raise ProbeError("the seed is not a whole number; give one from 0 to 4294967295")
    return Plan(chosen[0], chosen[1], seed)


def turns_of(app: Application, wanted: Any) -> list[dict[str, Any]]:
    """Finished turns with a reply, newest first, for a list to choose from."""
    sql = """
        SELECT id, message FROM turns
        WHERE finish <> 'running' AND n_tokens > 0 AND (id = :id OR :id = '')
        ORDER BY id DESC LIMIT :limit
    """
    id = legible(wanted)[:60] if isinstance(wanted, str) else ""
    with app.log.reading("listing the newest turns") as db:
        newest = list(db.query(sql, {"id": "", "limit": RECENT}))
        asked = list(db.query(sql, {"id": id, "limit": 1})) if id else []
    rows = {row["id"]: row["message"] for row in [*asked, *newest]}
    return [
        {"turn": id, "message": message, "excerpt": legible(message)[:_EXCERPT]}
        for id, message in rows.items()
    ]


def _family(name: str) -> dict[str, Any]:
    family = families()[name]
    return {
        "family": name,
        "title": family.title,
        "question": family.question,
        "positive": family.positive,
        "version": family.version,
        "templates": len(family.templates),
        "lists": [
            {"title": terms.title, "terms": list(terms.terms), "reason": terms.reason}
            for terms in family.lists
        ],
        "example": family.templates[0].prompt,
        "reason": family.reason,
    }


def _line(run: Any) -> dict[str, Any]:
    """A line in the list of runs."""
    config = run.config
    return {
        "run": run.id,
        "created": run.created,
        "finished": run.finished,
        "model": run.preset,
        "fingerprint": run.fingerprint[:12],
        "database": run.database[:12],
        "families": list(config.get("families") or config.get("names") or ()),
        "versions": sorted(set((config.get("families") or {}).values())),
        "modes": list(config.get("modes", ())),
    }


def _told(state: State | None) -> dict[str, Any] | None:
    if state is None:
        return None
    place = state.place
    return {
        "stage": state.stage,
        "stopping": state.stopping,
        "run": state.run,
        "message": state.message,
        "families": list(state.plan.families),
        "modes": list(state.plan.modes),
        "done": place.done if place else 0,
        "items": place.items if place else 0,
        "left": place.left if place else None,
        "family": place.family if place else "",
        "mode": place.mode if place else "",
    }


def _text(wanted: Any, name: str) -> str:
    value = wanted.get(name) if isinstance(wanted, dict) else None
    if not isinstance(value, str):
        raise ProbeError(f"{name} is missing; give a text")
    return value[:10_000]
