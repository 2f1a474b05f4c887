"""Documents -> a passage database: chunks, keys, index.

Safe to interrupt at any moment and to repeat: what is there already is left alone, what an
interrupted run has done is taken up, and readers see the result only when it is whole.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from retrieval.chunks import split
from retrieval.connection import FILE
from retrieval.draft import Draft
from retrieval.manifest import DatabaseMissing, Manifest
from retrieval.protocol import Document, Embedder, EncodeOffsets
from retrieval.readers import Skipped, Unfit, check
from retrieval.writer import drafting

GROUP = 64  # documents in one transaction
BLOCK = 32  # chunks embedded in one transaction; a cancelled ingest finishes the one it is at

Progress = Callable[[int, int], None]  # (done, total) chunks; the total grows while reading


class Cancelled(Exception):
    """An ingest was told to stop. What it has done is kept, and the next one takes it up."""


def nothing(done: int, total: int) -> None: ...


def never() -> bool:
    return False


@dataclass(frozen=True)
class Report:
    """What an ingest did. New versions count as added, the versions they replace as replaced;
    `chunks` are those of added documents, `seconds` is wall-clock time."""

    added: int
    replaced: int
    unchanged: int
    skipped: tuple[Skipped, ...]
    chunks: int
    seconds: float


def ingest(
    items: Iterable[Document | Skipped],
    directory: Path | str,
    *,
    encode_offsets: EncodeOffsets,
    tokenizer_fingerprint: str,
    embedder: Embedder,
    progress: Progress = nothing,
    cancelled: Callable[[], bool] = never,
    whole: Callable[[str], bool] = os.path.isfile,
) -> Report:
    """Adds documents, as given or as `readers.read(paths)` yields them.

    A text that is there already is unchanged, wherever it comes from. A text replaces the older
    ones of the same source: all of them where the source is `whole`, as a file is, else those of
    the same title. Raises DatabaseError, NothingToRead from the reader, and Cancelled once
    `cancelled` says so: it is asked after each document and each block of chunks.
    """
    started = time.monotonic()
    with drafting(directory, embedder=embedder, tokenizer=tokenizer_fingerprint) as draft:
        seen = Seen()
        for group in groups(items):
            with draft.atomic():
                for item in group:
                    take(item, draft, seen, encode_offsets)
                    if cancelled():
                        break
            stop_if(cancelled)
            _, total, done = draft.counts()
            progress(done, total)
        replaced = seen.replaced + leave_out(draft, seen, whole)
        embed(draft, embedder, progress, cancelled)
        added, chunks, _ = draft.counts()
        draft.publish()
    return Report(
        added, replaced, seen.unchanged, tuple(seen.skipped), chunks, time.monotonic() - started
    )  # fmt: skip


def remove(
    ids: Iterable[int],
    directory: Path | str,
    *,
    tokenizer_fingerprint: str,
    embedder: Embedder,
) -> None:
    """Removes documents; when this returns, their text and keys are gone from the files.

    Raises ValueError for an id that is not there, and DatabaseError.
    """
    Manifest.read(Path(directory))  # so that a wrong directory is not made
    with drafting(directory, embedder=embedder, tokenizer=tokenizer_fingerprint) as draft:
        draft.postpone()  # an unfinished ingest is not finished by this
        draft.drop(ids)
        draft.publish(forget=True)


def discard(directory: Path | str, *, tokenizer_fingerprint: str, embedder: Embedder) -> None:
    """Drops what an unfinished ingest has begun; it is gone from the files. DatabaseError."""
    with drafting(directory, embedder=embedder, tokenizer=tokenizer_fingerprint) as draft:
        draft.discard()
        draft.scrub()


def rebuild(
    directory: Path | str,
    *,
    encode_offsets: EncodeOffsets,
    tokenizer_fingerprint: str,
    embedder: Embedder,
    progress: Progress = nothing,
) -> Report:
    """Makes the database anew from its stored documents: for another embedder or tokenizer, or
    where index or manifest are damaged. Raises DatabaseError."""
    started = time.monotonic()
    directory = Path(directory)
    if not (directory / FILE).is_file():
        raise DatabaseMissing(
            f"there is no passage database in {directory}; make one with: "
            "python app.py ingest PATH..."
        )
    with drafting(
        directory, embedder=embedder, tokenizer=tokenizer_fingerprint, rebuild=True
    ) as draft:
        draft.remake(lambda document: split(document, encode_offsets))
        embed(draft, embedder, progress)
        documents, chunks, _ = draft.counts()
        draft.publish()
    return Report(0, 0, documents, (), chunks, time.monotonic() - started)


class Seen:
    """What one run has come across: digests of texts, by source, and the titles beside them."""

    def __init__(self) -> None:
        self.digests: set[str] = set()
        self.titles: dict[str, set[str]] = {}
        self.skipped: list[Skipped] = []
        self.unchanged = self.replaced = 0


def take(item: Document | Skipped, draft: Draft, seen: Seen, encode_offsets: EncodeOffsets) -> None:
    if isinstance(item, Skipped):
        seen.skipped.append(item)
        return
    try:
        check(item)
    except Unfit as error:
        seen.skipped.append(Skipped(item.source, str(error)))
        return
    digest = hashlib.sha256(item.text.encode()).hexdigest()
    repeated = digest in seen.digests
    seen.digests.add(digest)
    seen.titles.setdefault(item.source, set()).add(item.title)
    held = draft.find(digest)
    if held is None:
        draft.add(item, digest, split(item, encode_offsets))
    elif held.source == item.source and (held.title, held.topic) != (item.title, item.topic):
        draft.drop([held.id])  # the same text under a new title
        draft.add(item, digest, split(item, encode_offsets))
        seen.replaced += not held.pending
    elif repeated or not held.pending:
        seen.unchanged += 1


def leave_out(draft: Draft, seen: Seen, whole: Callable[[str], bool]) -> int:
    """Leaves out the older texts of the sources that were read; returns how many."""
    old = [
        row["id"]
        for source, titles in seen.titles.items()
        for row in draft.of_source(source)
        if row["sha256"] not in seen.digests
        and (row["title"] in titles or whole(source))
    ]  # fmt: skip
    draft.drop(old)
    return len(old)


def embed(
    draft: Draft,
    embedder: Embedder,
    progress: Progress = nothing,
    cancelled: Callable[[], bool] = never,
) -> None:
    _, total, done = draft.counts()
    progress(done, total)
    stop_if(cancelled)
    for ids, texts in draft.without_key(BLOCK):
        draft.set_keys(ids, embedder(texts))
        done += len(ids)
        progress(done, total)
        stop_if(cancelled)


def stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled("the ingest was cancelled; what it has done is kept for the next one")


def groups(items: Iterable[Document | Skipped]) -> Iterator[list[Document | Skipped]]:
    iterator = iter(items)
    while group := list(islice(iterator, GROUP)):
        yield group
