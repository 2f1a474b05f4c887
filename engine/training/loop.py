"""The training loop: steps, metrics, checkpoints, exact resume, a time limit.

A batch is a pure function of the step's number, so a run that was killed goes on with the same
batches, and the same losses, from its last checkpoint.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from engine.checkpoint import Arrays
from engine.sharding import master_sharding, open_mesh, put_batch, state_shardings, weight_sharding
from engine.training.checkpoints import Checkpoints, TrainingError
from engine.training.flops import share_of_peak
from engine.training.metrics import Row, add_row, go_on_after
from engine.training.step import Batch, Batches, Plan, compile_step, optimiser

EVERY = 10  # steps a row


def train(
    graph: Any,
    arrays: Mapping[str, jax.Array],
    plan: Plan,
    batches: Batches,
    directory: Path,
    *,
    frozen: Callable[[str], bool] = lambda name: False,
    made_of: Mapping[str, Any] | None = None,
    mesh: Mesh | None = None,
    seconds: float = math.inf,
    save_every: float = 300.0,
    slices: int = 1,
    work: Callable[[Batch], float] | None = None,
    kind: Callable[[int], str] = lambda step: "",
    report: Callable[[Row], None] = lambda row: None,
) -> tuple[Arrays, bool]:
    """Trains from `arrays`, or from the last checkpoint in `directory` if there is one.

    Writes a checkpoint every `save_every` seconds and at the end, and a row every 10 steps to
    `metrics.jsonl`. `made_of` says what the batches come from; the checkpoint of a run with
    another plan or other batches is refused. `work` counts a batch's floating-point operations;
    where `kind` names kinds of batches, a row has the newest loss of each, and of pointing.
    Returns all arrays and whether the plan was finished before `seconds` ran out or the process
    was asked to end (SIGTERM, SIGINT).
    """
    directory.mkdir(parents=True, exist_ok=True)
    mesh = open_mesh() if mesh is None else mesh
    axis = int(plan.accumulate > 1)
    kept, trained, state = lay_out(arrays, frozen, plan, mesh)
    with closing(Checkpoints(directory, {**asdict(plan), **(made_of or {})})) as checkpoints:
        expected = jax.tree.map(like, {"weights": trained, "optimiser": state})
        found = checkpoints.restore(expected)
        done = 0
        if found is not None:
            done, read = found
            trained, state = read["weights"], read["optimiser"]
        if done >= plan.steps:
            return {**kept, **trained}, True
        step = compile_step(graph, plan, slices, mesh)
        begun = saved = time.monotonic()
        meter = _Meter(mesh, work)
        first = done
        newest: dict[str, jax.Array] = {}
        go_on_after(directory, first)
        with asked_to_end() as ending:
            while done < plan.steps:
                batch = batches(done)
                trained, state, metrics = step(trained, kept, state, put_batch(mesh, batch, axis))
                newest[kind(done)] = metrics["loss"]
                if "pointing" in metrics:
                    newest["pointing"] = metrics["pointing"]
                done += 1
                if done == first + 1:
                    _finite(metrics, done, checkpoints)  # waits: compiling is not measured
                    meter.restart()
                else:
                    meter.count(batch)
                if done % EVERY == 0 or done == plan.steps:
                    values = _finite(metrics, done, checkpoints)
                    seconds_in = round(time.monotonic() - begun)
                    both = {name: values[name] for name in ("loss", "norm")}
                    row = {"step": done, **both, **_by_kind(newest), **meter.read()}
                    row["seconds"] = seconds_in
                    add_row(directory, row)
                    report(row)
                ends = time.monotonic() - begun > seconds or ending.is_set() or done == plan.steps
                if ends or time.monotonic() - saved > save_every:
                    _finite(metrics, done, checkpoints)
                    checkpoints.save(done, {"weights": trained, "optimiser": state})
                    saved = time.monotonic()
                if ends:
                    break
    return {**kept, **trained}, done >= plan.steps


def lay_out(
    arrays: Mapping[str, Any], frozen: Callable[[str], bool], plan: Plan, mesh: Mesh
) -> tuple[Arrays, Arrays, Any]:
    """What stays, what is trained and the optimiser's fresh state, each where it belongs."""
    kept, trained = {}, {}
    for name, array in arrays.items():
        place = weight_sharding if frozen(name) else master_sharding
        # copies, because a step donates what is trained and the caller keeps its own
        copy = np.array(array, np.float32)
        to = kept if frozen(name) else trained
        to[name] = jax.device_put(copy, place(mesh, name, copy.shape))
    init = optimiser(plan).init
    shardings = state_shardings(mesh, jax.eval_shape(init, trained))
    return kept, trained, jax.jit(init, out_shardings=shardings)(trained)


def like(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _finite(
    metrics: Mapping[str, jax.Array], step: int, checkpoints: Checkpoints
) -> dict[str, float]:
    values = {name: round(float(value), 5) for name, value in metrics.items()}
    if not all(map(math.isfinite, values.values())):
        last = checkpoints.last
        kept = "there is no checkpoint yet" if last is None else f"that of step {last} is kept"
        raise TrainingError(
            f"the loss is {values['loss']} and its gradient {values['norm']} at step {step}; "
            f"{kept} in {checkpoints.directory}: start anew with a lower --rate and another --work"
        )
    return values


def _by_kind(newest: dict[str, jax.Array]) -> Row:
    """The losses of each kind since the last row, which are then forgotten."""
    losses = {name: round(float(loss), 5) for name, loss in newest.items() if name}
    newest.clear()
    return {"losses": losses} if losses else {}


class _Meter:
    """Tokens and operations a second since the last row."""

    def __init__(self, mesh: Mesh, work: Callable[[Batch], float] | None):
        self._device, self._devices = mesh.devices.flat[0].device_kind, mesh.size
        self._work = work
        self.restart()

    def restart(self) -> None:
        self._since, self._tokens, self._flops = time.monotonic(), 0, 0.0

    def count(self, batch: Batch) -> None:
        self._tokens += int(np.prod(batch.tokens.shape))
        if self._work is not None:
            self._flops += self._work(batch)

    def read(self) -> Row:
        if not self._tokens:
            return {}  # the first step after a start alone, which includes compiling
        passed = time.monotonic() - self._since
        row: Row = {"tokens_per_second": round(self._tokens / passed)}
        if self._work is not None:
            flops = self._flops / passed
            row["flops"] = float(f"{flops:.4g}")
            row["share_of_peak"] = share_of_peak(flops, self._device, self._devices)
        self.restart()
        return row


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
