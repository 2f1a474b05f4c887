"""How many steps of a stage fit into a time.

The cosine of the learning rate ends at the last step, so the number of steps must be known before
the first. Where a stage is given a time, its steps are first tried on weights that are thrown
away; the number that fits, at most the recipe's, is written to `plan.json` in the stage's
directory once, and whoever goes on with the stage keeps it.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from engine.sharding import put_batch
from engine.training.blocks import write_whole
from engine.training.checkpoints import TrainingError
from engine.training.loop import lay_out
from engine.training.step import Batches, Plan, compile_step

NAME = "plan.json"
TRIED = 12  # steps, at least, that are measured, after as many that compile
SPARED = 0.05  # of the time, for checkpoints and what a machine does besides
FEWEST = 10  # steps worth planning


@dataclass(frozen=True)
class Trial:
    """Seconds that a step takes, and that the first ones took more than that (compiling)."""

    step: float
    start: float


def try_steps(
    graph: Any, arrays: Mapping[str, Any], plan: Plan, batches: Batches, *,
    cycle: int, frozen: Callable[[str], bool], mesh: Mesh, slices: int,
) -> Trial:  # fmt: skip
    """Measures a stage's first steps, in pairs of whole cycles; nothing of them is kept."""
    begun = time.monotonic()
    kept, trained, state = lay_out(arrays, frozen, plan, mesh)
    step = compile_step(graph, plan, slices, mesh)
    axis, compiled, metrics = int(plan.accumulate > 1), begun, {}
    tried = -(-TRIED // (2 * cycle)) * 2 * cycle
    for number in range(2 * tried):
        batch = put_batch(mesh, batches(number), axis)
        trained, state, metrics = step(trained, kept, state, batch)
        if number == tried - 1:
            jax.block_until_ready(metrics)
            compiled = time.monotonic()
    jax.block_until_ready((trained, metrics))
    ended = time.monotonic()
    one = (ended - compiled) / tried
    return Trial(one, max(0.0, compiled - begun - tried * one))


def fit(plan: Plan, directory: Path, by: float | None, trial: Callable[[], Trial]) -> Plan:
    """The plan with as many steps as end by then (time.monotonic()), or with those fixed earlier.

    With None, and for a stage that was begun without a plan, it stays the recipe's. Raises
    TrainingError where hardly a step fits, and for a plan of another recipe.
    """
    path = directory / NAME
    if path.exists():
        return _planned(plan, path)
    if by is None or (directory / "checkpoints").exists():
        return plan
    seconds = by - time.monotonic()
    found = trial()
    left = by - time.monotonic() - found.start  # which comes again
    steps = min(plan.steps, int(left * (1 - SPARED) / found.step))
    if steps < min(FEWEST, plan.steps):
        raise TrainingError(
            f"{seconds:,.0f} seconds are too few for {directory.name}: its start takes "
            f"{found.start:,.0f} seconds twice and a step {found.step:,.3g}; give more --minutes"
        )
    fitted = replace(plan, steps=steps)
    if steps < plan.steps:
        fitted = replace(fitted, warmup=min(plan.warmup, max(1, steps // 10)))
    told = {
        "steps": fitted.steps,
        "warmup": fitted.warmup,
        "recipe_steps": plan.steps,
        "planned_for_seconds": round(seconds, 1),
        "seconds_a_step": float(f"{found.step:.4g}"),
        "seconds_to_start": float(f"{found.start:.4g}"),
    }
    write_whole(path, json.dumps(told, indent=1).encode() + b"\n")
    return fitted


def _planned(plan: Plan, path: Path) -> Plan:
    try:
        told = json.loads(path.read_bytes())
        steps, warmup, of = (int(told[name]) for name in ("steps", "warmup", "recipe_steps"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"the plan {path} is damaged ({error!r}); remove {path.parent} to start it anew"
        ) from None
    if of != plan.steps:
        raise TrainingError(
            f"{path} has {steps:,} of the {of:,} steps of a recipe that has {plan.steps:,} now; "
            f"use that recipe again, or remove {path.parent} to start anew"
        )
    return replace(plan, steps=steps, warmup=warmup)
