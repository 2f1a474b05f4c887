"""The passages from the command line: open, ingest with a progress bar, rebuild."""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from app.compose import data_directory, prepare_jax
from app.passages import Passages, made_with
from app.settings import Options
from engine.card import read_card
from engine.tokenizer import Tokenizer
from retrieval.embedder import default_embedder
from retrieval.ingest import Report, rebuild
from retrieval.protocol import Embedder
from retrieval.readers import NothingToRead, read


class Bar:
    """A progress bar over chunks whose total grows while files are read; shown once it moves."""

    def __init__(self, name: str):
        self._name = name
        self._bar: tqdm | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = tqdm(desc=self._name, unit=" chunks", file=sys.stderr, leave=False)
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        self._bar.refresh()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def open_passages(options: Options) -> Passages:
    """The passage database, built from the library if there is none yet."""
    _prepare(options)
    tokenizer = _tokenizer(options)
    with Bar("library") as bar:
        return Passages.prepare(options, default_embedder(), tokenizer, bar)


def ingest_paths(options: Options, paths: Sequence[Path], *, rebuild: bool) -> int:
    """Adds files to the passages, or makes all passages anew; prints what was done."""
    if not paths and not rebuild:
        raise NothingToRead(
            "nothing to ingest; name files or folders: python app.py ingest PATH..."
        )
    _prepare(options)
    tokenizer, embedder = _tokenizer(options), default_embedder()
    if rebuild:
        report, passages = _rebuild(options, tokenizer, embedder), None
    else:
        with Bar("library") as bar:
            report, passages = None, Passages.prepare(options, embedder, tokenizer, bar)
    if paths:
        passages = passages or Passages(options, embedder, tokenizer)
        with Bar("passages") as bar:
            report = passages.add(read(paths), progress=bar)
    assert report is not None
    for skipped in report.skipped:
        print(f"skipped {skipped}", file=sys.stderr)
    print(
        f"{report.added} documents added ({report.replaced} older versions replaced), "
        f"{report.unchanged} unchanged, {len(report.skipped)} skipped; {report.chunks} chunks in "
        f"{report.seconds:.1f} s"
    )
    return 0


def _prepare(options: Options) -> None:
    with data_directory(options.data):
        prepare_jax(options)


def _tokenizer(options: Options) -> Tokenizer:
    if options.engine:
        from engine.remote import RemoteEngine

        with closing(RemoteEngine(options.engine, options.key)) as engine:
            return engine.tokenizer
    read_card(options.weights)  # says best what is wrong where there are no weights
    return Tokenizer(options.weights / "tokenizer.model")


def _rebuild(options: Options, tokenizer: Tokenizer, embedder: Embedder) -> Report:
    with Bar("rebuilding") as bar:
        return rebuild(
            options.passages, progress=bar, encode_offsets=tokenizer.encode_offsets,
            **made_with(embedder, tokenizer),
        )  # fmt: skip
