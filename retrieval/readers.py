"""Files -> documents: .txt, .md, .html, .jsonl, and directories of them.

What cannot be read is reported as `Skipped` and does not stop the rest. Text is UTF-8. Title and
topic of a Markdown file come from its front matter; else the title is its first heading. Each
line of a .jsonl file is an object with "text" and optionally "title", "source" and "topic".
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from retrieval.protocol import Document
from retrieval.webpages import text_of

SUFFIXES = (".txt", ".md", ".html", ".htm", ".jsonl")
LARGEST = 16 * 2**20  # bytes of one text: a file, or a line of a .jsonl file
BAD_LINES = 100  # of one file that are reported one by one
TITLE = 200  # code points kept of a title or topic
SOURCE = 4096  # code points a source may have


@dataclass(frozen=True)
class Skipped:
    """Something that was not read. `source` is a path, with the line number for .jsonl."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class NothingToRead(ValueError):
    """Not one document was found; the message gives the reasons."""


class Unfit(ValueError):
    """Why a file or line is not a document."""


def read(paths: str | Path | Iterable[str | Path]) -> Iterator[Document | Skipped]:
    """Yields documents in sorted order, directories recursively, each file once.

    Raises NothingToRead at the end if there was no document at all.
    """
    return some(everything([paths] if isinstance(paths, str | Path) else list(paths)))


def read_as(named: Iterable[tuple[Path, str]]) -> Iterator[Document | Skipped]:
    """Files under the names given with them: those are their sources.

    What a record of a .jsonl file says of its source stands behind the name, so that no file can
    pass for another. Raises NothingToRead as `read` does.
    """
    return some(item for path, source in named for item in read_file(path, source, claims=False))


def some(items: Iterable[Document | Skipped]) -> Iterator[Document | Skipped]:
    skipped: list[Skipped] = []
    found = False
    for item in items:
        if isinstance(item, Skipped):
            skipped.append(item)
        else:
            found = True
        yield item
    if not found:
        reasons = [str(item) for item in skipped[:5]] or ["no path was given"]
        if len(skipped) > len(reasons):
            reasons.append(f"and {len(skipped) - len(reasons)} more")
        raise NothingToRead(
            f"nothing could be read; give a file in UTF-8 ({', '.join(SUFFIXES)}), or a directory "
            "of them:\n  " + "\n  ".join(reasons)
        )


def everything(paths: Iterable[str | Path]) -> Iterator[Document | Skipped]:
    seen: set[Path] = set()
    for path in files(paths):
        if isinstance(path, Skipped):
            yield path
        elif path.resolve() not in seen:
            seen.add(path.resolve())
            yield from read_file(path, shown(path))


def files(paths: Iterable[str | Path]) -> Iterator[Path | Skipped]:
    """Paths -> the files behind them; names that start with a dot are left out of directories."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        empty = True
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(name for name in names if not name.startswith(".")):
                empty = False
                yield Path(folder, name)
        if empty:
            yield Skipped(str(path), "the directory is empty")


def read_file(path: Path, source: str, claims: bool = True) -> Iterator[Document | Skipped]:
    try:
        if not path.exists():
            raise Unfit("there is no such file or directory")
        if not path.is_file():
            raise Unfit("this is not a regular file")
        match path.suffix.lower():
            case ".jsonl":
                yield from read_lines(path, source, claims)
            case ".md":
                yield markdown(read_text(path), source)
            case ".txt":
                yield document(read_text(path), name(source), source)
            case ".html" | ".htm":
                title, text = text_of(read_text(path))
                yield document(text, title or name(source), source)
            case suffix:
                kind = f"{suffix} files are" if suffix else "a file without a suffix is"
                raise Unfit(f"{kind} not read; expected {', '.join(SUFFIXES)}")
    except Unfit as error:
        yield Skipped(source, str(error))
    except OSError as error:
        yield Skipped(source, f"cannot be opened: {error.strerror}")


def shown(path: Path) -> str:
    """A path as it is remembered: relative where it lies below the working directory."""
    absolute = Path(os.path.abspath(path))
    here = Path.cwd()
    path = absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
    return path.as_posix().encode("utf-8", "replace").decode("utf-8")  # odd bytes in a name


def read_text(path: Path) -> str:
    with path.open("rb") as file:
        return decode(file.read(LARGEST + 1))


def decode(raw: bytes) -> str:
    if len(raw) > LARGEST:
        raise Unfit(f"larger than {LARGEST // 2**20} MiB, the limit for one text; split it")
    if b"\0" in raw:
        raise Unfit("this is not text: it holds NUL bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unfit(f"this is not UTF-8 text: byte {error.start} cannot be decoded") from None
    return text.replace("\r\n", "\n")


def read_lines(path: Path, source: str, claims: bool) -> Iterator[Document | Skipped]:
    with path.open("rb") as file:
        if b"\0" in file.read(8192):
            raise Unfit("this is not text: it holds NUL bytes")
        file.seek(0)
        number, empty, bad = 0, True, 0
        while raw := file.readline(LARGEST + 1):
            number += 1
            try:
                if len(raw) > LARGEST and not raw.endswith(b"\n"):
                    skip_line(file)
                if raw.strip():
                    empty = False
                    yield record(decode(raw), source, claims)
            except Unfit as error:
                empty = False
                bad += 1
                if bad <= BAD_LINES:
                    yield Skipped(f"{source}, line {number}", str(error))
        if bad > BAD_LINES:
            yield Skipped(source, f"{bad - BAD_LINES} more lines cannot be read either")
        if empty:
            raise Unfit("it is empty: there is no text in it")


def skip_line(file) -> None:
    while (rest := file.readline(LARGEST)) and not rest.endswith(b"\n"):
        pass


def record(line: str, source: str, claims: bool) -> Document:
    try:
        value = json.loads(line)
    except RecursionError:
        raise Unfit("bad JSON: nested too deeply") from None
    except ValueError as error:
        raise Unfit(f"bad JSON: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise Unfit('expected an object with a string "text"')
    for key in ("title", "source", "topic"):
        if not isinstance(value.get(key) or "", str):
            raise Unfit(f'"{key}" is not a string')
    title = value.get("title") or name(source)
    if claim := value.get("source"):
        source = claim if claims else f"{source}: {claim}"
    return document(value["text"], title, source, value.get("topic") or "")


def markdown(text: str, source: str) -> Document:
    fields: dict[str, str] = {}
    if match := FRONT_MATTER.match(text):
        text = text[match.end() :].lstrip("\n")
        for line in match["fields"].splitlines():
            key, _, value = line.partition(":")
            fields[key.strip().lower()] = value.strip().strip("\"'")
    heading = HEADING.search(text)
    title = fields.get("title") or (CLOSING.sub("", heading["title"]) if heading else name(source))
    return document(text, title, source, fields.get("topic", ""))


# only lines that look like YAML, so that text between two rules is not taken for front matter
FRONT_MATTER = re.compile(
    r"---[ \t]*\n(?P<fields>(?:(?:[\w-]+:|[ #]|- ).*\n|\n)*?)---[ \t]*(?:\n|$)"
)
HEADING = re.compile(r"^#{1,6}[ \t]+(?P<title>\S.{,1000})", re.MULTILINE)
CLOSING = re.compile(r"\s#*\s*$")  # as in "# Title #"


def name(source: str) -> str:
    return Path(source).stem.replace("_", " ").replace("-", " ")


def document(text: str, title: str, source: str, topic: str = "") -> Document:
    """Raises Unfit if this is not a text."""
    title, topic = (" ".join(field.split())[:TITLE] for field in (title, topic))
    result = Document(title, source, text, topic)
    check(result)
    return result


def check(document: Document) -> None:
    """Raises Unfit for a document that holds no text or cannot be stored."""
    if not document.text.strip():
        raise Unfit("it is empty: there is no text in it")
    if len(document.source) > SOURCE:
        raise Unfit(f"its source is longer than {SOURCE} characters")
    for field in (document.text, document.title, document.source, document.topic):
        if "\0" in field:
            raise Unfit("this is not text: it holds NUL characters")
        try:
            field.encode("utf-8")
        except UnicodeEncodeError as error:
            raise Unfit(
                f"this is not Unicode text: character {error.start} is half a surrogate pair"
            ) from None
