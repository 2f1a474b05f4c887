"""The language-model evaluation: files, engine and database -> a report."""

import argparse
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.compose import data_directory, open_engine
from app.evaluation.held import NothingToMeasure, read_texts
from app.evaluation.parts import FULL, QUICK, Amount, Measuring, Part
from app.evaluation.report import measure
from app.evaluation.shown import Search
from app.library import Bar
from app.passages import Passages
from app.settings import Options
from app.store.ids import now
from engine.card import read_card
from engine.presets import preset
from engine.protocol import Engine
from engine.tokenizer import Tokenizer
from retrieval.database import Database
from retrieval.files import sha256_of
from retrieval.protocol import Embedder

if TYPE_CHECKING:
    from engine.local import LocalEngine
    from engine.remote import RemoteEngine

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

    opened = open_all(options)
    measuring = measuring_of(opened, options, QUICK if flags.quick else FULL, flags.seed)
    header = {
        **header_of(opened.engine, opened.database, options.dense_only),
        "command": command_of("report", flags, given),
        "quick": flags.quick,
        "seed": flags.seed,
        "files": {
            name: {"name": path.name, "sha256": sha256_of(path), "texts": len(texts[name])}
            for name, path in given.items()
        },
    }
    return measure(parts_of(measuring, texts), header, flags.out, watch)


@dataclass(frozen=True)
class Opened:
    """What is measured: a model that reads passages, and passages."""

    engine: "LocalEngine | RemoteEngine"
    database: Database
    embedder: Embedder


def open_all(options: Options) -> Opened:
    """Raises NothingToMeasure where there is nothing to be shown, or a model that reads nothing."""
    with data_directory(options.data):
        engine = open_engine(options)
    if preset(engine.info.preset).retrieval is None:
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
    return Opened(engine, database, embedder)


def measuring_of(opened: Opened, options: Options, amount: Amount, seed: int) -> Measuring:
    engine = opened.engine
    retrieval = preset(engine.info.preset).retrieval
    assert retrieval is not None  # else `open_all` refuses it
    search = Search(
        opened.database, opened.embedder, k=retrieval.neighbours, seed=seed,
        dense_only=options.dense_only,
    )  # fmt: skip
    return Measuring(engine, search, engine.tokenizer.encode_offsets, amount, seed)


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


def card_of(options: Options, engine: Engine) -> dict[str, Any]:
    """The model card: here, or where the engine is. Raises CheckpointError."""
    return getattr(engine, "card", {}) if options.engine else read_card(options.weights)


def command_of(what: str, flags: argparse.Namespace, given: Mapping[str, Path]) -> str:
    """The command that was given, with the files' names alone: where they lie is nobody's
    business, and their hashes say which they are."""
    words = ["python", "app.py", "eval", *what.split()]
    for name, path in given.items():
        words += [f"--{name}", path.name]
    words += ["--quick"] * flags.quick + ["--dense-only"] * flags.dense_only
    words += ["--seed", str(flags.seed)] if flags.seed else []
    return shlex.join(words)


def watch(name: str, total: int, rows: Iterable[Any]) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(rows, desc=name, total=total, file=sys.stderr, leave=False, disable=None)
