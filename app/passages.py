"""The passage database in use: made from the library at first start, reopened when it changes."""

import threading
from collections.abc import Sequence

from app.settings import Options
from engine.tokenizer import Tokenizer
from retrieval.database import Database
from retrieval.ingest import Progress, ingest
from retrieval.manifest import DatabaseMissing
from retrieval.protocol import Embedder, Neighbour
from retrieval.readers import read
from retrieval.retriever import Retriever


class Passages:
    """Searches the newest generation of the database; another process may ingest meanwhile."""

    def __init__(self, options: Options, embedder: Embedder, tokenizer: Tokenizer):
        self._options, self._embedder, self._tokenizer = options, embedder, tokenizer
        self._lock = threading.Lock()
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
            ingest(
                read([options.library]),
                options.passages,
                encode_offsets=tokenizer.encode_offsets,
                tokenizer_fingerprint=tokenizer.fingerprint,
                embedder=embedder,
                progress=progress,
            )
            return cls(options, embedder, tokenizer)

    def retrieve(self, query: str, k: int) -> Sequence[Neighbour]:
        """A `retrieval.protocol.Retrieve`."""
        self._refresh()
        return self._retriever(query, k)

    def fingerprint(self) -> str:
        self._refresh()
        return self._database.fingerprint

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
