"""The commands `train` and `eval`."""

import argparse
import json
from pathlib import Path

from app.settings import ROOT, Options
from prompts.dialogue import exchange

RECIPE = ROOT / "engine/training/recipes/retro-mini.json"
FILES = ("tokenizer", "pack", "examples")
TRAINED = ("pretrain", "retrofit", "tune")


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = commands.add_parser("train", help="train a model, stage by stage")
    train.add_argument("stage", choices=[*FILES, *TRAINED, "export"])
    train.add_argument("--recipe", type=Path, default=RECIPE, help="default %(default)s")
    train.add_argument("--corpus", type=Path, default=Path("corpus"), help="folder of jsonl(.xz)")
    train.add_argument("--work", type=Path, default=Path("training"), help="where stages write")
    train.add_argument("--minutes", type=float, help="stop after this long; resumes when repeated")
    train.add_argument("--from", dest="source", default="tune", choices=TRAINED, help="for export")
    train.add_argument("--card", type=Path, help="for export: JSON to keep in the model card")
    train.add_argument("--out", type=Path, help="for export: the weights directory to write")
    train.set_defaults(run=run_train)


def run_train(options: Options, flags: argparse.Namespace) -> int:
    from engine.training.command import Workshop, describe, limit
    from engine.training.recipe import RecipeError, read_recipe

    shop = Workshop(read_recipe(flags.recipe), flags.corpus, flags.work, exchange)
    if flags.stage in FILES:
        print(getattr(shop, flags.stage)())
    elif flags.stage in TRAINED:
        stage = getattr(shop, flags.stage)
        print(stage(limit(flags.minutes), lambda row: print(describe(row), flush=True)))
    else:
        if flags.out is None:
            raise RecipeError("export needs --out DIRECTORY")
        card = json.loads(flags.card.read_text(encoding="utf-8")) if flags.card else {}
        print(shop.export(flags.source, flags.out, card))
    return 0
