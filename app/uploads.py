"""Files that a person has uploaded, kept in a folder of their own until they are documents.

The folder holds the files under numbers, and `job.json` with their names. It is put in its place
as a whole, so what a killed process leaves is a whole upload or nothing.
"""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.store.ids import new_id
from retrieval import files
from retrieval.readers import SUFFIXES

LARGEST = 20 * 2**20  # bytes of one file
MOST = 200  # files at a time
TOTAL = 200 * 2**20  # bytes of them together
NAME = 120  # characters kept of a file's name
UNDER = "uploads/"  # what the source of every uploaded document begins with

_JOB = "job.json"
_NEW = ".new-"
_OURS = re.compile(r"(\.new-)?[0-9A-Z]{26}")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class Refused(ValueError):
    """Files were not taken, or a job cannot do that now; the message says why and what to do."""


@dataclass(frozen=True)
class Upload:
    """A file to be taken over, moved from where it is, and its name on the person's machine."""

    path: Path
    name: str


@dataclass(frozen=True)
class Batch:
    """Uploaded files in their folder; `names` in the order in which they are read."""

    folder: Path
    names: tuple[str, ...]
    cancelled: bool = False

    def files(self) -> Iterator[tuple[Path, str]]:
        """Paths, and the sources that the documents from them shall have."""
        for number, name in enumerate(self.names):
            yield self.folder / _stored(number, name), UNDER + name

    def mark_cancelled(self) -> "Batch":
        """Remembers that a person has cancelled it, for the next start."""
        batch = replace(self, cancelled=True)
        files.replace(self.folder / _JOB, batch.write)
        return batch

    def write(self, path: Path) -> None:
        fields = {"names": self.names, "cancelled": self.cancelled}
        path.write_text(json.dumps(fields, indent=2), encoding="utf-8")

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def check(uploads: Sequence[tuple[str, int]]) -> None:
    """Names and sizes in bytes. Raises Refused, naming the file and the limit that it is beyond."""
    if not uploads:
        raise Refused("no file was given; choose one or more")
    if len(uploads) > MOST:
        raise Refused(f"{len(uploads)} files are too many at a time; give up to {MOST}")
    for name, size in uploads:
        if Path(name).suffix.lower() not in SUFFIXES:
            raise Refused(f"“{name}” is not read; expected {', '.join(SUFFIXES)}")
        if size > LARGEST:
            raise Refused(
                f"“{name}” has {_mib(size)} MiB; a file may have {_mib(LARGEST)} MiB: split it, or "
                "use: python app.py ingest PATH"
            )
    total = sum(size for _, size in uploads)
    if total > TOTAL:
        raise Refused(
            f"the files have {_mib(total)} MiB together; up to {_mib(TOTAL)} MiB are taken at a "
            "time: give fewer, or use: python app.py ingest PATH"
        )


def take_over(directory: Path, uploads: Sequence[Upload]) -> Batch:
    """Moves the files into a folder of their own. Raises Refused; then nothing was moved."""
    names = tuple(clean_name(upload.name) for upload in uploads)
    folder = directory / new_id()
    making = folder.with_name(_NEW + folder.name)
    try:
        sizes = [upload.path.stat().st_size for upload in uploads]
        check(list(zip(names, sizes, strict=True)))
        making.mkdir(parents=True)
        for number, upload in enumerate(uploads):
            stored = making / _stored(number, names[number])
            shutil.move(upload.path, stored)
            files.sync(stored)
        Batch(making, names).write(making / _JOB)
        files.sync(making / _JOB)
        os.rename(making, folder)
        files.sync(directory)
    except OSError as error:
        shutil.rmtree(making, ignore_errors=True)
        raise Refused(
            f"the files could not be kept in {directory}: {error.strerror or error}; "
            "see to its space and rights, then upload them again"
        ) from None
    return Batch(folder, names)


def left_over(directory: Path) -> Batch | None:
    """The oldest upload that has not become documents yet; clears away what is not whole."""
    found = None
    for folder in sorted(directory.iterdir()) if directory.is_dir() else ():
        if not _OURS.fullmatch(folder.name):
            continue
        batch = None if folder.name.startswith(_NEW) else _read(folder)
        if batch is None:
            shutil.rmtree(folder, ignore_errors=True)
        found = found or batch
    return found


def clean_name(name: str) -> str:
    """The last part of a path, on one line, without what cannot be seen; it keeps its suffix."""
    name = name.encode("utf-8", "replace").decode("utf-8").replace("\\", "/")
    name = " ".join(_UNSEEN.sub(" ", name).rpartition("/")[2].split())
    stem, suffix = os.path.splitext(name)
    return (stem[: NAME - len(suffix)].rstrip() or "unnamed") + suffix[:NAME]


def _read(folder: Path) -> Batch | None:
    try:
        fields = json.loads((folder / _JOB).read_text(encoding="utf-8"))
        return Batch(folder, tuple(map(str, fields["names"])), bool(fields["cancelled"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stored(number: int, name: str) -> str:
    return f"{number + 1}{Path(name).suffix.lower()}"


def _mib(size: int) -> str:
    return f"{math.ceil(size * 10 / 2**20) / 10:g}"
