"""All stages in one call: raw corpus files -> quantised weights.

What is finished is kept in `all.json`, with what it was made from, and is not done again. Under a
time limit a trained stage is planned, when it begins, to end within its share of the time that is
left (see fitting.py); the call ends in time with a checkpoint, and the next one goes on.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax

from engine.tokenizer import Tokenizer
from engine.training.blocks import write_whole
from engine.training.command import Outcome, Report, Workshop
from engine.training.ledger import Ledger
from engine.training.metrics import read_metrics
from engine.training.origins import AFTER, TRAINED, Sources, check_files, keys_of
from engine.training.pipeline import clean
from engine.training.recipe import RecipeError, Stage
from engine.training.runners import Runner, run_here
from retrieval.protocol import Embedder

CLEANED = "corpus"  # in the work directory
LEAST = 0.5  # of what its share of a whole call is; a stage given less waits for the next call

Progress = Callable[[str, int, int], None]


class OutOfTime(Exception):
    """The time of this call is over, in a stage that goes on where it was."""


@dataclass(frozen=True)
class Output:
    """Where the weights go: numbers "int8" or "int4", files of at most `limit` bytes, and what
    their card says beside what is measured."""

    directory: Path
    numbers: str
    limit: int
    card: dict[str, Any]


@dataclass(frozen=True)
class Machine:
    """What stages are done with: what opens the passage encoder, what runs the rules of cleaning,
    progress in bytes and in chunks, and what lines and rows of metrics are given to."""

    embedder: Callable[[], Embedder]
    say: Callable[[str], None]
    report: Report
    run: Runner = run_here
    bytes_done: Progress = lambda stage, done, total: None
    chunks_done: Progress = lambda stage, done, total: None


class Whole:
    """A recipe, from raw files to weights.

    Raises RecipeError for files that the recipe names and that are not there, and for a work
    directory whose trained stages are of other ones.
    """

    def __init__(self, shop: Workshop, sources: Sources, output: Output, machine: Machine):
        self.shop = replace(shop, corpus=shop.work / CLEANED)
        self.sources, self.output, self.machine = sources, output, machine
        check_files(shop.recipe, sources.raw)
        self.ledger = Ledger(shop.work / "all.json")
        self.keys = keys_of(shop.recipe, sources, (output.numbers, output.limit, output.card))
        for name in TRAINED:
            known = self.ledger.key(name) in (None, self.keys[name])
            if not known and (shop.work / name).exists():
                raise RecipeError(
                    f"{shop.work / name} was trained by another recipe, or on other files, than "
                    "those given now; give another --work, or remove it to train it anew"
                )

    def __call__(self, seconds: float) -> bool:
        """Goes on for about so long; returns whether the weights are written."""
        begun = time.monotonic()
        ends, finished = begun + seconds, True
        say = self.machine.say
        for name in AFTER:
            if self._is_done(name):
                say(f"{name}: done before, in {self.ledger.seconds(name):,.0f} seconds")
                continue
            if name == "neighbours" and not self.shop.recipe.retrofit.found:
                say(f'{name}: not needed, as "found" of the recipe\'s "retrofit" is 0')
                continue
            if late := self._too_late(name, ends - time.monotonic(), seconds):
                say(f"{name}: {late}")
                finished = False
                break
            outcome, took = self._do(name, ends)
            say(f"{outcome} ({took:,.1f} seconds)")
            if not outcome.finished:
                finished = False
                break
        say(self.summary())
        if not finished:
            say(f"Stopped after {(time.monotonic() - begun) / 60:,.1f} minutes. Run it again.")
        return finished

    def _do(self, name: str, ends: float) -> tuple[Outcome, float]:
        begun = time.monotonic()
        self.ledger.begin(name, self.keys[name])
        self.machine.say(f"{name} ...")
        try:
            if name in TRAINED:
                by = None if ends == math.inf else begun + (ends - begun) * self._share(name)
                train = getattr(replace(self.shop, by=by), name)
                outcome = train(ends - begun, self.machine.report)
            else:
                outcome = Outcome(True, f"{name}: {getattr(self, '_' + name)(ends)}")
        except OutOfTime:
            outcome = Outcome(False, f"{name}: stopped at the time limit")
        finally:  # the time of a stage that failed counts as well
            took = time.monotonic() - begun
            self.ledger.add(name, took)
        if outcome.finished:
            self.ledger.finish(name)
        return outcome, took

    def _share(self, name: str) -> float:
        """Of the time that is left, this stage's among those that are not done."""
        left = {n: self._stage(n).share for n in TRAINED if not self._is_done(n)}
        return left[name] / sum(left.values())

    def _stage(self, name: str) -> Stage:
        return getattr(self.shop.recipe, name)

    def _too_late(self, name: str, left: float, seconds: float) -> str:
        """Why a stage does not begin in this call; "" if it does."""
        if left <= 0 and name != "quantise":  # which takes seconds
            return "the time is over"
        if name not in TRAINED or (self.shop.work / name / "checkpoints").exists():
            return ""
        whole = seconds * self._stage(name).share / sum(self._stage(n).share for n in TRAINED)
        if left * self._share(name) >= LEAST * whole or seconds == math.inf:
            return ""
        return (
            f"it would have {left * self._share(name) / 60:,.1f} minutes now, of a whole call "
            f"{whole / 60:,.1f}; it begins in the next call, so as not to be cut short"
        )

    # ----- the stages of files

    def _clean(self, ends: float) -> str:
        progress = self._until(ends, self.machine.bytes_done)
        report = clean(
            self.sources.raw, self.shop.corpus, self.sources.tests, run=self.machine.run,
            progress=progress,
        )  # fmt: skip
        path = self.shop.corpus / "report.json"
        told = json.dumps(report.to_json(), ensure_ascii=False, indent=1)
        write_whole(path, told.encode() + b"\n")
        return f"wrote {self.shop.corpus}; what was dropped is in {path}"

    def _tokenizer(self, ends: float) -> str:
        ready = self.sources.tokenizer
        if ready is None:
            return self.shop.tokenizer()
        size = Tokenizer(ready).size
        if size != self.shop.recipe.vocab:
            raise RecipeError(f"{ready} has {size:,} pieces, the recipe {self.shop.recipe.vocab:,}")
        path = self.shop.work / "tokenizer.model"
        write_whole(path, ready.read_bytes())
        return f"{ready.name} as {path}"

    def _pack(self, ends: float) -> str:
        return self.shop.pack()

    def _examples(self, ends: float) -> str:
        return self.shop.examples()

    def _neighbours(self, ends: float) -> str:
        progress = self._until(ends, self.machine.chunks_done)
        return self.shop.neighbours(self.machine.embedder(), progress)

    def _quantise(self, ends: float) -> str:
        out = self.output
        stages = {name: self._trained(name) for name in TRAINED}
        training = {"device": jax.devices()[0].device_kind, "devices": jax.device_count(), **stages}
        card = {"note": "Not evaluated yet.", "training": training, **out.card}
        return self.shop.quantise("tune", out.directory, card, out.numbers, out.limit)

    def _until(self, ends: float, progress: Progress) -> Progress:
        def watched(stage: str, done: int, total: int) -> None:
            progress(stage, done, total)
            if time.monotonic() > ends and done < total:
                raise OutOfTime

        return watched

    # ----- what is done

    def _is_done(self, name: str) -> bool:
        if name == "quantise" and not (self.output.directory / "card.json").exists():
            return False
        return self.ledger.done(name, self.keys[name])

    # ----- the summary

    def _trained(self, name: str) -> dict[str, Any]:
        rows = read_metrics(self.shop.work / name)
        if not rows:
            return {}
        last = {"steps": rows[-1]["step"], "loss": rows[-1].get("loss")}
        return {**last, "seconds": round(self.ledger.seconds(name)), **dict(_speeds(rows))}

    def summary(self) -> str:
        """A line for each stage: seconds in all, and steps and speed where it is trained."""
        lines = ["stage         seconds   steps  tokens/s   TFLOP/s   of peak"]
        for name in AFTER:
            line = f"{name:<12}{self.ledger.seconds(name):>9,.1f}"
            found = self._trained(name) if name in TRAINED else {}
            if found:
                share = found.get("share_of_peak", "")
                line += f"{found['steps']:>8,}{found.get('tokens_per_second', 0):>10,.0f}"
                line += f"{found.get('flops', 0) / 1e12:>10,.4g}"
                line += f"{share:>10.1%}" if isinstance(share, float) else f"{share:>10}"
            lines.append(line)
        return "\n".join(lines)


def _speeds(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The median of each measure of speed."""
    for name in ("tokens_per_second", "flops", "share_of_peak"):
        values = [row[name] for row in rows if name in row]
        numbers = sorted(value for value in values if isinstance(value, int | float))
        if values:
            yield name, numbers[len(numbers) // 2] if numbers else values[0]
