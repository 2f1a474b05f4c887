"""What each trained stage reads: the files of a work directory -> batches by the step's number."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from engine.presets import preset
from engine.tokenizer import Tokenizer
from engine.training.batches import in_parts, plain_batch
from engine.training.corpus import CorpusError
from engine.training.mixture import Mixture, read_mixture
from engine.training.neighbour_index import Disturbance, NeighbourIndex
from engine.training.neighbours import retrofit_batch
from engine.training.pack import DOCUMENTS, MIXTURE, read_documents
from engine.training.recipe import Recipe, RecipeError, Stage, read_examples
from engine.training.step import Batch, Batches
from engine.training.tune import GroundedBatches, Shape, WritePrompt


@dataclass(frozen=True)
class Lessons:
    """A recipe, the directory with its files, and how a prompt is written."""

    recipe: Recipe
    work: Path
    write_prompt: WritePrompt

    def batches(self, name: str) -> Batches:
        """Those of the stage of that name, in its micro-batches."""
        stage: Stage = getattr(self.recipe, name)
        if name == "tune":
            made = self._tuning()
        else:
            seed = self.recipe.seed if name == "pretrain" else self.recipe.seed + 1
            read = stage.batch, stage.chunks, seed
            made = self.plain(*read) if name == "pretrain" else self.fitting(*read, stage.swaps)
        if stage.accumulate == 1:
            return made
        return lambda step: in_parts(made(step), stage.accumulate)

    def kind(self, name: str) -> Callable[[int], str]:
        """By a step's number what its batch is, where the stage takes several kinds in turn."""
        cycle = self.recipe.tune.cycle if name == "tune" else ()
        return lambda step: cycle[step % len(cycle)] if len(cycle) > 1 else ""

    def plain(self, batch: int, chunks: int, seed: int) -> Batches:
        """Plain text."""
        tokens, mixture = self.tokens(), self._mixture()
        length = chunks * preset(self.recipe.preset).chunk
        return partial(plain_batch, tokens, batch=batch, length=length, seed=seed, mixture=mixture)

    def fitting(self, batch: int, chunks: int, seed: int, swaps: float = 0.0) -> Batches:
        """Plain text with neighbours: found ones in the recipe's share of the steps, in the others
        made ones that often copy what comes next."""
        stage, M = self.recipe.retrofit, preset(self.recipe.preset).chunk
        tokens, mixture = self.tokens(), self._mixture()
        index = self._index(tokens) if stage.found else None
        disturb = Disturbance(stage.dropout, stage.random, stage.noise)

        def batches(step: int) -> Batch:
            drawn = np.random.default_rng((seed, step, 1)).random()
            if index is not None and drawn < stage.found:
                return index.batch(
                    step, batch=batch, chunks=chunks, seed=seed, mixture=mixture,
                    disturb=disturb,
                )  # fmt: skip
            return retrofit_batch(
                tokens, step, batch=batch, chunks=chunks, chunk=M, k=1, seed=seed,
                mixture=mixture, swaps=swaps, vocab=preset(self.recipe.preset).vocab,
            )  # fmt: skip

        return batches

    def questions(self) -> Batches:
        """Questions with two passages each, not in parts."""
        return self._asking()(self._shape(2))

    def _shape(self, k: int) -> Shape:
        """That of questions with k passages as neighbours."""
        return Shape(self.recipe.tune.batch, 1, k, preset(self.recipe.preset).chunk * 3 // 4)

    def _asking(self) -> Callable[[Shape], Batches]:
        recipe, stage = self.recipe, self.recipe.tune
        examples = read_examples(self.made("examples.jsonl", "examples"))
        encode = Tokenizer(self.made("tokenizer.model", "tokenizer")).encode
        return lambda shape: GroundedBatches(
            examples, encode, self.write_prompt, shape=shape, chunk=preset(recipe.preset).chunk,
            seed=recipe.seed + 2, unrelated=stage.unrelated, missing=stage.missing,
            swaps=stage.swaps, vocab=preset(recipe.preset).vocab,
        )  # fmt: skip

    def _tuning(self) -> Batches:
        """Questions, and what else the recipe's cycle says."""
        stage, asking = self.recipe.tune, self._asking()
        shapes = {
            "questions": [self._shape(k) for k in (1, 2)],
            "in context": [
                replace(self._shape(2), batch=max(1, stage.batch // 2), prompts=3, in_context=True)
            ],
        }
        text = stage.text, stage.chunks, self.recipe.seed + 3
        makers: dict[str, list[Batches]] = {
            **{kind: [asking(shape) for shape in of_kind] for kind, of_kind in shapes.items()},
            "copies": [self.fitting(*text, stage.swaps)] if "copies" in stage.cycle else [],
            "plain": [self.plain(*text)] if "plain" in stage.cycle else [],
        }

        def batches(step: int) -> Batch:
            """Whole cycles take turns in how many passages are shown."""
            turn, place = divmod(step, len(stage.cycle))
            makes = makers[stage.cycle[place]]
            return makes[turn % len(makes)](step)

        return batches

    def tokens(self) -> np.ndarray:
        return np.memmap(self.made("tokens.bin", "pack"), np.uint16, "r")

    def _mixture(self) -> Mixture:
        return read_mixture(self.work / MIXTURE, len(self.tokens()))

    def _index(self, tokens: np.ndarray) -> NeighbourIndex:
        """Raises CorpusError where the stage `neighbours` has not run on these tokens."""
        index = NeighbourIndex(tokens, read_documents(self.made(DOCUMENTS, "pack")), self.work)
        if index.chunk != preset(self.recipe.preset).chunk:
            raise CorpusError(
                f"the neighbours in {self.work} are of chunks of {index.chunk} tokens, "
                f"{self.recipe.preset} has {preset(self.recipe.preset).chunk}; run the stage "
                "'neighbours' again"
            )
        return index

    def made(self, name: str, stage: str) -> Path:
        """A file that an earlier stage makes."""
        path = self.work / name
        if not path.exists():
            raise RecipeError(f"{path} is missing; run the stage {stage!r} first")
        return path
