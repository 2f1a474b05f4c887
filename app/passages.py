"""The passage database in use: made from the library at first start, reopened when it changes."""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.settings import Options
from engine.tokenizer import Tokenizer
from retrieval import ingest as ingests
from retrieval.database import Cut, Database, Entry, Surroundings
from retrieval.ingest import Progress, Report
from retrieval.manifest import DatabaseMissing, Manifest
from retrieval.protocol import Document, Embedder, Neighbour
from retrieval.readers import Skipped, read
from retrieval.retriever import Found, Retriever


class Passages:
    """Searches the newest generation of the database; another process may ingest meanwhile.

    Safe to use from several threads. Everything raises DatabaseError where the database cannot
    be used; the message says what to do.
    """

    def __init__(self, options: Options, embedder: Embedder, tokenizer: Tokenizer):
        self._options, self._embedder, self._tokenizer = options, embedder, tokenizer
        self._lock = threading.Lock()
        self._listed: tuple[Manifest, list[Entry]] | None = None
        self._open()

    @classmethod
    def prepare(
        cls,
        options: Options,
        embedder: Embedder,
        tokenizer: Tokenizer,
        progress: Progress,
    ) -> "Passages":
        """Opens the database, first building it from the library if there is none yet."""
        try:
            return cls(options, embedder, tokenizer)
        except DatabaseMissing:
            ingests.ingest(
                read([options.library]), options.passages, progress=progress,
                encode_offsets=tokenizer.encode_offsets, **made_with(embedder, tokenizer),
            )  # fmt: skip
            return cls(options, embedder, tokenizer)

    # ----- what the model is shown

    def retrieve(self, query: str, k: int) -> Sequence[Neighbour]:
        """A `retrieval.protocol.Retrieve`."""
        self._refresh()
        return self._retriever(query, k)

    def draw(self, count: int, seed: int) -> Sequence[Neighbour]:
        """Passages of the current generation drawn at random, each once, the same for a seed."""
        self._refresh()
        return self._database.draw(count, seed)

    def fingerprint(self) -> str:
        self._refresh()
        return self._database.fingerprint

    @property
    def manifest(self) -> Manifest:
        """What the generation in use holds and was made with."""
        self._refresh()
        return self._database.manifest

    # ----- looking

    @property
    def embedder(self) -> Embedder:
        """What makes the keys that passages are found by."""
        return self._embedder

    def search(self, query: str, k: int) -> Found:
        """The k passages that a reply to this query would begin with, and the candidates."""
        self._refresh()
        return self._retriever.search(query, k)

    def documents(self) -> Sequence[Entry]:
        """All documents, by title."""
        self._refresh()
        database, listed = self._database, self._listed
        if listed is None or listed[0] != database.manifest:
            listed = self._listed = (database.manifest, database.documents())
        return listed[1]

    def document(self, id: int) -> Cut | None:
        """A document with its text and the bounds of its chunks; None where it is gone."""
        self._refresh()
        return self._database.document(id)

    def around(self, document_id: int, position: int) -> Surroundings | None:
        """The passage at a place with those before and after it; None where it is gone.

        A logged passage may have been replaced since: compare its text with the one found here.
        """
        self._refresh()
        return self._database.around(document_id, position)

    # ----- changing

    def add(
        self,
        items: Iterable[Document | Skipped],
        *,
        progress: Progress = ingests.nothing,
        cancelled: Callable[[], bool] = ingests.never,
        whole: Callable[[str], bool] = os.path.isfile,
    ) -> Report:
        """Adds documents, as `readers.read` yields them; what they replace is left out.

        They are there for the next reply. Raises NothingToRead, and Cancelled as
        `retrieval.ingest.ingest` does: then the next call takes up what was done.
        """
        report = ingests.ingest(
            items, self._options.passages, encode_offsets=self._tokenizer.encode_offsets,
            **self._made_with(), progress=progress, cancelled=cancelled, whole=whole,
        )  # fmt: skip
        self._refresh()
        return report

    def remove(self, ids: Iterable[int]) -> None:
        """Removes documents: from the next reply on they are not shown, and their text is gone
        from the files. Raises ValueError for an id that is not there."""
        ingests.remove(ids, self._options.passages, **self._made_with())
        self._refresh()

    def discard(self) -> None:
        """Drops what a cancelled or killed `add` has left to be taken up."""
        ingests.discard(self._options.passages, **self._made_with())

    def _made_with(self) -> dict[str, Any]:
        return made_with(self._embedder, self._tokenizer)

    def _open(self) -> None:
        options, embedder = self._options, self._embedder
        self._database = Database(
            options.passages, embedder=embedder, tokenizer=self._tokenizer.fingerprint
        )
        self._retriever = Retriever(self._database, embedder, dense_only=options.dense_only)

    def _refresh(self) -> None:
        with self._lock:
            if self._database.stale:
                self._open()


def made_with(embedder: Embedder, tokenizer: Tokenizer) -> dict[str, Any]:
    """What every change of a passage database must be told it is made with."""
    return {"embedder": embedder, "tokenizer_fingerprint": tokenizer.fingerprint}
