"""The command `eval`: a model measured on files that it never saw."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from app.evaluation.held import NothingToMeasure
from app.settings import NUMBERS, Options


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    options: Options,
    attached: argparse.ArgumentParser,
) -> None:
    """`attached` are the flags of commands that may use an engine elsewhere."""
    evaluate = commands.add_parser(
        "eval",
        help="measure a model on files that it never saw",
        description="report measures it as a language model, with retrieval on, off and with "
        "random passages; answers asks it questions about passages; effects finds from where on "
        "an effect of a passage has a word; text is bits per byte alone.",
    )
    whats = evaluate.add_subparsers(required=True, metavar="WHAT")
    weights = argparse.ArgumentParser(add_help=False)
    weights.add_argument(
        "--weights", type=Path, default=options.weights, help="weights directory of the model"
    )
    weights.add_argument(
        "--numbers", choices=NUMBERS, default=options.numbers,
        help="what the model is computed in (default %(default)s)",
    )  # fmt: skip
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument(
        "--data", type=Path, default=options.data,
        help="directory with the passages (RETROSCOPE_HOME, default %(default)s)",
    )  # fmt: skip
    file = argparse.ArgumentParser(add_help=False)
    file.add_argument("file", type=Path, metavar="FILE", help="jsonl(.xz), a record a line")
    _add_report(whats, attached)

    answers = whats.add_parser(
        "answers", parents=[file, weights], help="replies to questions about passages"
    )
    answers.add_argument("--limit", type=int, default=60, help="questions (default %(default)s)")
    answers.add_argument("--show", action="store_true", help="print every reply as well")
    answers.set_defaults(run=run_answers)

    text = whats.add_parser(
        "text",
        parents=[file, weights],
        help="bits per byte of documents without retrieval, in --numbers and in float32",
    )
    text.add_argument("--limit", type=int, default=60, help="documents (default %(default)s)")
    text.set_defaults(run=run_text)

    effects = whats.add_parser(
        "effects", parents=[weights, data], help="thresholds for the effects of passages"
    )
    effects.add_argument(
        "file", type=Path, metavar="FILE", help="jsonl(.xz) of questions, or lines of text"
    )
    effects.add_argument("--limit", type=int, help="questions (default all)")
    effects.add_argument(
        "--write", action="store_true", help="put the thresholds into the model card"
    )
    effects.set_defaults(run=run_effects)


def _add_report(whats: Any, attached: argparse.ArgumentParser) -> None:
    report = whats.add_parser(
        "report",
        parents=[attached],
        help="bits per byte with retrieval on and off, WikiText-2, LAMBADA, repetition",
        description="Writes report.json, report.md and figures. Give at least one of --text, "
        "--wikitext and --lambada; passages come from the database of --data. Ctrl-C ends it with "
        "what has been measured.",
    )
    report.add_argument(
        "--text", type=Path, metavar="FILE",
        help="held-out documents, jsonl(.xz) or one text: bits per byte with retrieval on, off "
        "and with random passages; by overlap, passages shown and database size; repetition",
    )  # fmt: skip
    report.add_argument(
        "--wikitext", type=Path, metavar="FILE", help="the WikiText-2 test, an article a record"
    )
    report.add_argument("--lambada", type=Path, metavar="FILE", help="LAMBADA, a passage a record")
    report.add_argument("--out", type=Path, required=True, help="folder to write to")
    report.add_argument("--quick", action="store_true", help="a few of each: about two minutes")
    report.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    report.set_defaults(run=run_report)


def run_report(options: Options, flags: argparse.Namespace) -> int:
    from app.evaluation.language import measure_language

    report = measure_language(options, flags)
    print((flags.out / "report.md").read_text(encoding="utf-8"))
    print(f"wrote {flags.out}")
    if not report["complete"]:
        print("ended early: the report is marked as incomplete", file=sys.stderr)
        return 130
    return 0


def run_text(options: Options, flags: argparse.Namespace) -> int:
    from app.evaluation.held import read_texts
    from app.evaluation.text import bits_per_byte
    from engine.checkpoint import load_weights
    from engine.presets import preset
    from engine.quantised import BITS, round_arrays
    from engine.tokenizer import Tokenizer

    texts = read_texts(flags.file)[: flags.limit]
    card, arrays = load_weights(flags.weights)
    tokenizer = Tokenizer(flags.weights / "tokenizer.model")
    exact = None
    for numbers in dict.fromkeys(("float32", flags.numbers)):
        bits = BITS.get(numbers)
        given = arrays if bits is None else round_arrays(arrays, bits)
        row = bits_per_byte(preset(card["preset"]), given, tokenizer, texts)
        exact = exact or row
        change = math.expm1(row["nats_per_token"] - exact["nats_per_token"])
        print(json.dumps({"numbers": numbers, **row, "perplexity_change": f"{change:+.2%}"}))
    return 0


def run_answers(options: Options, flags: argparse.Namespace) -> int:
    from app.compose import prepare_jax
    from app.evaluation.answers import ask_all, summarise
    from engine.local import LocalEngine
    from engine.training.corpus import read_records
    from engine.training.grounded import example_of

    examples = [example_of(record) for record in list(read_records(flags.file))[: flags.limit]]
    examples = [example for example in examples if example is not None]
    if not examples:
        raise NothingToMeasure(
            f'{flags.file} holds no questions with "context", "question" and "answers"'
        )
    prepare_jax(options)
    engine = LocalEngine.load(flags.weights, flags.numbers)
    answers = []
    for answer in ask_all(engine, engine.tokenizer.encode_offsets, examples):
        answers.append(answer)
        if flags.show:
            print(f"[{answer.way}] {answer.question}\n  -> {answer.reply!r} (f1 {answer.f1:.2f})")
    for row in summarise(answers):
        print(json.dumps(row))
    return 0


def run_effects(options: Options, flags: argparse.Namespace) -> int:
    from tqdm import tqdm

    from app.compose import defaults_of
    from app.evaluation.effects import measure_all, settings_of, summarise, write_card
    from app.library import open_passages
    from engine.attribution import Unmeasurable
    from engine.card import read_card
    from engine.local import LocalEngine

    questions = _questions(flags.file, flags.limit)
    settings = settings_of(defaults_of(read_card(flags.weights)))
    passages = open_passages(options)
    engine = LocalEngine.load(flags.weights, flags.numbers)
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
    print(json.dumps(described))
    return 0


def _questions(file: Path, limit: int | None) -> list[str]:
    """The lines of a text file, or the first questions of grounded records."""
    if ".jsonl" in file.suffixes:
        from engine.training.corpus import read_records
        from engine.training.grounded import example_of

        examples = [example_of(record) for record in list(read_records(file))[:limit]]
        found = [example.turns[0][0] for example in examples if example is not None]
    else:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise NothingToMeasure(f"cannot read {file}: {error}") from None
        found = [line.strip() for line in lines if line.strip()][:limit]
    if not found:
        raise NothingToMeasure(f"{file} holds no questions")
    return found
