"""Reading annotations back: our JSON Lines, and what Label Studio saves as JSON.

Only annotations of people are read. A line (JSONL) or a region (Label Studio) that makes no sense
is refused with its place; the others go in.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.exports.jsonl import SCHEMA
from app.exports.labelstudio import META
from app.failures.taxonomy import taxonomy
from app.plain import shown
from app.records import Annotation
from app.store.imported import Importing, Origin, Outcome, Refused
from app.store.rows import valid

TOGETHER = 200  # annotations in one transaction
_LARGEST = 2**30  # bytes of a file of Label Studio, which is read at once
_SEVERITY = 2  # where none is given
_NEWLINE = re.compile(r"[\n\r]")  # Label Studio writes \n for it in the text of a region


class BadImport(ValueError):
    """A file that cannot be read at all; says why and what is expected."""


@dataclass(frozen=True)
class Item:
    """An annotation with the place in the file that it comes from, or why there is none."""

    place: str  # "line 3", "task 2, region a1"
    annotation: Annotation | None
    problem: str = ""


@dataclass(frozen=True)
class Imported:
    """What came of a place in a file."""

    place: str
    outcome: Outcome | Literal["refused"]
    problem: str = ""


def origin_of(path: Path) -> Origin:
    """A file's name and its format by its first sign: [ is Label Studio's. Raises BadImport."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.read(4096).lstrip()[:1]
    except OSError as error:
        raise BadImport(
            f"cannot read {path}: {error.strerror}; name a file that `log export-failures` or "
            "Label Studio wrote"
        ) from None
    except UnicodeDecodeError as error:
        raise BadImport(f"{path} is no UTF-8 text (byte {error.start}); export it again") from None
    if first not in ("[", "{"):
        raise BadImport(
            f"{path} begins with {shown(first)}; expected JSON Lines of `log export-failures "
            "--format jsonl`, or JSON that Label Studio exported"
        )
    return Origin(path.name, "labelstudio" if first == "[" else "jsonl")


def read(path: Path, origin: Origin) -> Iterator[Item]:
    """The annotations in a file, and what is wrong with the others. Raises BadImport."""
    try:
        yield from (_lines if origin.format == "jsonl" else _tasks)(path)
    except OSError as error:
        raise BadImport(f"cannot read {path}: {error.strerror}; try again") from None
    except UnicodeDecodeError as error:
        raise BadImport(f"{path} is no UTF-8 text (byte {error.start}); export it again") from None


def put_all(into: Importing, items: Iterator[Item]) -> Iterator[Imported]:
    """Puts annotations into the log, some in a transaction; what was yielded is there for good."""
    waiting: list[Item] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == TOGETHER:
            yield from _put(into, waiting)
            waiting = []
    yield from _put(into, waiting)


def _put(into: Importing, items: list[Item]) -> list[Imported]:
    done = []
    with into.log.writing("importing annotations") as db:
        for item in items:
            if item.annotation is None:
                done.append(Imported(item.place, "refused", item.problem))
                continue
            try:
                done.append(Imported(item.place, into.put(db, item.annotation)))
            except Refused as problem:
                done.append(Imported(item.place, "refused", str(problem)))
    return done


def _lines(path: Path) -> Iterator[Item]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = f"line {number}"
            try:
                row = _object(json.loads(line))
                if row.get("schema") != SCHEMA:
                    raise Refused(f"schema {shown(row.get('schema'))} was given; expected {SCHEMA}")
                if row.get("source") == "machine":
                    continue  # a finding
                yield Item(place, _of_line(row))
            except (ValueError, RecursionError) as problem:
                yield Item(place, None, _why(problem))


def _of_line(row: dict[str, Any]) -> Annotation:
    return Annotation(
        id=_text(row, "id"),
        turn=_text(row, "turn"),
        annotator=_text(row, "annotator"),
        label=_text(row, "kind"),
        start=_number(row, "start"),
        end=_number(row, "end"),
        quote=_text(row, "quote"),
        severity=_number(row, "severity"),
        note=_text(row, "note", ""),
        blind=_flag(row, "blind"),
        version=_text(row, "version", taxonomy().version),
        created=_text(row, "created", ""),
        supersedes=_text(row, "supersedes", "") or None,
    )


def _tasks(path: Path) -> Iterator[Item]:
    if (size := path.stat().st_size) > _LARGEST:
        raise BadImport(f"{path} has {size:,} bytes; the most is {_LARGEST:,}: export it in parts")
    try:
        tasks = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as problem:
        raise BadImport(f"{path} is no JSON: {problem}; export it again") from None
    for number, task in enumerate(tasks, 1):
        place = f"task {number}"
        try:
            data = _object(_object(task).get("data"), "data")
            turn, text = _text(data, "turn"), _text(data, "text")
            for annotation in _list(task, "annotations"):
                if annotation.get("was_cancelled"):
                    continue
                for region in _list(annotation, "result"):
                    yield _region(place, turn, text, annotation, region)
        except ValueError as problem:
            yield Item(place, None, _why(problem))


def _region(
    place: str, turn: str, text: str, annotation: dict[str, Any], region: dict[str, Any]
) -> Item:
    where = f"{place}, region {shown(region.get('id'))}"
    try:
        if region.get("type") != "labels":
            raise Refused(f"type {shown(region.get('type'))} was given; expected labels")
        value = _object(region.get("value"), "value")
        meta = region.get("meta") or {}
        own = _object(meta.get(META) or {}, "meta")
        notes = meta.get("text") or []
        note = notes if isinstance(notes, str) else "\n".join(map(str, notes))
        labels = value.get("labels")
        if not isinstance(labels, list) or len(labels) != 1:
            raise Refused(f"labels {shown(labels)} were given; expected a list of one")
        start, end, quote = _span(text, value)
        return Item(where, Annotation(
            id=_text(own, "id", ""), turn=turn, annotator=_annotator(own, annotation),
            label=_text({"label": labels[0]}, "label"), start=start, end=end, quote=quote,
            severity=_number(own, "severity", _SEVERITY), note=note, blind=_flag(own, "blind"),
            version=_text(own, "version", taxonomy().version), created=_text(own, "created", ""),
            supersedes=own.get("supersedes") or None,
        ))  # fmt: skip
    except (ValueError, AttributeError) as problem:
        return Item(where, None, _why(problem))


def _span(text: str, value: dict[str, Any]) -> tuple[int, int, str]:
    """The span in code points; given in UTF-16 units, as by old versions, where only that fits."""
    start, end, quote = _number(value, "start"), _number(value, "end"), _text(value, "text")
    units = text.encode("utf-16-le", "surrogatepass")
    before, inside = units[: 2 * start], units[2 * start : 2 * end]
    decoded = [part.decode("utf-16-le", "replace") for part in (before, inside)]
    counted = len(decoded[0]), len(decoded[0]) + len(decoded[1])
    for a, b in ((start, end), counted):
        if 0 <= a <= b <= len(text) and quote in (text[a:b], _NEWLINE.sub(r"\\n", text[a:b])):
            return a, b, text[a:b]
    return start, end, quote


def _annotator(own: dict[str, Any], annotation: dict[str, Any]) -> str:
    """Who made a region: as we wrote it, or as Label Studio says."""
    if name := own.get("annotator"):
        return _text(own, "annotator") if isinstance(name, str) else ""
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    if by is None:
        raise Refused("no annotator was given; expected completed_by, or our own meta")
    return by if isinstance(by, str) else f"Label Studio user {by}"


def _why(problem: BaseException) -> str:
    if isinstance(problem, Refused):
        return str(problem)
    return f"this is not what was expected: {problem}"


def _object(value: Any, name: str = "the line") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused(f"{name} is {shown(value)}; expected an object")
    return value


def _list(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name) or []
    if not isinstance(found, list):
        raise Refused(f"{name} is {shown(found)}; expected a list")
    return [_object(item, name) for item in found]


def _text(row: dict[str, Any], name: str, otherwise: str | None = None) -> str:
    value = row.get(name)
    if value is None and otherwise is not None:
        return otherwise
    if not isinstance(value, str):
        raise Refused(f"{name} is {shown(value)}; expected a text")
    if valid(value) != value:
        raise Refused(f"{name} is {shown(value)}, with half a character (a lone surrogate)")
    return value


def _number(row: dict[str, Any], name: str, otherwise: int | None = None) -> int:
    value = row.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**53:
        raise Refused(f"{name} is {shown(value)}; expected a whole number")
    return value


def _flag(row: dict[str, Any], name: str) -> bool:
    value = row.get(name) or False
    if not isinstance(value, bool):
        raise Refused(f"{name} is {shown(value)}; expected true or false")
    return value
