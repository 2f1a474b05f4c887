"""Corpus files as blocks of lines, in bounded memory, and files that are written whole.

Bad input ends nothing: a line that cannot be used is a `Problem` with its file and number, and
so is the place where a file cannot be read on.
"""

import lzma
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.training.corpus import CorpusError

SIZE = 8_000_000  # bytes of lines in a block
LONGEST = 64_000_000  # bytes of a line; a longer one is no document


@dataclass(frozen=True)
class Block:
    """Consecutive lines of a file, the first of them number `first`; None is one too long.

    `position` is how many bytes of the file, as it lies on the disk, have been read. `failure`
    says why it could not be read beyond this block; "" if it could.
    """

    file: str
    number: int
    first: int
    lines: tuple[bytes | None, ...]
    position: int
    failure: str = ""


@dataclass(frozen=True)
class Problem:
    """What was skipped, where and why."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.message}"


def corpus_files(folder: Path) -> list[Path]:
    """The .jsonl and .jsonl.xz files of a folder, by name."""
    try:
        found = sorted(p for p in folder.iterdir() if p.name.endswith((".jsonl", ".jsonl.xz")))
    except OSError as error:
        raise CorpusError(f"cannot read the folder {folder}: {error.strerror}") from None
    if not found:
        raise CorpusError(f"{folder} holds no .jsonl or .jsonl.xz file")
    names = [cleaned_name(path) for path in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CorpusError(f"{folder} holds {twice[0]} and the same without .xz; keep one of them")
    return found


def cleaned_name(path: Path) -> str:
    return path.name.removesuffix(".xz") + ".xz"


def read_blocks(path: Path, size: int = SIZE) -> Iterator[Block]:
    """The blocks of a file; always at least one, so that an empty file is noticed."""
    number, first = 0, 1
    lines: list[bytes | None] = []
    used, failure = 0, ""
    position = 0
    try:
        with open(path, "rb") as raw, lzma.open(raw) if path.suffix == ".xz" else raw as file:
            while line := file.readline(LONGEST + 1):
                whole = len(line) <= LONGEST
                while len(line) > LONGEST and not line.endswith(b"\n"):
                    line = file.readline(LONGEST + 1)
                lines.append(line.strip() if whole else None)
                used += len(line)
                position = raw.tell()
                if used >= size:
                    yield Block(path.name, number, first, tuple(lines), position)
                    number, first, lines, used = number + 1, first + len(lines), [], 0
    except (lzma.LZMAError, EOFError) as error:
        failure = f"the xz data is damaged or cut short: {error}"
    except OSError as error:
        failure = f"cannot be read: {error.strerror}"
    if number == 0 and not any(lines) and not failure:
        failure = "the file is empty"
    if lines or failure:
        yield Block(path.name, number, first, tuple(lines), position, failure)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: OSError) -> CorpusError:
    return CorpusError(
        f"cannot write {path}: {error.strerror}; nothing that was finished is lost: "
        "free some space and run the command again, it goes on from here"
    )
