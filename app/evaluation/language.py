"""The language-model evaluation: files, engine and database -> a report."""

import argparse
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.compose import data_directory, open_engine
from app.evaluation.held import NothingToMeasure, read_texts
from app.evaluation.parts import FULL, QUICK, Measuring, Part
from app.evaluation.report import measure
from app.evaluation.shown import Search
from app.library import Bar
from app.passages import Passages
from app.settings import Options
from app.store.ids import now
from engine.presets import preset
from engine.protocol import Engine
from engine.tokenizer import Tokenizer
from retrieval.database import Database
from retrieval.files import sha256_of
from retrieval.protocol import Embedder

FILES = ("text", "wikitext", "lambada")


def measure_language(options: Options, flags: argparse.Namespace) -> dict[str, Any]:
    """Measures what files were given for and writes the report to flags.out.

    Raises NothingToMeasure and CorpusError for the files before anything is loaded; also what
    loading weights, opening the database and asking the engine raise.
    """
    given = {name: getattr(flags, name) for name in FILES if getattr(flags, name) is not None}
    if not given:
        raise NothingToMeasure("give at least one of --text FILE, --wikitext FILE, --lambada FILE")
    texts = {name: read_texts(path, titles=name == "text") for name, path in given.items()}
    flags.out.mkdir(parents=True, exist_ok=True)

    with data_directory(options.data):
        engine = open_engine(options)
    retrieval = preset(engine.info.preset).retrieval
    if retrieval is None:
        raise NothingToMeasure(
            f"{engine.info.preset} is a model without retrieval; measure it with: "
            "python app.py eval text FILE"
        )
    database, embedder = open_database(options, engine.tokenizer)
    if not len(database.index):
        raise NothingToMeasure(
            f"the database in {options.passages} is empty; add documents with: "
            "python app.py ingest PATH..."
        )
    search = Search(
        database, embedder, k=retrieval.neighbours, seed=flags.seed, dense_only=options.dense_only
    )
    amount = QUICK if flags.quick else FULL
    offsets = engine.tokenizer.encode_offsets
    measuring = Measuring(engine, search, offsets, amount, flags.seed)
    header = {
        **header_of(engine, database, options.dense_only),
        "command": command_of(flags, given),
        "quick": flags.quick,
        "seed": flags.seed,
        "files": {
            name: {"name": path.name, "sha256": sha256_of(path), "texts": len(texts[name])}
            for name, path in given.items()
        },
    }
    return measure(parts_of(measuring, texts), header, flags.out, watch)


def open_database(options: Options, tokenizer: Tokenizer) -> tuple[Database, Embedder]:
    """The passages in use, made from the library if there are none yet."""
    from retrieval.embedder import default_embedder

    embedder = default_embedder()
    with Bar("library") as bar:
        Passages.prepare(options, embedder, tokenizer, bar)
    found = Database(options.passages, embedder=embedder, tokenizer=tokenizer.fingerprint)
    return found, embedder


def parts_of(measuring: Measuring, texts: dict[str, list[str]]) -> list[Part]:
    parts = [getattr(measuring, name)(texts[name]) for name in FILES if name in texts]
    if "text" in texts:
        parts.append(measuring.repetition(texts["text"]))
    return parts


def header_of(engine: Engine, database: Database, dense_only: bool) -> dict[str, Any]:
    info, manifest = engine.info, database.manifest
    return {
        "date": now(),
        "model": {
            "preset": info.preset,
            "parameters": info.parameters,
            "fingerprint": info.fingerprint,
            "tokenizer": info.tokenizer,
        },
        "database": {
            "fingerprint": database.fingerprint,
            "embedder": manifest.embedder,
            "documents": manifest.documents,
            "passages": manifest.chunks,
            "found_by": "by nearest keys" if dense_only else "by nearest keys and words",
        },
    }


def command_of(flags: argparse.Namespace, given: dict[str, Path]) -> str:
    """The command that was given, with the files' names alone: where they lie is nobody's
    business, and their hashes say which they are."""
    words = ["python", "app.py", "eval", "report"]
    for name, path in given.items():
        words += [f"--{name}", path.name]
    words += ["--quick"] * flags.quick + ["--dense-only"] * flags.dense_only
    words += ["--seed", str(flags.seed)] if flags.seed else []
    return shlex.join(words)


def watch(name: str, total: int, rows: Iterable[Any]) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(rows, desc=name, total=total, file=sys.stderr, leave=False, disable=None)
