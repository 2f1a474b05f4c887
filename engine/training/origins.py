"""The stages in order, and for each a hash of all that it is made from."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from engine.presets import preset
from engine.training.blocks import cleaned_name, corpus_files
from engine.training.checkpoints import MAY_DIFFER
from engine.training.recipe import Recipe, RecipeError, Source, Stage

TRAINED = ("pretrain", "retrofit", "tune")
AFTER = {  # what a stage reads, in the order in which stages run
    "clean": (),
    "tokenizer": ("clean",),
    "pack": ("tokenizer",),
    "examples": ("clean",),
    "neighbours": ("pack",),
    "pretrain": ("pack",),
    "retrofit": ("pretrain", "neighbours"),
    "tune": ("retrofit", "examples"),
    "quantise": ("tune",),
}
FREE = (*MAY_DIFFER, "share")  # of a trained stage: what comes out does not depend on them


@dataclass(frozen=True)
class Sources:
    """Raw corpus files, files that must not be trained on, and a ready tokenizer, if one is taken
    instead of training one."""

    raw: Path
    tests: tuple[Path, ...] = ()
    tokenizer: Path | None = None


def keys_of(recipe: Recipe, sources: Sources, output: Sequence[Any]) -> dict[str, str]:
    """For each stage the hash; `output` is what the written weights depend on besides."""
    keys: dict[str, str] = {}
    for name, before in AFTER.items():
        own = _trained(recipe, name) if name in TRAINED else _FILES[name](recipe, sources)
        told = [name, own, [keys[other] for other in before], output if name == "quantise" else []]
        keys[name] = sha256(json.dumps(told).encode()).hexdigest()
    return keys


def _trained(recipe: Recipe, name: str) -> Any:
    stage = {k: v for k, v in _given(getattr(recipe, name)).items() if k not in FREE}
    return [recipe.base if name == "pretrain" else recipe.preset, recipe.seed, stage]


def _given(entry: Stage | Source) -> dict[str, Any]:
    """What is not as it is by itself, so that a later version's new entries change no hash."""
    values = {field.name: getattr(entry, field.name) for field in fields(entry)}
    return {f.name: values[f.name] for f in fields(entry) if values[f.name] != f.default}


def _clean(recipe: Recipe, sources: Sources) -> Any:
    files = [(path.name, path.stat().st_size) for path in corpus_files(sources.raw)]
    return files, [(path.name, _hash(path)) for path in sources.tests]


def _tokenizer(recipe: Recipe, sources: Sources) -> Any:
    if sources.tokenizer is not None:
        return _hash(sources.tokenizer)
    return recipe.vocab, recipe.characters, recipe.tokenizer


def _hash(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}") from None


_FILES: dict[str, Callable[[Recipe, Sources], Any]] = {
    "clean": _clean,
    "tokenizer": _tokenizer,
    "pack": lambda recipe, _: ([_given(s) for s in recipe.plain], recipe.seed),
    "examples": lambda recipe, _: (
        [_given(s) for s in recipe.examples], recipe.seed, recipe.smalltalk,
        recipe.tune.unrelated > 0,
    ),
    "neighbours": lambda recipe, _: (recipe.neighbours, preset(recipe.preset).chunk),
    "quantise": lambda recipe, _: (),
}  # fmt: skip


def check_files(recipe: Recipe, raw: Path) -> None:
    """Raises RecipeError for a file that the recipe names and that `raw` has not."""
    there = {cleaned_name(path) for path in corpus_files(raw)}
    for name in (*recipe.tokenizer, *(s.file for s in (*recipe.plain, *recipe.examples))):
        if name not in there:
            raise RecipeError(
                f"the recipe names {name}, which is not made from the files of {raw}: there are "
                f"{', '.join(sorted(there))}"
            )
