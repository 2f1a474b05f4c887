"""A recipe: which data, in what shares, and how long each stage trains. One JSON file."""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from engine.presets import PRESETS
from engine.training.corpus import CorpusError, read_records, text_of
from engine.training.grounded import (
    Example,
    as_text,
    example_of,
    in_sentences,
    made_examples,
    share_said,
)
from engine.training.smalltalk import smalltalk

KINDS = ("questions", "in context", "copies", "plain")  # of steps in tuning


class RecipeError(ValueError):
    """A recipe that cannot be followed; the message names the file and the entry."""


@dataclass(frozen=True)
class Source:
    """A file of a corpus. `characters` cuts documents; `made` questions are made from one of
    `every` documents; `repeat` is epochs; grounded records whose answer shares less than
    `overlap` of its words with the passage are left out. `weight` is the share of what is read
    that comes from here, beside the other sources' weights; without weights, all text counts
    alike. With `sentences` the answer to a question becomes the sentence of its passage that says
    most of it; questions without one are left out."""

    file: str
    characters: int = 1_000_000
    made: int = 0
    every: int = 1
    repeat: int = 1
    overlap: float = 0.0
    sentences: bool = False
    weight: float = 0.0


@dataclass(frozen=True)
class Stage:
    """How long and fast a stage trains: steps, peak rate, warm-up steps; `batch` sequences of
    `chunks` chunks. A batch goes through the model in `accumulate` parts, and its logits in
    `slices` of those; `compute` is "float32" or "bfloat16"; `rematerialise` saves memory for time.
    In tuning, the steps are in turn what `cycle` says, each with all weights: "questions" with the
    passage as a neighbour, "in context" with the passage in the prompt too (half as many, they
    are longer), "copies" as in RETROfitting, "plain" as in pretraining; for these two there are
    `text` sequences a step, of the stage's `chunks`. `unrelated` and `missing` are the shares of
    questions that are shown other passages, or none, and answered by saying so; with `unrelated` 0
    those that their passage does not answer are left out, too. In tuning and in made copies `swaps`
    of all tokens are exchanged, see swaps.py. Tuning begins with what embeddings share shrunk to
    `spread` of it, see spread.py, and with an encoder that compares, fitted in `matching` steps,
    see matching.py; `pointing` is the weight of looking at the place that an answer
    is copied from, see step.py. In RETROfitting, `found` is the
    share of steps whose neighbours are those that the stage `neighbours` found; they are disturbed
    by `dropout`, `random` and `noise`, see neighbour_index.py. The other steps make copies.
    `share` is the weight of the stage where `train all` divides its time among the three."""

    steps: int
    rate: float
    warmup: int
    batch: int
    chunks: int = 4
    compute: str = "float32"
    accumulate: int = 1
    slices: int = 1
    rematerialise: bool = False
    cycle: tuple[str, ...] = ("questions",)
    text: int = 4
    unrelated: float = 0.04
    missing: float = 0.04
    swaps: float = 0.0
    spread: float = 1.0
    matching: int = 0
    pointing: float = 0.0
    found: float = 0.0
    dropout: float = 0.1
    random: float = 0.1
    noise: float = 0.1
    share: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """Everything that a model's training depends on but the corpus itself."""

    preset: str  # the RETRO
    base: str  # the Gopher it is fitted to
    seed: int
    vocab: int
    characters: int  # of text that the tokenizer is trained on
    tokenizer: tuple[str, ...]
    plain: tuple[Source, ...]
    examples: tuple[Source, ...]
    pretrain: Stage
    retrofit: Stage
    tune: Stage
    neighbours: int = 2  # that the stage `neighbours` finds for each chunk
    smalltalk: int = 0  # how often each message of smalltalk.py is among the examples


@dataclass(frozen=True)
class Text:
    """A text to pack: the number of its source, and of the document that it was made from. Made
    examples and repeats belong to their document, and questions to that of their passage."""

    source: int
    document: int
    text: str


def read_recipe(path: Path) -> Recipe:
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        recipe = Recipe(
            **{
                **raw,
                "tokenizer": tuple(raw["tokenizer"]),
                "plain": tuple(Source(**s) for s in raw["plain"]),
                "examples": tuple(Source(**s) for s in raw["examples"]),
                **{name: _stage(raw[name]) for name in ("pretrain", "retrofit", "tune")},
            }
        )
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        wanted = ", ".join(f.name for f in fields(Recipe))
        raise RecipeError(f"{path} is not a recipe ({error}); it needs {wanted}") from None
    for name in (recipe.preset, recipe.base):
        if name not in PRESETS:
            raise RecipeError(f"{path} names the preset {name!r}; there are {', '.join(PRESETS)}")
    if unknown := sorted({*recipe.tune.cycle} - {*KINDS}):
        raise RecipeError(
            f'{path}: "cycle" of "tune" names {unknown[0]!r}; there are {", ".join(KINDS)}'
        )
    for field in ("found", "dropout", "random", "noise"):
        if not 0 <= (share := getattr(recipe.retrofit, field)) <= 1:
            raise RecipeError(f'{path}: "{field}" of "retrofit" is {share}; give a share, 0 to 1')
    weights = [source.weight for source in recipe.plain]
    if any(weights) and min(weights) <= 0:
        raise RecipeError(f'{path}: give a "weight" over 0 to all sources of "plain", or to none')
    return recipe


def _stage(raw: dict[str, Any]) -> Stage:
    return Stage(**{**raw, "cycle": tuple(raw.get("cycle", KINDS[:1]))})


def plain_texts(recipe: Recipe, corpus: Path) -> Iterator[Text]:
    """What the base model reads: documents, dialogues, and made examples as plain text."""
    rng = random.Random(recipe.seed)
    numbers: dict[object, int] = {}
    for which, source in enumerate(recipe.plain):
        for _ in range(source.repeat):
            for number, record in enumerate(read_records(corpus / source.file)):
                example = example_of(record)
                name = record.get("context") or (source.file, number)
                write = partial(Text, which, numbers.setdefault(name, len(numbers)))
                if example is not None:
                    yield write(as_text(example))
                    continue
                yield write(text_of(record)[: source.characters])
                if number % source.every == 0 and "text" in record:
                    yield from map(write, map(as_text, made_examples(record, rng, source.made)))


def grounded_examples(recipe: Recipe, corpus: Path) -> list[Example]:
    """What tuning asks, in random order."""
    rng = random.Random(recipe.seed + 1)
    found = smalltalk() * recipe.smalltalk
    for source in recipe.examples:
        for record in read_records(corpus / source.file):
            example = example_of(record)
            if example is None:
                if "text" in record:
                    found += made_examples(record, rng, source.made)
            elif not example.answered:
                found += [example] * (
                    recipe.tune.unrelated > 0
                )  # never repeated: what is said most is what is said in doubt
            elif share_said(example) >= source.overlap:
                said = in_sentences(example) if source.sentences else example
                found += [said] * source.repeat if said else []
    if not found:
        raise CorpusError(f'no grounded example in {corpus}; see the recipe\'s "examples"')
    rng.shuffle(found)
    return found


def write_examples(examples: list[Example], path: Path) -> None:
    with open(path, "w", encoding="utf-8") as out:
        for example in examples:
            out.write(json.dumps(asdict(example), ensure_ascii=False) + "\n")


def read_examples(path: Path) -> list[Example]:
    found = []
    for d in read_records(path):
        turns = tuple((question, answer) for question, answer in d["turns"])
        found.append(Example(d["passage"], turns, d["answered"], d.get("beside", "")))
    return found
