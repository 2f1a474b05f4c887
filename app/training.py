"""The command `train`."""

import argparse
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app import cleaning
from app.settings import ROOT, Options
from prompts.dialogue import exchange

if TYPE_CHECKING:
    from engine.training.recipe import Recipe

RECIPE = ROOT / "engine/training/recipes/retro-mini.json"
FILES = ("tokenizer", "pack", "examples")
TRAINED = ("pretrain", "retrofit", "tune")
CHANGEABLE = ("steps", "rate", "warmup", "batch", "accumulate", "compute", "rematerialise")


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    cleaning.add_command(commands)
    train = commands.add_parser(
        "train",
        help="train a model, stage by stage",
        description="Run in this order: tokenizer, pack, examples (files for all that follows), "
        'neighbours (where the recipe\'s retrofit has "found"), '
        "pretrain (the base), retrofit (it learns to read passages), tune (it learns to answer), "
        "export (weights for chat). plot draws losses and speed so far. A stage that was stopped "
        "or killed goes on from its last checkpoint when it is started again.",
    )
    train.add_argument("stage", choices=[*FILES, "neighbours", *TRAINED, "plot", "export"])
    train.add_argument("--recipe", type=Path, default=RECIPE, help="default %(default)s")
    train.add_argument("--corpus", type=Path, default=Path("corpus"), help="folder of jsonl(.xz)")
    train.add_argument("--work", type=Path, default=Path("training"), help="where stages write")
    train.add_argument("--vocab", type=int, help="for tokenizer: pieces, other than the recipe's")
    train.add_argument(
        "--minutes", "--time-limit", type=float, metavar="MINUTES",
        help="stop after this long with a checkpoint; goes on when repeated",
    )  # fmt: skip
    train.add_argument("--preset", help="the RETRO to train, other than the recipe's")
    train.add_argument("--base", help="its Gopher (default: the one of the same shape)")
    train.add_argument(
        "--mesh", metavar="data=D,model=M",
        help="how the devices divide the work: D parts of the batch, M of each layer "
        "(default: all divide the batch)",
    )  # fmt: skip
    stage = train.add_argument_group("of this stage, other than the recipe's")
    stage.add_argument("--steps", type=int)
    stage.add_argument("--rate", type=float, help="peak learning rate")
    stage.add_argument("--warmup", type=int, help="steps until the peak")
    stage.add_argument("--batch", type=int, help="sequences a step")
    stage.add_argument("--accumulate", type=int, help="parts that a batch is computed in")
    stage.add_argument("--compute", help="float32 or bfloat16; masters are float32 in both")
    stage.add_argument(
        "--rematerialise", action="store_const", const=True,
        help="compute activations again instead of keeping them: less memory, more time",
    )  # fmt: skip
    train.add_argument("--from", dest="source", default="tune", choices=TRAINED, help="for export")
    train.add_argument("--card", type=Path, help="for export: JSON to keep in the model card")
    train.add_argument("--out", type=Path, help="for export: the weights directory to write")
    train.set_defaults(run=run_train)


def run_train(options: Options, flags: argparse.Namespace) -> int:
    from engine.training.recipe import RecipeError

    if flags.stage == "plot":
        from engine.training.plot import plot_metrics

        print(f"wrote {plot_metrics(flags.work, TRAINED)}")
        return 0
    from engine.training.command import Workshop, describe, limit

    shop = Workshop(_recipe(flags), flags.corpus, flags.work, exchange, flags.mesh)
    if flags.stage in FILES:
        print(getattr(shop, flags.stage)())
    elif flags.stage == "neighbours":
        from retrieval.embedder import default_embedder

        with closing(cleaning.Bar(" chunks")) as bar:
            print(shop.neighbours(default_embedder(), bar))
    elif flags.stage in TRAINED:
        stage = getattr(shop, flags.stage)
        print(stage(limit(flags.minutes), lambda row: print(describe(row), flush=True)))
    else:
        if flags.out is None:
            raise RecipeError("export needs --out DIRECTORY")
        try:
            card = json.loads(flags.card.read_text(encoding="utf-8")) if flags.card else {}
        except (OSError, ValueError) as error:
            raise RecipeError(f"cannot read the card {flags.card}: {error}") from None
        print(shop.export(flags.source, flags.out, card))
    return 0


def _recipe(flags: argparse.Namespace) -> "Recipe":
    """The recipe with what the command line changes."""
    from engine.training.overrides import with_presets, with_stage
    from engine.training.recipe import read_recipe

    recipe = read_recipe(flags.recipe)
    if flags.preset is not None or flags.base is not None:
        recipe = with_presets(recipe, flags.preset or recipe.preset, flags.base)
    if flags.vocab is not None:
        recipe = replace(recipe, vocab=flags.vocab)
    if flags.stage in TRAINED:
        given = {name: getattr(flags, name) for name in CHANGEABLE}
        changes = {name: value for name, value in given.items() if value is not None}
        recipe = with_stage(recipe, flags.stage, changes)
    return recipe
