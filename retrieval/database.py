"""A passage database as one generation of it is read.

The directory holds `chunks.db` (documents and their chunks in SQLite), `index-<generation>.faiss`
(the keys) and `manifest.json` (what is current). A document belongs to the generations from
`added` up to but without `removed`, so that a reader is not disturbed by what is being written.
"""

import json
import random
import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from retrieval.connection import FILE, connect, guarded, unpack
from retrieval.files import sha256_of
from retrieval.index import FlatIndex
from retrieval.manifest import (
    REBUILD,
    DatabaseDamaged,
    DatabaseError,
    Manifest,
)
from retrieval.protocol import Document, Embedder, Neighbour

VISIBLE = "d.added <= :generation AND (d.removed IS NULL OR d.removed > :generation)"


MATCH = """
SELECT rowid AS id, -bm25(chunks_fts, 2.0, 1.0) AS score FROM chunks_fts
WHERE chunks_fts MATCH :query ORDER BY score DESC, id LIMIT :take
"""  # without a join: it would be made for every match before the best are known


@dataclass(frozen=True)
class Entry:
    """A document in the database, without its text."""

    id: int
    title: str
    source: str
    topic: str
    chunks: int


@dataclass(frozen=True)
class Cut:
    """A whole document and where its chunks lie: (start, end) of each, in code points."""

    document: Document
    bounds: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Surroundings:
    """A passage between those before and after it in its document, None where there is none;
    `chunks` is how many the document has."""

    before: str | None
    text: str
    after: str | None
    chunks: int


class Database:
    """One generation, opened for reading; safe to use from several threads."""

    def __init__(self, directory: Path | str, *, embedder: Embedder, tokenizer: str):
        """`tokenizer` is a fingerprint.

        Raises DatabaseMissing, DatabaseMismatch (naming both fingerprints) or DatabaseDamaged.
        """
        self.directory = Path(directory)
        self._lock = threading.Lock()
        with guarded(self.directory), ExitStack() as stack:
            self.manifest, self.index = current(self.directory, embedder, tokenizer)
            self._db = connect(self.directory)
            stack.callback(self.close)
            rows = self._rows(
                f"SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document_id "
                f"WHERE {VISIBLE}"
            )
            self._visible = frozenset(self.index.ids.tolist())
            if {row["id"] for row in rows} != self._visible:
                raise DatabaseDamaged(
                    f"{self.directory / FILE} and {self.manifest.index} hold different chunks: one "
                    f"was replaced without the other; run: {REBUILD}"
                )
            stack.pop_all()

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def stale(self) -> bool:
        """Whether a newer generation has been published since this one was opened."""
        try:
            return Manifest.read(self.directory) != self.manifest
        except DatabaseError:
            return True

    def neighbours(self, ids: Iterable[int]) -> dict[int, Neighbour]:
        """Chunk ids -> passages with title and continuation; unknown ids are left out."""
        rows = self._rows(
            f"""
            SELECT c.id, c.document_id, d.title, d.source, c.position, c.start, c."end", c.text,
                c.tokens, coalesce(f.text, '') AS continuation,
                coalesce(f.tokens, x'') AS continuation_tokens
            FROM chunks c JOIN documents d ON d.id = c.document_id
            LEFT JOIN chunks f ON f.document_id = c.document_id AND f.position = c.position + 1
            WHERE c.id IN (SELECT value FROM json_each(:ids)) AND {VISIBLE}
            """,
            ids=json.dumps([int(id) for id in ids]),
        )
        found = {}
        for row in rows:
            row["chunk_id"] = row.pop("id")
            for field in ("tokens", "continuation_tokens"):
                row[field] = unpack(row[field])
            found[row["chunk_id"]] = Neighbour(**row)
        return found

    def draw(self, count: int, seed: int) -> list[Neighbour]:
        """Passages drawn at random, each once; all there are where that is fewer."""
        ids = sorted(self._visible)
        drawn = random.Random(seed).sample(ids, min(count, len(ids)))
        found = self.neighbours(drawn)
        return [found[id] for id in drawn]

    def match(self, words: Sequence[str], limit: int) -> dict[int, float]:
        """Chunks that hold any of the words in title or text -> BM25, best first; more is better.

        Where the words are common, BM25 may be next to nothing.
        """
        query = any_of(words)
        found: list[tuple[int, float]] = []
        take = 2 * limit
        while query and take:
            rows = self._rows(MATCH, query=query, take=take)
            found = [(row["id"], row["score"]) for row in rows if row["id"] in self._visible]
            # rows of other generations may be in the way
            take = 4 * take if len(found) < limit and len(rows) == take else 0
        return dict(found[:limit])

    def frequency(self, word: str) -> int:
        """In how many chunks a word occurs, in any of its forms, title included."""
        query = any_of([word])
        if not query:
            return 0
        sql = "SELECT count(*) AS n FROM chunks_fts WHERE chunks_fts MATCH :query"
        return self._rows(sql, query=query)[0]["n"]

    def documents(self) -> list[Entry]:
        """All documents, by title."""
        rows = self._rows(
            f"""
            SELECT d.id, d.title, d.source, d.topic,
                (SELECT count(*) FROM chunks c WHERE c.document_id = d.id) AS chunks
            FROM documents d WHERE {VISIBLE} ORDER BY d.title, d.id
            """
        )
        return [Entry(**row) for row in rows]

    def document(self, id: int) -> Cut | None:
        """A document with its text; None if there is none of this id."""
        sql = f"SELECT title, source, text, topic FROM documents d WHERE id = :id AND {VISIBLE}"
        found = self._rows(sql, id=id)
        if not found:
            return None
        bounds = self._rows(
            'SELECT start, "end" FROM chunks WHERE document_id = :id ORDER BY position', id=id
        )
        return Cut(Document(**found[0]), tuple((row["start"], row["end"]) for row in bounds))

    def around(self, document_id: int, position: int) -> Surroundings | None:
        """The passage at a place; None if there is none in this generation."""
        rows = self._rows(
            f"""
            SELECT c.position - :position AS place, c.text,
                (SELECT count(*) FROM chunks WHERE document_id = :id) AS chunks
            FROM chunks c JOIN documents d ON d.id = c.document_id
            WHERE d.id = :id AND c.position BETWEEN :position - 1 AND :position + 1 AND {VISIBLE}
            """,
            id=document_id,
            position=position,
        )
        texts = {row["place"]: row["text"] for row in rows}
        if 0 not in texts:
            return None
        return Surroundings(texts.get(-1), texts[0], texts.get(1), rows[0]["chunks"])

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, sql: str, **parameters: object) -> list[dict]:
        with guarded(self.directory), self._lock:
            found = self._db.query(sql, {"generation": self.manifest.generation, **parameters})
            return list(found)


def any_of(words: Iterable[str]) -> str:
    """An FTS5 query for any of the words. Quoted, so that nothing in them is syntax."""
    texts = (word.encode("utf-8", "ignore").decode().replace("\0", "") for word in words)
    return " OR ".join('"' + text.replace('"', '""') + '"' for text in texts if text)


def current(directory: Path, embedder: Embedder, tokenizer: str) -> tuple[Manifest, FlatIndex]:
    """The generation that is current, with its index."""
    manifest = Manifest.read(directory)
    while True:
        manifest.check(directory, embedder, tokenizer)
        try:
            return manifest, load_index(directory, manifest)
        except DatabaseDamaged:
            newer = Manifest.read(directory)
            if newer == manifest:
                raise
            manifest = newer  # published, and the old index deleted, since it was read


def load_index(directory: Path, manifest: Manifest) -> FlatIndex:
    """Raises DatabaseDamaged if the file is not the one that the manifest names."""
    path = directory / manifest.index
    try:
        found = sha256_of(path)
    except FileNotFoundError:
        raise DatabaseDamaged(f"{path} is missing; run: {REBUILD}") from None
    if found != manifest.sha256:
        raise DatabaseDamaged(
            f"{path} is damaged: its SHA-256 is {found}, the manifest says {manifest.sha256}; "
            f"run: {REBUILD}"
        )
    try:
        return FlatIndex.load(path)
    except ValueError as error:
        raise DatabaseDamaged(f"{error}; run: {REBUILD}") from None
