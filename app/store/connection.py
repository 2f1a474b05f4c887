"""Opening the log, and saying in plain words why it cannot be read or written."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.sqlite import Database

WAIT = 5.0  # seconds to wait for a lock that another program holds

# A commit is on the disk when it returns (FULL), so a killed process or a power cut loses nothing
# that was saved.
_PRAGMAS = ("synchronous = FULL", "foreign_keys = ON")

_CAUSES = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space and try again"),
    sqlite3.SQLITE_IOERR: (
        "the disk refused to read or write",
        "check the disk, its free space and its quota, then try again",
    ),
    sqlite3.SQLITE_BUSY: (
        "another program is writing to it",
        "close that program and try again",
    ),
    sqlite3.SQLITE_LOCKED: (
        "another program is writing to it",
        "close that program and try again",
    ),
    sqlite3.SQLITE_READONLY: (
        "it may not be written",
        "give this user the right to write the file and its folder",
    ),
    sqlite3.SQLITE_PERM: (
        "it may not be opened",
        "give this user the right to read and write the file and its folder",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "check that its folder exists and that this user may read and write there",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged",
        "move it away without deleting it (most of it can be rescued with the `.recover` command "
        "of the sqlite3 shell) and start again with a new log",
    ),
    sqlite3.SQLITE_NOTADB: (
        "the file is not an SQLite database",
        "move it away and start again with a new log",
    ),
}


class LogError(Exception):
    """The log cannot do what was asked.

    The message says what failed, in which file and what to do. Nothing was changed, and the same
    call may be made again.
    """


@contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turns any error of SQLite or of the file system inside the block into a LogError."""
    try:
        yield
    except (sqlite3.Error, OverflowError) as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # IOERR_WRITE and such are IOERR
        cause, remedy = _CAUSES.get(primary, ("SQLite refused", "report this message as a bug"))
        raise LogError(f"{doing} in {path} failed: {cause} ({error}); {remedy}") from error
    except UnicodeEncodeError as error:
        raise LogError(
            f"{doing!a} in {path} failed: that holds half a character (a lone surrogate), "
            "which no text of the log does; check what was asked for"
        ) from error
    except OSError as error:
        raise LogError(
            f"{doing} in {path} failed: {error.strerror or error}; "
            "check that this user may read and write there"
        ) from error


def connect(path: Path, *, writes: bool) -> Database:
    """Opens a connection that any thread may use, one at a time.

    Transactions are begun by hand (`isolation_level` None), so that nothing is committed early.
    """
    connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
    db = Database(connection, recursive_triggers=False, execute_plugins=False)
    try:
        for pragma in _PRAGMAS if writes else (*_PRAGMAS, "query_only = ON"):
            db.execute(f"PRAGMA {pragma}")
        if writes:
            db.enable_wal()  # readers are not held up by the writer
    except BaseException:
        db.close()
        raise
    return db
