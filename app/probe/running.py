"""Running a probe: part by part, a part being one family in one mode.

A part is in the log as soon as it is finished. A run that was cancelled or killed is taken up by
the next one with the same plan, model and passages.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.probe.records import (
    LARGEST_SEED,
    MODES,
    Cancelled,
    Measured,
    Mode,
    Plan,
    ProbeError,
    Scored,
)
from app.probe.scoring import NEIGHBOURS, Instruments, Scorer
from app.probe.swaps import effects_of, swaps_of
from app.store.ids import now
from app.store.probes import Probes
from prompts.probes import Family, families

Step = Callable[[], None]  # to be called after each scored item; raises Cancelled
Outcome = tuple[Sequence[Any], dict[str, Any]]  # scores and result, for JSON


@dataclass(frozen=True)
class Part:
    """Something to measure in one go: `items` are scored, with a step after each."""

    family: str
    mode: Mode
    version: str
    items: int
    measure: Callable[[Instruments, Step], Outcome]


@dataclass(frozen=True)
class Place:
    """How a run gets on: `done` of `items` of the whole run; `fresh` of them were scored by this
    process, in `seconds`."""

    family: str
    mode: Mode
    done: int
    items: int
    fresh: int
    seconds: float

    @property
    def left(self) -> float | None:
        """Seconds to the end, None until there is something to go by."""
        return (self.items - self.done) * self.seconds / self.fresh if self.fresh else None


Report = Callable[[Place], None]


def checked(plan: Plan) -> Plan:
    """The plan, each family and mode once. Raises ProbeError."""
    for what, given, known in (
        ("family", plan.families, tuple(families())),
        ("mode", plan.modes, MODES),
    ):
        if wrong := [name for name in given if name not in known]:
            raise ProbeError(f"there is no {what} {wrong[0]!r}; choose of {', '.join(known)}")
        if not given:
            raise ProbeError(f"no {what} is chosen; choose of {', '.join(known)}")
    if not 0 <= plan.seed < LARGEST_SEED:
        raise ProbeError(
            f"the seed is {plan.seed}; give a whole number from 0 to {LARGEST_SEED - 1}"
        )
    return Plan(
        tuple(name for name in families() if name in plan.families),
        tuple(mode for mode in MODES if mode in plan.modes),
        plan.seed,
    )


def parts_of(plan: Plan) -> list[Part]:
    return [
        _part(families()[name], mode, plan.seed) for name in plan.families for mode in plan.modes
    ]


def config_of(plan: Plan) -> dict[str, Any]:
    """What is kept of a plan, with all that its numbers depend on but the seed."""
    return {
        "families": {name: families()[name].version for name in plan.families},
        "modes": list(plan.modes),
        "neighbours": NEIGHBOURS,
        "prompt": "plain text",
    }


def run(
    on: Instruments,
    probes: Probes,
    parts: Sequence[Part],
    config: dict[str, Any],
    seed: int,
    report: Report = lambda place: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> str:
    """Measures what the run lacks and returns its id.

    Raises Cancelled, ProbeError, LogError, and what scoring does; finished parts are kept.
    """
    database = on.database() if any(part.mode != "off" for part in parts) else ""
    for part in parts:
        Scorer(on, part.mode)  # refuses now what it would later
    begun = probes.begin(on.engine.info, database, seed, config)
    have = {(part.family, part.mode) for part in probes.parts(begun.id)}
    items = sum(part.items for part in parts)
    done = sum(part.items for part in parts if (part.family, part.mode) in have)
    old, start = done, time.monotonic()
    for part in parts:
        if (part.family, part.mode) in have:
            continue
        mark = time.monotonic()

        def step(part: Part = part) -> None:
            nonlocal done
            done += 1
            fresh, spent = done - old, time.monotonic() - start
            report(Place(part.family, part.mode, done, items, fresh, spent))
            if cancelled():
                raise Cancelled(begun.id)

        scores, result = part.measure(on, step)
        if database and on.database() != database:
            raise ProbeError(
                "the passages were changed while the probe ran, so its parts would not belong to "
                "one database; run it again"
            )
        seconds = round(time.monotonic() - mark, 2)
        probes.add(
            Measured(begun.id, part.family, part.mode, part.version, now(), seconds, scores, result)
        )
    probes.finish(begun.id)
    return begun.id


def _part(family: Family, mode: Mode, seed: int) -> Part:
    swaps = list(swaps_of(family))

    def measure(on: Instruments, step: Step) -> Outcome:
        scorer = Scorer(on, mode)
        scores = []
        for swap in swaps:
            scores.append(scorer.swap(swap))
            step()
        return [_compact(s) for s in scores], {"effects": effects_of(family, scores, seed)}

    return Part(family.name, mode, family.version, len(swaps), measure)


def _compact(scored: Scored) -> list[Any]:
    """[template, list, term, pair, nats and tokens of the first, nats and tokens of the second]"""
    first, second = asdict(scored.first), asdict(scored.second)
    return [
        scored.template, scored.terms, scored.term, scored.pair,
        round(first["nats"], 6), first["tokens"], round(second["nats"], 6), second["tokens"],
    ]  # fmt: skip
