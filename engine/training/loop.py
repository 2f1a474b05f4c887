"""The training loop: steps, metrics, checkpoints, exact resume, a time limit.

A batch is a pure function of the step's number, so a run that was killed goes on with the same
batches, and the same losses, from its last checkpoint.
"""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load

from engine.checkpoint import Arrays, save_arrays
from engine.training.step import Batch, Plan, compile_step, optimiser


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what is kept."""


def train(
    graph: Any,
    arrays: Mapping[str, jax.Array],
    plan: Plan,
    batches: Callable[[int], Batch],
    directory: Path,
    *,
    frozen: Callable[[str], bool] = lambda name: False,
    seconds: float = math.inf,
    save_every: float = 300.0,
    slices: int = 1,
    report: Callable[[dict[str, float]], None] = lambda row: None,
) -> tuple[Arrays, bool]:
    """Trains from `arrays`, or from the checkpoint in `directory` if there is one.

    Writes `state.safetensors` every `save_every` seconds and at the end, and a row every 10 steps
    to `metrics.jsonl`. Returns all arrays and whether the plan was finished before `seconds` ran
    out or the process was asked to end (SIGTERM, SIGINT).
    """
    directory.mkdir(parents=True, exist_ok=True)
    kept = {k: jnp.asarray(v, jnp.float32) for k, v in arrays.items() if frozen(k)}
    # copies, because a step donates them and the caller keeps its own
    trained = {k: jnp.array(v, jnp.float32) for k, v in arrays.items() if not frozen(k)}
    state = optimiser(plan).init(trained)
    first = 0
    checkpoint = directory / "state.safetensors"
    if checkpoint.exists():
        first, trained, state = _restore(checkpoint, plan, trained, state)
    step = compile_step(graph, plan, slices)
    start = saved = mark = time.monotonic()
    done, tokens, row = first, 0, {}
    with open(directory / "metrics.jsonl", "a") as log, asked_to_end() as ending:
        for number in range(first, plan.steps):
            batch = batches(number)
            trained, state, metrics = step(trained, kept, state, batch)
            tokens += int(np.prod(batch.tokens.shape))
            done = number + 1
            if done % 10 == 0 or done == plan.steps:
                values = {k: round(float(v), 5) for k, v in metrics.items()}
                now = time.monotonic()
                row = {"step": done, **values, "tokens_per_second": round(tokens / (now - mark))}
                row["seconds"] = round(now - start)
                mark, tokens = now, 0
                log.write(json.dumps(row) + "\n")
                log.flush()
                report(row)
                if not math.isfinite(values["loss"]):
                    raise TrainingError(
                        f"the loss is {values['loss']} at step {done}; the last checkpoint in "
                        f"{directory} is kept: lower --rate and start again from it"
                    )
            if time.monotonic() - saved > save_every:
                _save(checkpoint, done, plan, trained, state)
                saved = time.monotonic()
            if time.monotonic() - start > seconds or ending.is_set():
                break
    _save(checkpoint, done, plan, trained, state)
    return {**kept, **trained}, done >= plan.steps


@contextmanager
def asked_to_end() -> Iterator[threading.Event]:
    """An event that is set by SIGTERM or SIGINT, so that a step can be finished and saved."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # only the main thread may handle signals
        return
    names = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(name, lambda *_: event.set()) for name in names]
    try:
        yield event
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)


def _leaves(trained: Arrays, state: Any) -> dict[str, Any]:
    flat, _ = jax.tree.flatten(state)
    weights = {f"weights/{k}": v for k, v in trained.items()}
    return weights | {f"optimiser/{i}": v for i, v in enumerate(flat)}


def _save(path: Path, step: int, plan: Plan, trained: Arrays, state: Any) -> None:
    metadata = {"step": str(step), "plan": json.dumps(asdict(plan))}
    save_arrays(path, _leaves(trained, state), metadata)


def _restore(path: Path, plan: Plan, trained: Arrays, state: Any) -> tuple[int, Arrays, Any]:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    if json.loads(header["plan"]) != asdict(plan):
        raise TrainingError(
            f"{path} was made with the plan {header['plan']}, now it is "
            f"{json.dumps(asdict(plan))}; use the same settings or another directory"
        )
    stored = load(data)
    expected = _leaves(trained, state)
    if {k: v.shape for k, v in stored.items()} != {k: tuple(v.shape) for k, v in expected.items()}:
        raise TrainingError(f"{path} belongs to another model; use another directory")
    _, tree = jax.tree.flatten(state)
    leaves = [jnp.asarray(stored[f"optimiser/{i}"]) for i in range(tree.num_leaves)]
    restored = {k: jnp.asarray(stored[f"weights/{k}"]) for k in trained}
    return int(header["step"]), restored, jax.tree.unflatten(tree, leaves)
