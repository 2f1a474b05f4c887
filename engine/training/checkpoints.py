"""Checkpoints of a training run: the last two states, each whole or not there, written by Orbax.

`checkpoints/<step>/` under a stage's directory holds masters and optimiser state, every device's
part written by itself, and what they were made of. A directory gets its name when all is written,
so a process killed at any moment leaves the ones before.
"""

import json
import logging
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

KEPT = 2
UNFINISHED = ".orbax-checkpoint-tmp"
SLACK = 16 << 20  # bytes that a disk needs beside the arrays
MAY_DIFFER = ("rematerialise",)  # changes what is remembered in a step, not what comes out


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what is kept."""


class Checkpoints:
    """Those of one run. `made_of` names all that its batches and steps depend on: preset,
    tokenizer, plan; a checkpoint made of anything else is refused."""

    def __init__(self, directory: Path, made_of: Mapping[str, Any]):
        self.directory = directory.absolute() / "checkpoints"
        self._made_of = json.loads(json.dumps(dict(made_of)))
        old = directory / "state.safetensors"
        if old.exists() and not self.directory.exists():
            raise TrainingError(
                f"{old} is a checkpoint of an earlier version, which this one cannot go on from; "
                "finish it there, or remove the file to start anew"
            )
        for path in self.directory.glob(f"*{UNFINISHED}*"):  # of a run that was killed or failed
            shutil.rmtree(path)
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=KEPT, enable_async_checkpointing=False, save_root_metadata=False
            ),
        )

    @property
    def last(self) -> int | None:
        """The step of the newest checkpoint."""
        return self._manager.latest_step()

    def save(self, step: int, arrays: Any) -> None:
        """Writes a pytree of arrays; raises TrainingError where the disk does not hold it."""
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)) + SLACK
        free = shutil.disk_usage(self.directory).free
        if free < size:
            raise self._not_written(step, f"it needs {size >> 20} MB and {free >> 20} MB are free")
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(arrays), made_of=ocp.args.JsonSave(self._made_of)
        )
        try:
            with _told_once():
                self._manager.save(step, args=args, force=True)
        except (OSError, ValueError) as error:
            told = re.search(r": ([^:]+) \[os_error_code", str(error))
            raise self._not_written(step, told[1] if told else str(error)) from None

    def restore(self, expected: Any) -> tuple[int, Any] | None:
        """The newest checkpoint as (step, arrays), laid out like `expected`, a pytree of
        ShapeDtypeStruct with shardings; None if there is none."""
        step = self.last
        if step is None:
            return None
        path = self.directory / str(step)
        try:
            read = self._manager.restore(
                step, args=ocp.args.Composite(made_of=ocp.args.JsonRestore())
            )
            self._check(path, read["made_of"])
            state = ocp.args.StandardRestore(expected)
            read = self._manager.restore(step, args=ocp.args.Composite(state=state))
        except (OSError, ValueError, KeyError) as error:
            kept = [s for s in self._manager.all_steps() if s != step]
            older = (
                f"remove it to go on from step {kept[-1]}" if kept else "remove it to start anew"
            )
            raise TrainingError(f"the checkpoint {path} is damaged ({error}); {older}") from None
        return step, read["state"]

    def close(self) -> None:
        self._manager.close()

    def _check(self, path: Path, found: Mapping[str, Any]) -> None:
        names = (*self._made_of, *(name for name in found if name not in self._made_of))
        differing = [
            f"{name} {found.get(name)!r}, now {self._made_of.get(name)!r}"
            for name in names
            if name not in MAY_DIFFER and found.get(name) != self._made_of.get(name)
        ]
        if differing:
            raise TrainingError(
                f"{path} was made with {'; '.join(differing)}; use the same settings or another "
                "directory"
            )

    def _not_written(self, step: int, reason: str) -> TrainingError:
        for path in self.directory.glob(f"*{UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)
        kept = "there was none before" if self.last is None else f"that of step {self.last} is kept"
        return TrainingError(
            f"the checkpoint of step {step} could not be written to {self.directory}: {reason}; "
            f"{kept}; free some space and start the stage again"
        )


@contextmanager
def _told_once() -> Iterator[None]:
    """Where a write fails, Orbax's threads print a traceback for each array, some of them later
    than the error that is raised. That error is enough, so after it they stay silent."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels, hook = [logger.level for logger in loggers], sys.unraisablehook

    def others(unraisable: Any) -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            hook(unraisable)

    sys.unraisablehook = others
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    yield
    sys.unraisablehook = hook
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
