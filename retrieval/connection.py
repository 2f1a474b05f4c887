"""`chunks.db`: its tables, its connections, and its errors in our words."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from retrieval.manifest import DatabaseDamaged, DatabaseError
from retrieval.sqlite import Database

FILE = "chunks.db"
VERSION = 1
BUSY = 30_000  # milliseconds to wait for another connection

# AUTOINCREMENT: an id that a log may hold is never given to another text.
SCHEMA = f"""
BEGIN;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    source TEXT NOT NULL,
    topic TEXT NOT NULL,
    text TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    added INTEGER NOT NULL,
    removed INTEGER
);
CREATE INDEX documents_sha256 ON documents (sha256);
CREATE INDEX documents_source ON documents (source);
CREATE INDEX documents_added ON documents (added);
CREATE INDEX documents_removed ON documents (removed);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id INTEGER NOT NULL REFERENCES documents (id),
    position INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    title TEXT NOT NULL,  -- the document's, for the full-text index
    text TEXT NOT NULL,
    tokens BLOB NOT NULL,  -- int32, little-endian
    UNIQUE (document_id, position)
);
CREATE VIRTUAL TABLE chunks_fts USING fts5 (
    title, text, content='chunks', content_rowid='id', tokenize='porter unicode61'
);
CREATE TRIGGER chunks_insert AFTER INSERT ON chunks BEGIN
    INSERT INTO chunks_fts (rowid, title, text) VALUES (new.id, new.title, new.text);
END;
CREATE TRIGGER chunks_delete AFTER DELETE ON chunks BEGIN
    INSERT INTO chunks_fts (chunks_fts, rowid, title, text)
    VALUES ('delete', old.id, old.title, old.text);
END;
CREATE TABLE keys (  -- of chunks that are not in an index yet
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id),
    key BLOB NOT NULL  -- float32, little-endian
);
CREATE TABLE maker (  -- what the newest chunks and keys were made with
    id INTEGER PRIMARY KEY CHECK (id = 1),
    embedder TEXT NOT NULL,
    tokenizer TEXT NOT NULL
);
PRAGMA user_version = {VERSION};
COMMIT;
"""

SQLite = Database


def connect(directory: Path, *, write: bool = False) -> SQLite:
    """Opens chunks.db; with `write` makes it if need be."""
    path = directory / FILE
    if not write and not path.is_file():
        raise DatabaseDamaged(f"{path} is missing; delete {directory} and ingest again")
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
    with guarded(directory), ExitStack() as stack:
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        stack.callback(connection.close)
        db = SQLite(connection)
        db.execute(f"PRAGMA busy_timeout = {BUSY}")
        db.execute("PRAGMA foreign_keys = ON")
        if write:
            prepare(db)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise DatabaseError(
                f"{path} has the format {version}, this version reads {VERSION}; "
                f"delete {directory} and ingest again"
            )
        stack.pop_all()
    return db


def prepare(db: SQLite) -> None:
    db.enable_wal()
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")  # what is removed is gone from the file
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        db.executescript(SCHEMA)


@contextmanager
def guarded(directory: Path) -> Iterator[None]:
    """SQLite's and the system's errors, said in our words; bugs of ours pass through."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise DatabaseError(
            f"{directory / FILE}: {error}; nothing that was published is lost, "
            "run this again when the cause is gone"
        ) from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise DatabaseDamaged(
            f"{directory / FILE} is damaged: {error}; delete {directory} and ingest again"
        ) from error
    except OSError as error:
        raise DatabaseError(
            f"the passage database in {directory} cannot be used: {error}; nothing that was "
            "published is lost, run this again when the cause is gone"
        ) from error


def pack(tokens: Sequence[int]) -> bytes:
    return np.asarray(tokens, "<i4").tobytes()


def unpack(blob: bytes) -> tuple[int, ...]:
    return tuple(np.frombuffer(blob, "<i4").tolist())
