"""The stages of training, each from files to files in one work directory.

tokenizer -> pack, examples (-> neighbours) -> pretrain -> retrofit -> tune -> export. A stage that
is stopped, or that runs into its time limit, goes on from its checkpoint when it is started again.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
from engine.presets import preset
from engine.sharding import MeshError, open_mesh
from engine.tokenizer import Tokenizer, TokenizerError
from engine.tokenizer import train as train_tokenizer
from engine.training.batches import in_parts, plain_batch, windows
from engine.training.checkpoints import TrainingError
from engine.training.corpus import CorpusError, sample_paragraphs
from engine.training.flops import batch_flops
from engine.training.loop import train
from engine.training.metrics import Row
from engine.training.mixture import Mixture, read_mixture
from engine.training.neighbour_index import (
    Disturbance,
    NeighbourIndex,
    Progress,
    find_neighbours,
)
from engine.training.neighbours import retrofit_batch
from engine.training.pack import DOCUMENTS, MIXTURE, pack, read_documents
from engine.training.recipe import (
    Recipe,
    RecipeError,
    Stage,
    grounded_examples,
    plain_texts,
    read_examples,
    write_examples,
)
from engine.training.start import copying_start
from engine.training.step import Batch, Plan
from engine.training.tune import GroundedBatches, Shape, WritePrompt
from retrieval.protocol import Embedder

EXPECTED = [CorpusError, RecipeError, TrainingError, MeshError, CheckpointError, TokenizerError]

Report = Callable[[Row], None]


@dataclass(frozen=True)
class Workshop:
    """A recipe, its corpus, and the directory that its stages write to."""

    recipe: Recipe
    corpus: Path
    work: Path
    write_prompt: WritePrompt
    mesh: str | None = None  # as engine/sharding.py reads it

    def tokenizer(self) -> str:
        paths = [self.corpus / name for name in self.recipe.tokenizer]
        texts = sample_paragraphs(paths, self.recipe.characters)
        path = train_tokenizer(texts, self.work / "tokenizer", self.recipe.vocab)
        return f"wrote {path}"

    def pack(self) -> str:
        texts = plain_texts(self.recipe, self.corpus)
        model = self._made("tokenizer.model", "tokenizer")
        weights = [source.weight for source in self.recipe.plain if source.weight]
        count = pack(texts, model, self.work / "tokens.bin", seed=self.recipe.seed, weights=weights)
        return f"wrote {count:,} tokens"

    def neighbours(self, embedder: Embedder, progress: Progress) -> str:
        """The nearest chunks of other documents for every chunk of the packed tokens."""
        tokens, documents = self._tokens(), read_documents(self._made(DOCUMENTS, "pack"))
        count = find_neighbours(
            tokens, documents, self.work, chunk=preset(self.recipe.preset).chunk,
            k=self.recipe.neighbours, embedder=embedder, progress=progress,
            decode=Tokenizer(self._made("tokenizer.model", "tokenizer")).decode,
        )  # fmt: skip
        return f"wrote {self.recipe.neighbours} neighbours for each of {count:,} chunks"

    def examples(self) -> str:
        found = grounded_examples(self.recipe, self.corpus)
        self.work.mkdir(parents=True, exist_ok=True)
        write_examples(found, self.work / "examples.jsonl")
        return f"wrote {len(found):,} examples"

    def pretrain(self, seconds: float, report: Report) -> str:
        """Plain next-token prediction of the base."""
        recipe, stage = self.recipe, self.recipe.pretrain
        p, tokens, mixture = preset(recipe.base), self._tokens(), self._mixture()

        def batches(step: int) -> Batch:
            return plain_batch(
                tokens, step, batch=stage.batch, length=stage.chunks * p.chunk, seed=recipe.seed,
                mixture=mixture,
            )  # fmt: skip

        arrays = flatten(nnx.state(build(p, recipe.seed), nnx.Param))
        return self._train("pretrain", recipe.base, arrays, stage, batches, seconds, report)

    def retrofit(self, seconds: float, report: Report) -> str:
        """Encoder and cross-attention learn to read neighbours; the base stays frozen."""
        recipe, stage = self.recipe, self.recipe.retrofit
        p, tokens = preset(recipe.preset), self._tokens()
        base = {f"decoder.{k}": v for k, v in self._arrays("pretrain", recipe.base).items()}
        fresh = flatten(nnx.state(build(p, recipe.seed + 1), nnx.Param))
        text = windows(tokens, 0, batch=32, length=stage.chunks * p.chunk, seed=recipe.seed)
        arrays = copying_start(p, {**fresh, **base}, text, recipe.seed)
        return self._train(
            "retrofit", recipe.preset, arrays, stage, self._fitting(tokens), seconds, report,
            frozen=lambda name: name.startswith("decoder."),
        )  # fmt: skip

    def tune(self, seconds: float, report: Report) -> str:
        """All weights learn to answer from passages, in the layout of a chat turn."""
        recipe, stage = self.recipe, self.recipe.tune
        shapes = [Shape(stage.batch, 1, False)] * 2
        if stage.in_context:
            shapes.append(Shape(max(1, stage.batch // 2), 3, True))
        grounded = GroundedBatches(
            read_examples(self._made("examples.jsonl", "examples")),
            Tokenizer(self._made("tokenizer.model", "tokenizer")).encode,
            self.write_prompt,
            shapes=shapes,
            chunk=preset(recipe.preset).chunk,
            k=2,
            seed=recipe.seed + 2,
        )
        copies = self._fitting(self._tokens()) if stage.copies else grounded

        def batches(step: int) -> Batch:
            return (copies if step % 3 == 2 else grounded)(step)

        arrays = self._arrays("retrofit", recipe.preset)
        return self._train("tune", recipe.preset, arrays, stage, batches, seconds, report)

    def _fitting(self, tokens: np.ndarray) -> Callable[[int], Batch]:
        """Plain text with neighbours: found ones in the recipe's share of the steps, in the others
        made ones that often copy what comes next."""
        stage, M = self.recipe.retrofit, preset(self.recipe.preset).chunk
        seed, mixture = self.recipe.seed + 1, self._mixture()
        index = self._index(tokens) if stage.found else None
        disturb = Disturbance(stage.dropout, stage.random, stage.noise)

        def batches(step: int) -> Batch:
            drawn = np.random.default_rng((seed, step, 1)).random()
            if index is not None and drawn < stage.found:
                return index.batch(
                    step, batch=stage.batch, chunks=stage.chunks, seed=seed, mixture=mixture,
                    disturb=disturb,
                )  # fmt: skip
            return retrofit_batch(
                tokens, step, batch=stage.batch, chunks=stage.chunks, chunk=M, k=1, seed=seed,
                mixture=mixture,
            )  # fmt: skip

        return batches

    def _index(self, tokens: np.ndarray) -> NeighbourIndex:
        """Raises CorpusError where the stage `neighbours` has not run on these tokens."""
        index = NeighbourIndex(tokens, read_documents(self._made(DOCUMENTS, "pack")), self.work)
        if index.chunk != preset(self.recipe.preset).chunk:
            raise CorpusError(
                f"the neighbours in {self.work} are of chunks of {index.chunk} tokens, "
                f"{self.recipe.preset} has {preset(self.recipe.preset).chunk}; run the stage "
                "'neighbours' again"
            )
        return index

    def export(self, stage: str, directory: Path, card: Mapping[str, Any]) -> str:
        """Writes a stage's weights as a weights directory, in bfloat16."""
        arrays = self._arrays(stage, self.recipe.preset)
        tokenizer = self._made("tokenizer.model", "tokenizer")
        save_weights(directory, self.recipe.preset, arrays, tokenizer, card)
        return f"wrote {directory}"

    def _train(
        self, name: str, p: str, arrays: Mapping[str, Any], stage: Stage,
        batches: Callable[[int], Batch], seconds: float, report: Report,
        frozen: Callable[[str], bool] = lambda name: False,
    ) -> str:  # fmt: skip
        plan = Plan(
            stage.steps, stage.rate, stage.warmup, accumulate=stage.accumulate,
            compute=stage.compute, rematerialise=stage.rematerialise,
        )  # fmt: skip
        tokenizer = self._made("tokenizer.model", "tokenizer").read_bytes()
        made_of = {
            "preset": p,
            "tokenizer": hashlib.sha256(tokenizer).hexdigest(),
            "batch": stage.batch,
            "chunks": stage.chunks,
            "seed": self.recipe.seed,
        }
        fitting = self.recipe.retrofit
        if fitting.found and (name == "retrofit" or (name == "tune" and stage.copies)):
            shares = {f: getattr(fitting, f) for f in ("found", "dropout", "random", "noise")}
            made_of |= {"neighbours": shares}

        def parts(step: int) -> Batch:
            return in_parts(batches(step), plan.accumulate)

        def work(batch: Batch) -> float:
            return batch_flops(preset(p), batch, frozen_base=name == "retrofit")

        directory = self.work / name
        trained, finished = train(
            graph_of(preset(p)), arrays, plan, parts if plan.accumulate > 1 else batches,
            directory, frozen=frozen, made_of=made_of, mesh=open_mesh(self.mesh),
            seconds=seconds, slices=stage.slices, work=work, report=report,
        )  # fmt: skip
        path = directory / "weights.safetensors"
        try:
            save_arrays(path, trained, {"preset": p})
        except OSError as error:
            raise TrainingError(
                f"cannot write {path}: {error.strerror}; the checkpoint beside it is kept: free "
                "some space and start the stage again"
            ) from None
        if finished:
            return f"{name}: finished after {stage.steps} steps, weights in {directory}"
        return f"{name}: stopped at the time limit; start it again to go on"

    def _tokens(self) -> np.ndarray:
        return np.memmap(self._made("tokens.bin", "pack"), np.uint16, "r")

    def _mixture(self) -> Mixture:
        return read_mixture(self.work / MIXTURE, len(self._tokens()))

    def _arrays(self, stage: str, p: str) -> dict[str, Any]:
        path = self._made(f"{stage}/weights.safetensors", stage)
        arrays = load_file(path)
        check_shapes(arrays, shapes_of(preset(p)), str(path))
        return arrays

    def _made(self, name: str, stage: str) -> Path:
        """A file that an earlier stage makes."""
        path = self.work / name
        if not path.exists():
            raise RecipeError(f"{path} is missing; run the stage {stage!r} first")
        return path


def describe(row: Mapping[str, float]) -> str:
    """A row of metrics as one line."""
    return json.dumps(dict(row))


def limit(minutes: float | None) -> float:
    return math.inf if minutes is None else minutes * 60
