"""A recipe for another preset, or a stage trained otherwise."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.training.overrides import with_presets, with_stage
from engine.training.recipe import RecipeError, read_recipe

RECIPE = read_recipe(Path(__file__).parents[1] / "engine/training/recipes/retro-mini.json")


def test_a_preset_brings_its_base_and_vocabulary():
    found = with_presets(RECIPE, "retro-44m")
    assert (found.preset, found.base, found.vocab) == ("retro-44m", "gopher-44m", 32_000)
    assert replace(found, preset=RECIPE.preset, base=RECIPE.base, vocab=RECIPE.vocab) == RECIPE


def test_the_recipes_own_preset_leaves_its_vocabulary():
    assert with_presets(replace(RECIPE, vocab=500), "retro-mini").vocab == 500


@pytest.mark.parametrize(
    ("name", "base", "message"),
    [
        ("retro-45m", None, "no preset named 'retro-45m'"),
        ("gopher-44m", None, "is no RETRO"),
        ("retro-44m", "gopher-117m", "decoder's shape: gopher-44m"),
        ("retro-172m", None, "no preset has it"),
    ],
)
def test_presets_that_do_not_fit_are_refused(name, base, message):
    with pytest.raises(RecipeError, match=message):
        with_presets(RECIPE, name, base)


def test_entries_of_one_stage_are_changed():
    found = with_stage(RECIPE, "tune", {"steps": 5, "batch": 12, "accumulate": 3})
    assert found.tune == replace(RECIPE.tune, steps=5, batch=12, accumulate=3)
    assert found.pretrain == RECIPE.pretrain


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"compute": "float16"}, "'float16', not one of float32, bfloat16"),
        ({"batch": 10, "accumulate": 4}, "10 sequences cannot be divided into 4 parts"),
    ],
)
def test_entries_that_cannot_be_followed_are_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        with_stage(RECIPE, "pretrain", changes)
