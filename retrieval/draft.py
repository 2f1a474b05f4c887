"""The next generation of a passage database, while it is being written.

Documents and keys go into `chunks.db` in small transactions, as rows that no reader of the
current generation sees. `publish` then writes the index file and replaces the manifest: at that
moment the new generation is there. A process that is killed before leaves rows that the next
draft takes up; the current generation is untouched throughout.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from retrieval.connection import SQLite, pack
from retrieval.database import VISIBLE, load_index
from retrieval.files import replace, sha256_of
from retrieval.index import FlatIndex, rows
from retrieval.manifest import REBUILD, DatabaseDamaged, Manifest, generation_of, index_name
from retrieval.protocol import Chunk, Document, Embedder

BLOCK = 8192  # keys read at a time


@dataclass(frozen=True)
class Held:
    """A document that is there; `pending` if it is not in the current generation yet."""

    id: int
    title: str
    source: str
    topic: str
    pending: bool


class Draft:
    """A generation being written; `writer.drafting` makes it."""

    def __init__(
        self,
        directory: Path,
        db: SQLite,
        manifest: Manifest | None,
        embedder: Embedder,
        tokenizer: str,
        rebuild: bool,
    ):
        self.directory, self.manifest, self.rebuild = directory, manifest, rebuild
        self.generation = self.base = 0
        self._db, self._tokenizer, self._embedder = db, tokenizer, embedder.fingerprint
        numbers = (generation_of(path) for path in directory.iterdir())
        found = sorted(number for number in numbers if number is not None)
        # A first ingest may have been killed between index and manifest: then it goes on.
        lost = manifest is None and bool(found) and not (found == [1] and self._made_alike())
        if lost and not rebuild:
            raise DatabaseDamaged(f"manifest.json is missing in {directory}; run: {REBUILD}")
        if manifest:
            self.generation = manifest.generation + 1
        else:  # above every number that a row may bear, postponed ones included
            self.generation = max(found) + 3 if lost else 1
        # The index holds the chunks of documents added up to `base`; the others need keys.
        self.base = manifest.generation if manifest and not rebuild else 0
        if manifest and self.base:
            self.index = load_index(directory, manifest)
        else:
            self.index = FlatIndex(embedder.width)
        if not rebuild and not self._made_alike():
            self.discard()
        self._renumber(beyond=":generation", to=":generation")  # what was postponed
        self._tidy(manifest.generation - 1 if manifest else 0)

    def atomic(self) -> AbstractContextManager[object]:
        return self._db.atomic()

    def add(self, document: Document, digest: str, chunks: Sequence[Chunk]) -> None:
        with self.atomic():
            row = {**asdict(document), "sha256": digest, "added": self.generation}
            id = self._db.table("documents").insert(row).last_pk
            self._db.table("chunks").insert_all(
                {
                    **vars(chunk),
                    "document_id": id,
                    "title": document.title,
                    "tokens": pack(chunk.tokens),
                }
                for chunk in chunks
            )

    def find(self, digest: str) -> "Held | None":
        """The document of the new generation whose text has this SHA-256."""
        found = self._rows(
            """
            SELECT id, title, source, topic, added, removed FROM documents d
            WHERE sha256 = :digest AND added <= :generation
                AND (removed IS NULL OR removed = :generation)
            ORDER BY removed IS NOT NULL, id LIMIT 1
            """,
            digest=digest,
        )
        if not found:
            return None
        row = found[0]
        if row["removed"] is not None:  # a draft that was killed meant to leave it out
            self._run("UPDATE documents SET removed = NULL WHERE id = :id", id=row["id"])
        pending = row["added"] > self.base
        return Held(row["id"], row["title"], row["source"], row["topic"], pending)

    def of_source(self, source: str) -> list[dict]:
        """id, title and sha256 of the documents that have this source."""
        return self._rows(
            "SELECT id, title, sha256 FROM documents d WHERE source = :source AND removed IS NULL",
            source=source,
        )

    def drop(self, ids: Iterable[int]) -> None:
        """Leaves documents out of the new generation; ValueError if one is not there."""
        with self.atomic():
            for id in ids:
                changed = self._run(
                    f"UPDATE documents AS d SET removed = :generation WHERE id = :id AND {VISIBLE}",
                    id=id,
                )
                if not changed:
                    raise ValueError(
                        f"the passage database in {self.directory} has no document {id}"
                    )

    def postpone(self) -> None:
        """Leaves what an unfinished draft has begun to the next one, which takes it up."""
        self._renumber(beyond=":base", to=":generation + 1")

    def discard(self) -> None:
        """Drops what an unfinished draft has begun."""
        with self.atomic():
            self._delete("added > :base")
            self._run("UPDATE documents SET removed = NULL WHERE removed > :base")
            self._run("DELETE FROM keys")
            self._sign()

    def remake(self, cut: Callable[[Document], Sequence[Chunk]]) -> None:
        """Makes all documents anew with this embedder and tokenizer; for a rebuild."""
        made = self._maker()
        with self.atomic():
            if made.get("tokenizer") != self._tokenizer:
                live = f"SELECT id FROM documents d WHERE {VISIBLE}"
                for id in [row["id"] for row in self._rows(live)]:
                    row = self._rows("SELECT * FROM documents WHERE id = :id", id=id)[0]
                    document = Document(row["title"], row["source"], row["text"], row["topic"])
                    self.drop([id])
                    self.add(document, row["sha256"], cut(document))
            if made.get("embedder") != self._embedder:
                self._run("DELETE FROM keys")
            self._sign()

    def counts(self) -> tuple[int, int, int]:
        """Of what is new in this draft: documents, chunks, and chunks that have their key."""
        (row,) = self._rows(
            f"""
            SELECT count(DISTINCT d.id) AS documents, count(c.id) AS chunks,
                count(k.chunk_id) AS keyed
            FROM documents d LEFT JOIN chunks c ON c.document_id = d.id
            LEFT JOIN keys k ON k.chunk_id = c.id WHERE d.added > :base AND {VISIBLE}
            """
        )
        return row["documents"], row["chunks"], row["keyed"]

    def without_key(self, size: int) -> Iterator[tuple[list[int], list[str]]]:
        """Ids and texts of the chunks that need a key, up to `size` at a time."""
        last = 0
        while found := self._rows(
            f"""
            SELECT c.id, c.text FROM chunks c JOIN documents d ON d.id = c.document_id
            LEFT JOIN keys k ON k.chunk_id = c.id
            WHERE c.id > :last AND k.chunk_id IS NULL AND d.added > :base AND {VISIBLE}
            ORDER BY c.id LIMIT :size
            """,
            last=last,
            size=size,
        ):
            yield [row["id"] for row in found], [row["text"] for row in found]
            last = found[-1]["id"]

    def set_keys(self, ids: Sequence[int], keys: np.ndarray) -> None:
        """ids [n], keys float32 [n W]"""
        keys = rows(keys, self.index.width).astype("<f4")
        pairs = zip(ids, keys, strict=True)
        self._db.table("keys").insert_all(
            ({"chunk_id": id, "key": key.tobytes()} for id, key in pairs), pk="chunk_id"
        )

    def publish(self, *, forget: bool = False) -> Manifest:
        """Makes this the current generation, or returns the current one if nothing changed.

        The generation before stays readable for those who have it open, until the next draft;
        with `forget` it goes at once, and with it every trace of what it held beyond this one.
        """
        if self.manifest and not self.rebuild and not self._changed():
            return self.manifest
        wanted = self._rows(
            f"SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document_id WHERE {VISIBLE}"
        )
        ids = np.array([row["id"] for row in wanted], np.int64)
        self.index.remove(np.setdiff1d(self.index.ids, ids))
        self._add_keys(np.setdiff1d(ids, self.index.ids))
        (documents,) = self._rows(f"SELECT count(*) AS n FROM documents d WHERE {VISIBLE}")

        path = self.directory / index_name(self.generation)
        replace(path, self.index.save)
        self.manifest = Manifest(
            generation=self.generation,
            embedder=self._embedder,
            tokenizer=self._tokenizer,
            width=self.index.width,
            documents=documents["n"],
            chunks=len(ids),
            sha256=sha256_of(path),
        )
        self.manifest.write(self.directory)
        self._run(
            """
            DELETE FROM keys WHERE chunk_id IN (SELECT c.id FROM chunks c
                JOIN documents d ON d.id = c.document_id WHERE d.added <= :generation)
            """
        )
        self._tidy(self.generation if forget else self.generation - 1)
        if forget:
            self.scrub()
        return self.manifest

    def scrub(self) -> None:
        """Takes the traces of deleted rows out of the files."""
        self._run("INSERT INTO chunks_fts (chunks_fts) VALUES ('optimize')")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _add_keys(self, ids: np.ndarray) -> None:
        for block in (ids[i : i + BLOCK] for i in range(0, len(ids), BLOCK)):
            found = self._rows(
                """
                SELECT key FROM keys WHERE chunk_id IN (SELECT value FROM json_each(:ids))
                ORDER BY chunk_id
                """,
                ids=json.dumps(block.tolist()),
            )
            if len(found) < len(block):
                raise ValueError(f"{len(block) - len(found)} chunks have no key yet")
            keys = np.frombuffer(b"".join(row["key"] for row in found), "<f4")
            self.index.add(keys.reshape(len(block), -1), block)

    def _changed(self) -> bool:
        (row,) = self._rows(
            f"""
            SELECT EXISTS (SELECT 1 FROM documents d WHERE d.added > :base AND {VISIBLE}) OR EXISTS
                (SELECT 1 FROM documents WHERE removed = :generation AND added <= :base) AS changed
            """
        )
        return bool(row["changed"])

    def _maker(self) -> dict:
        return next(iter(self._rows("SELECT embedder, tokenizer FROM maker")), {})

    def _made_alike(self) -> bool:
        """Whether the newest rows come from this embedder and tokenizer."""
        return self._maker() == {"embedder": self._embedder, "tokenizer": self._tokenizer}

    def _sign(self) -> None:
        row = {"id": 1, "embedder": self._embedder, "tokenizer": self._tokenizer}
        self._db.table("maker").insert(row, pk="id", replace=True)

    def _renumber(self, *, beyond: str, to: str) -> None:
        with self.atomic():
            for column in ("added", "removed"):
                self._run(f"UPDATE documents SET {column} = {to} WHERE {column} > {beyond}")

    def _tidy(self, oldest: int) -> None:
        """Deletes what no generation from `oldest` on holds; safe to repeat."""
        with self.atomic():
            self._delete("removed <= :oldest", oldest=oldest)
        for path in self.directory.iterdir():
            stray = path.name.startswith(".") and path.suffix == ".tmp"
            number = generation_of(path)
            if stray or (number is not None and number < oldest):
                path.unlink(missing_ok=True)

    def _delete(self, which: str, **parameters: object) -> None:
        chunks = f"SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document_id WHERE {which}"
        documents = f"SELECT id FROM documents WHERE {which}"
        self._run(f"DELETE FROM keys WHERE chunk_id IN ({chunks})", **parameters)
        self._run(f"DELETE FROM chunks WHERE document_id IN ({documents})", **parameters)
        self._run(f"DELETE FROM documents WHERE {which}", **parameters)

    def _rows(self, sql: str, **parameters: object) -> list[dict]:
        return list(self._db.query(sql, self._bound(parameters)))

    def _run(self, sql: str, **parameters: object) -> int:
        return self._db.execute(sql, self._bound(parameters)).rowcount

    def _bound(self, parameters: dict) -> dict:
        return {"generation": self.generation, "base": self.base, **parameters}
