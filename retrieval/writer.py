"""The one writer of a passage database: locks its directory and opens a draft in it."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from retrieval.connection import FILE, connect, guarded
from retrieval.draft import Draft
from retrieval.files import locked
from retrieval.manifest import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseError,
    DatabaseMissing,
    Manifest,
)
from retrieval.protocol import Embedder

LOCK = "lock"


@contextmanager
def drafting(
    directory: Path | str, *, embedder: Embedder, tokenizer: str, rebuild: bool = False
) -> Iterator[Draft]:
    """Opens a directory, made if need be, for its one writer.

    With `rebuild` what was published may be damaged or made with another embedder or tokenizer;
    then only the stored documents are relied on. Raises DatabaseBusy, DatabaseMismatch,
    DatabaseDamaged, or DatabaseError where the disk refuses.
    """
    directory = Path(directory)
    with guarded(directory), ExitStack() as stack:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            stack.enter_context(locked(directory / LOCK))
        except BlockingIOError:
            raise DatabaseBusy(
                f"another process is writing to the passage database in {directory}; wait until "
                "it has finished and run this again"
            ) from None
        manifest = published(directory, embedder, tokenizer, rebuild)
        db = stack.enter_context(closing(connect(directory, write=True)))
        yield Draft(directory, db, manifest, embedder, tokenizer, rebuild)


def published(
    directory: Path, embedder: Embedder, tokenizer: str, rebuild: bool
) -> Manifest | None:
    """The manifest that the draft builds on; None if there is none, or none that can be used."""
    try:
        manifest = Manifest.read(directory)
        if not rebuild:
            manifest.check(directory, embedder, tokenizer)
    except DatabaseMissing:
        return None
    except DatabaseError:
        if not rebuild:
            raise
        manifest = None
    if not (directory / FILE).is_file():
        raise DatabaseDamaged(f"{directory / FILE} is missing; delete {directory}, ingest again")
    return manifest
