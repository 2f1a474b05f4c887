"""The commands `train` and `eval`."""

import argparse
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import cleaning
from app.settings import ROOT, Options
from prompts.dialogue import exchange

if TYPE_CHECKING:
    from engine.training.recipe import Recipe

RECIPE = ROOT / "engine/training/recipes/retro-mini.json"
FILES = ("tokenizer", "pack", "examples")
TRAINED = ("pretrain", "retrofit", "tune")
CHANGEABLE = ("steps", "rate", "warmup", "batch", "accumulate", "compute", "rematerialise")


class NothingToMeasure(ValueError):
    """A file without anything that the evaluation can use."""


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", options: Options
) -> None:
    cleaning.add_command(commands)
    train = commands.add_parser(
        "train",
        help="train a model, stage by stage",
        description="Run in this order: tokenizer, pack, examples (files for all that follows), "
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

    evaluate = commands.add_parser("eval", help="measure a model on files that it never saw")
    evaluate.add_argument("what", choices=list(EVALUATIONS))
    evaluate.add_argument(
        "file",
        type=Path,
        help="jsonl(.xz) of questions or documents; for effects also lines of text",
    )
    evaluate.add_argument("--limit", type=int, help="records (default 60, for effects all)")
    evaluate.add_argument("--weights", type=Path, default=options.weights)
    evaluate.add_argument("--show", action="store_true", help="print every reply as well")
    evaluate.add_argument(
        "--data", type=Path, default=options.data, help="for effects: directory with the passages"
    )
    evaluate.add_argument(
        "--write", action="store_true", help="for effects: put the thresholds into the model card"
    )
    evaluate.set_defaults(run=run_eval)


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


def run_eval(options: Options, flags: argparse.Namespace) -> int:
    for row in EVALUATIONS[flags.what](options, flags):
        print(json.dumps(row))
    return 0


def _eval_text(options: Options, flags: argparse.Namespace) -> list[dict[str, Any]]:
    from app.evaluation.text import bits_per_byte
    from engine.checkpoint import load_weights
    from engine.presets import preset
    from engine.tokenizer import Tokenizer
    from engine.training.corpus import text_of

    texts = [text for text in map(text_of, _records(flags)) if text.strip()]
    if not texts:
        raise NothingToMeasure(f"{flags.file} holds no text to measure")
    card, arrays = load_weights(flags.weights)
    tokenizer = Tokenizer(flags.weights / "tokenizer.model")
    return [bits_per_byte(preset(card["preset"]), arrays, tokenizer, texts)]


def _eval_answers(options: Options, flags: argparse.Namespace) -> list[dict[str, Any]]:
    from app.compose import prepare_jax
    from app.evaluation.answers import ask_all, summarise
    from engine.local import LocalEngine
    from engine.training.grounded import example_of

    examples = [e for e in map(example_of, _records(flags)) if e is not None]
    if not examples:
        raise NothingToMeasure(
            f'{flags.file} holds no questions with "context", "question" and "answers"'
        )
    prepare_jax(options)
    engine = LocalEngine.load(flags.weights)
    answers = []
    for answer in ask_all(engine, engine.tokenizer.encode_offsets, examples):
        answers.append(answer)
        if flags.show:
            print(f"[{answer.way}] {answer.question}\n  -> {answer.reply!r} (f1 {answer.f1:.2f})")
    return summarise(answers)


def _eval_effects(options: Options, flags: argparse.Namespace) -> list[dict[str, Any]]:
    from tqdm import tqdm

    from app.compose import defaults_of
    from app.evaluation.effects import measure_all, settings_of, summarise, write_card
    from app.library import open_passages
    from engine.attribution import Unmeasurable
    from engine.card import read_card
    from engine.local import LocalEngine

    questions = _questions(flags)
    settings = settings_of(defaults_of(read_card(flags.weights)))
    passages = open_passages(options)
    engine = LocalEngine.load(flags.weights)
    engine.use(passages.retrieve)
    asked = tqdm(questions, unit=" questions", leave=False, disable=None)
    measured = list(measure_all(engine, passages, asked, settings))
    try:
        found = summarise([chunk for reply in measured for chunk in reply])
    except Unmeasurable as error:
        raise NothingToMeasure(f"{error}; ask more questions than {len(questions)}") from None
    described = {
        **found,
        "command": f"python app.py eval effects {flags.file}",
        "database": passages.fingerprint(),
        "questions": len(questions),
        "replies": len(measured),
    }
    if flags.write:
        write_card(flags.weights, described)
    return [described]


def _records(flags: argparse.Namespace) -> list[dict[str, Any]]:
    from engine.training.corpus import read_records

    limit = flags.limit or (None if flags.what == "effects" else 60)
    return list(read_records(flags.file))[:limit]


def _questions(flags: argparse.Namespace) -> list[str]:
    """The lines of a text file, or the first questions of grounded records."""
    if ".jsonl" in flags.file.suffixes:
        from engine.training.grounded import example_of

        examples = [e for e in map(example_of, _records(flags)) if e is not None]
        found = [example.turns[0][0] for example in examples]
    else:
        try:
            lines = flags.file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise NothingToMeasure(f"cannot read {flags.file}: {error}") from None
        found = [line.strip() for line in lines if line.strip()][: flags.limit]
    if not found:
        raise NothingToMeasure(f"{flags.file} holds no questions")
    return found


EVALUATIONS: dict[str, Callable[[Options, argparse.Namespace], list[dict[str, Any]]]] = {
    "answers": _eval_answers,
    "text": _eval_text,
    "effects": _eval_effects,
}
