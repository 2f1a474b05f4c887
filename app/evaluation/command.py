"""The command `eval`: a model measured on files that it never saw."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from app.evaluation.held import NothingToMeasure
from app.settings import Options


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    attached: argparse.ArgumentParser,
    data: argparse.ArgumentParser,
    weights: argparse.ArgumentParser,
) -> None:
    """`attached` are the flags of commands that may use an engine elsewhere, `data` and `weights`
    those that name the passages and the model here."""
    evaluate = commands.add_parser(
        "eval",
        help="measure a model on files that it never saw",
        description="Without WHAT it is card: the figures that the model card quotes, beside what "
        "it says, as in `eval --quick`. facts asks about articles of the library; report measures "
        "a language model, with retrieval on, off and with random passages; answers asks questions "
        "about passages; effects finds from where on an effect of a passage has a word; text is "
        "bits per byte alone.",
    )
    whats = evaluate.add_subparsers(required=True, metavar="WHAT")
    file = argparse.ArgumentParser(add_help=False)
    file.add_argument("file", type=Path, metavar="FILE", help="jsonl(.xz), a record a line")
    measured = argparse.ArgumentParser(add_help=False)
    measured.add_argument("--quick", action="store_true", help="a few of each")
    measured.add_argument(
        "--text", type=Path, metavar="FILE", help="held-out documents, jsonl(.xz) or one text"
    )
    measured.add_argument(
        "--wikitext", type=Path, metavar="FILE", help="the WikiText-2 test, an article a record"
    )
    measured.add_argument(
        "--lambada", type=Path, metavar="FILE", help="LAMBADA, a passage a record"
    )
    measured.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    _add_card(whats, attached, measured)
    _add_facts(whats, attached)
    _add_report(whats, attached, measured)

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
        "effects", parents=[data, weights], help="thresholds for the effects of passages"
    )
    effects.add_argument(
        "file", type=Path, metavar="FILE", help="jsonl(.xz) of questions, or lines of text"
    )
    effects.add_argument("--limit", type=int, help="questions (default all)")
    effects.add_argument(
        "--write", action="store_true", help="put the thresholds into the model card"
    )
    effects.set_defaults(run=run_effects)


def with_what(words: list[str]) -> list[str]:
    """`eval` and `eval --quick` are `eval card` and `eval card --quick`."""
    if words[:1] != ["eval"] or "-h" in words[1:2] or "--help" in words[1:2]:
        return words
    named = len(words) > 1 and not words[1].startswith("-")
    return words if named else ["eval", "card", *words[1:]]


def _add_card(whats: Any, *parents: argparse.ArgumentParser) -> None:
    card = whats.add_parser(
        "card",
        parents=parents,
        help="measure what the model card quotes and compare (what `eval` does without WHAT)",
        description="Measures, prints a table of what was measured beside what the card says, and "
        "tells where the card's value is not within the measured 95 % interval. It needs no file: "
        "questions about articles of the library, their bits per byte and repetition. With files "
        "it measures those too. With --quick it measures a few of each, but asks all questions. "
        "Ctrl-C ends it with what has been measured.",
    )
    card.add_argument(
        "--answers", type=Path, metavar="FILE", help="questions about passages, jsonl(.xz)"
    )
    card.add_argument("--write", action="store_true", help="put what was measured into the card")
    card.set_defaults(run=run_card)


def _add_facts(whats: Any, attached: argparse.ArgumentParser) -> None:
    facts = whats.add_parser(
        "facts",
        parents=[attached],
        help="how many replies have the fact that was asked for: retrieval on, off, in context",
        description="Asks every question with the settings that the page begins with, but "
        "greedily: with retrieval on, off, and on with the best passage in the prompt as well. "
        "Ctrl-C ends it with what has been measured.",
    )
    facts.add_argument(
        "file", type=Path, nargs="?", metavar="FILE",
        help='jsonl of {"question", "article": its title, "facts": [[alternative, ...], ...]}; a '
        "reply must have an alternative of each list (default: 50 about the library)",
    )  # fmt: skip
    facts.add_argument("--show", action="store_true", help="print every reply as well")
    facts.set_defaults(run=run_facts)


def _add_report(whats: Any, *parents: argparse.ArgumentParser) -> None:
    report = whats.add_parser(
        "report",
        parents=parents,
        help="bits per byte with retrieval on and off, WikiText-2, LAMBADA, repetition",
        description="Writes report.json, report.md and figures. Give at least one of --text, "
        "--wikitext and --lambada; passages come from the database of --data. Of --text it "
        "measures bits per byte with retrieval on, off and with random passages; by overlap, "
        "passages shown and database size; and repetition. With --quick it takes about two "
        "minutes. Ctrl-C ends it with what has been measured.",
    )
    report.add_argument("--out", type=Path, required=True, help="folder to write to")
    report.set_defaults(run=run_report)


def run_card(options: Options, flags: argparse.Namespace) -> int:
    from app.evaluation.card import measure_card
    from app.evaluation.language import watch

    return measure_card(options, flags, watch)


def run_facts(options: Options, flags: argparse.Namespace) -> int:
    from app.compose import defaults_of
    from app.evaluation.facts import FILE, facts_part, missing, read_facts
    from app.evaluation.language import card_of, open_all, watch
    from app.evaluation.report import collect
    from retrieval.retriever import Retriever

    facts = read_facts(flags.file or FILE)
    opened = open_all(options)
    defaults = defaults_of(card_of(options, opened.engine))
    if lacking := missing(facts, opened.database):
        print(lacking, file=sys.stderr)
    retrieve = Retriever(opened.database, opened.embedder, dense_only=options.dense_only)
    opened.engine.use(retrieve)
    part = facts_part(opened.engine, retrieve, opened.database, facts, defaults)
    rows: list[Any] = []
    whole = collect(part, watch, rows)
    for fact, told in zip(facts, rows, strict=False) if flags.show else ():
        print(f"{fact.question} ({fact.article})")
        for way, reply in told.items():
            print(f"  [{way}] {'right' if reply.right else 'not right'}"
                  f"{', found' if reply.found else ''}: {reply.reply!r}")  # fmt: skip
    summary = part.summarise(rows) if rows else {"ways": [], "differences": []}
    for row in (*summary["ways"], *summary["differences"]):
        print(json.dumps(row))
    if not whole:
        print(f"ended early: {len(rows)} of {len(facts)} questions", file=sys.stderr)
    return 0 if whole else 130


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
    from app.evaluation.answers import ask_all, read_examples, summarise
    from engine.local import LocalEngine

    examples = read_examples(flags.file, flags.limit)
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
        write_card(flags.weights, {"effects": described})
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
