"""The stages of training, each from files to files in one work directory.

tokenizer -> pack, examples (-> neighbours) -> pretrain -> retrofit -> tune -> quantise or export. A
stage that is stopped, or that runs into its time limit, goes on from its checkpoint when it is
started again. engine/training/whole.py runs them all.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax import nnx
from safetensors.numpy import load_file

from engine.card import CheckpointError
from engine.checkpoint import (
    build,
    check_shapes,
    flatten,
    graph_of,
    save_arrays,
    save_weights,
    shapes_of,
)
from engine.pieces import MB
from engine.presets import preset
from engine.sharding import MeshError, open_mesh
from engine.tokenizer import Tokenizer, TokenizerError
from engine.tokenizer import train as train_tokenizer
from engine.training.batches import windows
from engine.training.checkpoints import TrainingError
from engine.training.corpus import CorpusError, sample_paragraphs
from engine.training.fitting import fit, try_steps
from engine.training.flops import batch_flops
from engine.training.lessons import Lessons
from engine.training.loop import train
from engine.training.matching import matching_start
from engine.training.metrics import Row
from engine.training.neighbour_index import Progress, find_neighbours
from engine.training.origins import TRAINED
from engine.training.pack import DOCUMENTS, pack, read_documents
from engine.training.plot import curves_of
from engine.training.recipe import (
    Recipe,
    RecipeError,
    Stage,
    grounded_examples,
    plain_texts,
    write_examples,
)
from engine.training.spread import spread_embedding
from engine.training.start import copying_start
from engine.training.step import Batch, Plan
from engine.training.tune import WritePrompt
from retrieval.protocol import Embedder

# what tuning also depends on
ASKED = ("cycle", "text", "unrelated", "missing", "swaps", "spread", "matching")
EXPECTED = [CorpusError, RecipeError, TrainingError, MeshError, CheckpointError, TokenizerError]

Report = Callable[[Row], None]


@dataclass(frozen=True)
class Outcome:
    """Whether a trained stage came to the end of its plan, and what there is to say."""

    finished: bool
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Workshop:
    """A recipe, its corpus, and the directory that its stages write to. A stage that begins
    is planned to end by the time `by`, of time.monotonic(); without it has the recipe's steps."""

    recipe: Recipe
    corpus: Path
    work: Path
    write_prompt: WritePrompt
    mesh: str | None = None  # as engine/sharding.py reads it
    by: float | None = None

    @property
    def lessons(self) -> Lessons:
        return Lessons(self.recipe, self.work, self.write_prompt)

    def tokenizer(self) -> str:
        paths = [self.corpus / name for name in self.recipe.tokenizer]
        texts = sample_paragraphs(paths, self.recipe.characters)
        path = train_tokenizer(texts, self.work / "tokenizer", self.recipe.vocab)
        return f"wrote {path}"

    def pack(self) -> str:
        texts = plain_texts(self.recipe, self.corpus)
        model = self.lessons.made("tokenizer.model", "tokenizer")
        weights = [source.weight for source in self.recipe.plain if source.weight]
        count = pack(texts, model, self.work / "tokens.bin", seed=self.recipe.seed, weights=weights)
        return f"wrote {count:,} tokens"

    def neighbours(self, embedder: Embedder, progress: Progress) -> str:
        """The nearest chunks of other documents for every chunk of the packed tokens."""
        tokens = self.lessons.tokens()
        documents = read_documents(self.lessons.made(DOCUMENTS, "pack"))
        count = find_neighbours(
            tokens, documents, self.work, chunk=preset(self.recipe.preset).chunk,
            k=self.recipe.neighbours, embedder=embedder, progress=progress,
            decode=Tokenizer(self.lessons.made("tokenizer.model", "tokenizer")).decode,
        )  # fmt: skip
        return f"wrote {self.recipe.neighbours} neighbours for each of {count:,} chunks"

    def examples(self) -> str:
        found = grounded_examples(self.recipe, self.corpus)
        self.work.mkdir(parents=True, exist_ok=True)
        write_examples(found, self.work / "examples.jsonl")
        return f"wrote {len(found):,} examples"

    def pretrain(self, seconds: float, report: Report) -> Outcome:
        """Plain next-token prediction of the base."""
        recipe, stage = self.recipe, self.recipe.pretrain
        arrays = flatten(nnx.state(build(preset(recipe.base), recipe.seed), nnx.Param))
        return self._train("pretrain", recipe.base, arrays, stage, seconds, report)

    def retrofit(self, seconds: float, report: Report) -> Outcome:
        """Encoder and cross-attention learn to read neighbours; the base stays frozen."""
        recipe, stage = self.recipe, self.recipe.retrofit
        p, tokens = preset(recipe.preset), self.lessons.tokens()
        base = {f"decoder.{k}": v for k, v in self._arrays("pretrain", recipe.base).items()}
        fresh = flatten(nnx.state(build(p, recipe.seed + 1), nnx.Param))
        text = windows(tokens, 0, batch=32, length=stage.chunks * p.chunk, seed=recipe.seed)
        arrays = copying_start(p, {**fresh, **base}, text, recipe.seed)
        return self._train(
            "retrofit", recipe.preset, arrays, stage, seconds, report,
            frozen=lambda name: name.startswith("decoder."),
        )  # fmt: skip

    def tune(self, seconds: float, report: Report) -> Outcome:
        """All weights learn to answer from passages, in the layout of a chat turn."""
        recipe, stage = self.recipe, self.recipe.tune
        arrays = self._arrays("retrofit", recipe.preset)
        if stage.spread < 1:
            p = preset(recipe.preset)
            text = windows(self.lessons.tokens(), 0, batch=32, length=4 * p.chunk, seed=recipe.seed)
            arrays = spread_embedding(p, arrays, stage.spread, text)
        if stage.matching and not (self.work / "tune" / "checkpoints").exists():
            p, questions = preset(recipe.preset), self.lessons.questions()
            arrays = matching_start(p, arrays, questions, stage.matching, recipe.seed, report)
        return self._train("tune", recipe.preset, arrays, stage, seconds, report)

    def export(self, stage: str, directory: Path, card: Mapping[str, Any]) -> str:
        """Writes a stage's weights as a weights directory, in bfloat16."""
        arrays = self._arrays(stage, self.recipe.preset)
        tokenizer = self.lessons.made("tokenizer.model", "tokenizer")
        save_weights(directory, self.recipe.preset, arrays, tokenizer, self._card(card))
        return f"wrote {directory}"

    def quantise(
        self, stage: str, directory: Path, card: Mapping[str, Any], numbers: str, limit: int
    ) -> str:
        """The same with matrices in "int8" or "int4", in pieces where that is more than `limit`
        bytes."""
        arrays = self._arrays(stage, self.recipe.preset)
        tokenizer = self.lessons.made("tokenizer.model", "tokenizer")
        described = {**self._card(card), "numbers": numbers}
        save_weights(directory, self.recipe.preset, arrays, tokenizer, described, limit)
        files = sorted(directory.glob("weights*.safetensors"))
        size = sum(path.stat().st_size for path in files)
        return f"wrote {size / MB:,.1f} MB of {numbers} in {len(files)} file(s) to {directory}"

    def _card(self, card: Mapping[str, Any]) -> dict[str, Any]:
        """The card with the curves of the losses, where it has none of its own."""
        return {"loss": curves_of(self.work, TRAINED), **card}

    def _train(
        self, name: str, p: str, arrays: Mapping[str, Any], stage: Stage, seconds: float,
        report: Report, frozen: Callable[[str], bool] = lambda name: False,
    ) -> Outcome:  # fmt: skip
        plan = Plan(
            stage.steps, stage.rate, stage.warmup, accumulate=stage.accumulate,
            compute=stage.compute, rematerialise=stage.rematerialise, pointing=stage.pointing,
        )  # fmt: skip
        tokenizer = self.lessons.made("tokenizer.model", "tokenizer").read_bytes()
        made_of = {
            "preset": p,
            "tokenizer": hashlib.sha256(tokenizer).hexdigest(),
            "batch": stage.batch,
            "chunks": stage.chunks,
            "seed": self.recipe.seed,
        }
        fitting = self.recipe.retrofit
        if fitting.found and (name == "retrofit" or (name == "tune" and "copies" in stage.cycle)):
            shares = {f: getattr(fitting, f) for f in ("found", "dropout", "random", "noise")}
            made_of |= {"neighbours": shares}
        if name == "retrofit":
            made_of |= {"swaps": stage.swaps}
        if name == "tune":
            made_of |= {field: getattr(stage, field) for field in ASKED}

        def work(batch: Batch) -> float:
            return batch_flops(preset(p), batch, frozen_base=name == "retrofit")

        begun, directory, mesh = time.monotonic(), self.work / name, open_mesh(self.mesh)
        graph, same = graph_of(preset(p)), {"frozen": frozen, "mesh": mesh, "slices": stage.slices}
        batches = self.lessons.batches(name)
        plan = fit(
            plan, directory, self.by,
            lambda: try_steps(graph, arrays, plan, batches, cycle=len(stage.cycle), **same),
        )  # fmt: skip
        trained, finished = train(
            graph, arrays, plan, batches, directory, made_of=made_of, work=work,
            kind=self.lessons.kind(name),
            seconds=seconds - (time.monotonic() - begun), report=report, **same,
        )  # fmt: skip
        path = directory / "weights.safetensors"
        try:
            save_arrays(path, trained, {"preset": p})
        except OSError as error:
            raise TrainingError(
                f"cannot write {path}: {error.strerror}; the checkpoint beside it is kept: free "
                "some space and start the stage again"
            ) from None
        if not finished:
            return Outcome(False, f"{name}: stopped at the time limit; start it again to go on")
        of = f" of the recipe's {stage.steps}" if plan.steps < stage.steps else ""
        return Outcome(
            True, f"{name}: finished after {plan.steps} steps{of}, weights in {directory}"
        )

    def _arrays(self, stage: str, p: str) -> dict[str, Any]:
        path = self.lessons.made(f"{stage}/weights.safetensors", stage)
        arrays = load_file(path)
        check_shapes(arrays, shapes_of(preset(p)), str(path))
        return arrays


def describe(row: Mapping[str, float]) -> str:
    """A row of metrics as one line."""
    return json.dumps(dict(row))


def limit(minutes: float | None) -> float:
    return math.inf if minutes is None else minutes * 60
