"""The commands `train` and `eval`."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from app.settings import ROOT, Options
from prompts.dialogue import exchange

RECIPE = ROOT / "engine/training/recipes/retro-mini.json"
FILES = ("tokenizer", "pack", "examples")
TRAINED = ("pretrain", "retrofit", "tune")


class NothingToMeasure(ValueError):
    """A file without anything that the evaluation can use."""


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", weights: Path
) -> None:
    train = commands.add_parser("train", help="train a model, stage by stage")
    train.add_argument("stage", choices=[*FILES, *TRAINED, "export"])
    train.add_argument("--recipe", type=Path, default=RECIPE, help="default %(default)s")
    train.add_argument("--corpus", type=Path, default=Path("corpus"), help="folder of jsonl(.xz)")
    train.add_argument("--work", type=Path, default=Path("training"), help="where stages write")
    train.add_argument("--vocab", type=int, help="for tokenizer: pieces, other than the recipe's")
    train.add_argument("--minutes", type=float, help="stop after this long; resumes when repeated")
    train.add_argument("--from", dest="source", default="tune", choices=TRAINED, help="for export")
    train.add_argument("--card", type=Path, help="for export: JSON to keep in the model card")
    train.add_argument("--out", type=Path, help="for export: the weights directory to write")
    train.set_defaults(run=run_train)

    evaluate = commands.add_parser("eval", help="measure a model on files that it never saw")
    evaluate.add_argument("what", choices=["answers", "text"])
    evaluate.add_argument("file", type=Path, help="jsonl(.xz) of questions or documents")
    evaluate.add_argument("--limit", type=int, default=60, help="records (default 60)")
    evaluate.add_argument("--weights", type=Path, default=weights)
    evaluate.add_argument("--show", action="store_true", help="print every reply as well")
    evaluate.set_defaults(run=run_eval)


def run_train(options: Options, flags: argparse.Namespace) -> int:
    from engine.training.command import Workshop, describe, limit
    from engine.training.recipe import RecipeError, read_recipe

    recipe = read_recipe(flags.recipe)
    if flags.vocab is not None:
        recipe = replace(recipe, vocab=flags.vocab)
    shop = Workshop(recipe, flags.corpus, flags.work, exchange)
    if flags.stage in FILES:
        print(getattr(shop, flags.stage)())
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


def run_eval(options: Options, flags: argparse.Namespace) -> int:
    from engine.training.corpus import read_records

    records = list(read_records(flags.file))[: flags.limit]
    rows = _eval_answers(options, flags, records) if flags.what == "answers" else []
    if flags.what == "text":
        from app.evaluation.text import bits_per_byte
        from engine.checkpoint import load_weights
        from engine.presets import preset
        from engine.tokenizer import Tokenizer
        from engine.training.corpus import text_of

        card, arrays = load_weights(flags.weights)
        tokenizer = Tokenizer(flags.weights / "tokenizer.model")
        texts = [text for text in map(text_of, records) if text.strip()]
        if not texts:
            raise NothingToMeasure(f"{flags.file} holds no text to measure")
        rows = [bits_per_byte(preset(card["preset"]), arrays, tokenizer, texts)]
    for row in rows:
        print(json.dumps(row))
    return 0


def _eval_answers(options: Options, flags: argparse.Namespace, records: list) -> list:
    from app.compose import prepare_jax
    from app.evaluation.answers import ask_all, summarise
    from engine.local import LocalEngine
    from engine.training.grounded import example_of

    prepare_jax(options)
    engine = LocalEngine.load(flags.weights)
    examples = [e for e in map(example_of, records) if e is not None]
    if not examples:
        raise NothingToMeasure(
            f'{flags.file} holds no questions with "context", "question" and "answers"'
        )
    answers = []
    for answer in ask_all(engine, engine.tokenizer.encode_offsets, examples):
        answers.append(answer)
        if flags.show:
            print(f"[{answer.way}] {answer.question}\n  -> {answer.reply!r} (f1 {answer.f1:.2f})")
    return summarise(answers)
