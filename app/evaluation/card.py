"""The evaluation of the card: measures, lays it beside what the card says, and writes it there."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.compose import defaults_of
from app.evaluation.answers import answers_part, read_examples
from app.evaluation.effects import write_card
from app.evaluation.facts import FILE, facts_part, missing, read_facts
from app.evaluation.held import NothingToMeasure, read_texts
from app.evaluation.language import FILES, Opened, card_of, command_of, measuring_of, open_all
from app.evaluation.parts import FULL, QUICK, Part, spread
from app.evaluation.quoted import MEANINGS, figures_of, table
from app.evaluation.report import Watch, collect
from app.settings import Options
from engine.training.grounded import Example
from retrieval.database import Database
from retrieval.files import sha256_of
from retrieval.protocol import Document
from retrieval.readers import read
from retrieval.retriever import Retriever

# as much of each text as QUICK, so that --quick measures a part of the same
WHOLE = replace(FULL, chunks=QUICK.chunks, tokens=QUICK.tokens)
OURS = {
    "facts": "questions about as many articles of the library, app/evaluation/library.jsonl",
    "library": "articles of the library",
    "repetition": "beginnings of articles of the library",
}


def measure_card(options: Options, flags: argparse.Namespace, watch: Watch) -> int:
    """Measures, prints the table, and writes the card if that is asked for.

    Raises NothingToMeasure and CorpusError for the files before anything is loaded.
    """
    if flags.write and options.engine:
        raise NothingToMeasure("--write writes to a card here; leave --engine away")
    paths = {name: getattr(flags, name) for name in (*FILES, "answers")}
    given = {name: path for name, path in paths.items() if path is not None}
    files = [name for name in FILES if name in given]
    texts = {name: read_texts(given[name], titles=name == "text") for name in files}
    examples = read_examples(given["answers"]) if "answers" in given else []
    opened = open_all(options)
    parts = parts_of(opened, options, flags, texts, examples)
    command = command_of("", flags, given)
    found: dict[str, dict[str, Any]] = {}
    ended = ""
    for part in parts:
        rows: list[Any] = []
        ended = "" if collect(part, watch, rows) else part.name
        if rows:
            found[part.name] = {
                "command": command,
                "data": data_of(part.name, len(rows), given.get(part.name), opened.database),
                "meaning": MEANINGS[part.name],
                "rows": figures_of(part.summarise(rows)),
            }
        if ended:
            break
    said = card_of(options, opened.engine).get("evaluation")
    print("\n".join(table({name: part["rows"] for name, part in found.items()}, said)))
    if ended:
        print(f"ended early in {ended}; the card is as it was", file=sys.stderr)
        return 130
    if flags.write:
        kept = said if isinstance(said, Mapping) else {"reading": said} if said else {}
        write_card(options.weights, {"evaluation": {**kept, **found}})
        print(f"wrote {options.weights / 'card.json'}")
    return 0


def data_of(name: str, count: int, path: Path | None, database: Database) -> str:
    """On what a part was measured; of a file the name alone, and which it is by its hash."""
    if path is not None:
        data = f"{count} of {path.name} (SHA-256 {sha256_of(path)[:12]})"
    else:
        data = f"{count} {OURS[name]}"
    if name == "answers":  # the questions' own passages are shown
        return data
    return f"{data}; {database.manifest.chunks:,} passages, database {database.fingerprint[:12]}"


def parts_of(
    opened: Opened, options: Options, flags: argparse.Namespace,
    texts: Mapping[str, Sequence[str]], examples: Sequence[Example],
) -> list[Part]:  # fmt: skip
    engine, amount = opened.engine, QUICK if flags.quick else WHOLE
    measuring = measuring_of(opened, options, amount, flags.seed)
    retrieve = Retriever(opened.database, opened.embedder, dense_only=options.dense_only)
    engine.use(retrieve)
    defaults = defaults_of(card_of(options, engine))
    articles = [found for found in read(options.library) if isinstance(found, Document)]
    facts = read_facts(FILE)
    if lacking := missing(facts, opened.database):
        print(lacking, file=sys.stderr)
    parts = [
        facts_part(engine, retrieve, opened.database, facts, defaults),
        measuring.library(articles),
        measuring.repetition([a.text for a in spread(articles, amount.continuations)]),
    ]
    parts += [getattr(measuring, name)(some) for name, some in texts.items()]
    if examples:
        encode = engine.tokenizer.encode_offsets
        parts.append(answers_part(engine, encode, examples[: amount.questions], flags.seed))
    return parts
