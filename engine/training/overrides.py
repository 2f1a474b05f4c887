"""A recipe for another size of model, or with one stage trained otherwise."""

from dataclasses import replace
from typing import Any

from engine.presets import PRESETS, Preset
from engine.training.recipe import Recipe, RecipeError, Stage

COMPUTE = ("float32", "bfloat16")


def with_presets(recipe: Recipe, name: str, base: str | None = None) -> Recipe:
    """The recipe for another RETRO and the Gopher it is fitted to: `base`, or the one that has its
    decoder's shape. The vocabulary is theirs where the preset is not the recipe's own."""
    for given in (name, base):
        if given is not None and given not in PRESETS:
            raise RecipeError(f"no preset named {given!r}; there are {', '.join(PRESETS)}")
    if PRESETS[name].retrieval is None:
        raise RecipeError(f"the preset {name!r} is no RETRO; its base is found by itself")
    shape = _decoder(PRESETS[name])
    fitting = [p.name for p in PRESETS.values() if p.retrieval is None and _decoder(p) == shape]
    if (base or name) not in (*fitting, name) or not fitting:
        there = ", ".join(fitting) or "no preset has it"
        raise RecipeError(f"the base of {name!r} must have its decoder's shape: {there}")
    vocab = recipe.vocab if name == recipe.preset else shape.vocab
    return replace(recipe, preset=name, base=base or fitting[0], vocab=vocab)


def _decoder(p: Preset) -> Preset:
    return replace(p, name="", retrieval=None)


def with_stage(recipe: Recipe, name: str, changes: dict[str, Any]) -> Recipe:
    """The recipe with entries of one stage changed, all of that stage's checked."""
    stage: Stage = replace(getattr(recipe, name), **changes)
    for entry in ("steps", "batch", "accumulate", "slices"):
        if getattr(stage, entry) < 1:
            raise RecipeError(
                f"{name}: {entry} is {getattr(stage, entry)}, but at least 1 is needed"
            )
    if stage.compute not in COMPUTE:
        raise RecipeError(f"{name}: compute is {stage.compute!r}, not one of {', '.join(COMPUTE)}")
    if stage.batch % (stage.accumulate * stage.slices):
        raise RecipeError(
            f"{name}: a batch of {stage.batch} sequences cannot be divided into {stage.accumulate} "
            f"parts of {stage.slices} slices each"
        )
    return replace(recipe, **{name: stage})
