"""Rows of a local jsonl or jsonl.xz file, one JSON object a line, for BBQ and Winogender."""

import hashlib
import json
import lzma
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from app.probe.records import Mode, ProbeError
from app.probe.running import Outcome, Part, Step
from app.probe.scoring import Instruments, Scorer


class Item(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T")
R = TypeVar("R", bound=Item)
_SHOWN = 60  # characters of something unfit in a message


class Unfit(ValueError):
    """A row that is not as expected; the message says what is missing or wrong."""


@dataclass(frozen=True)
class Rows(Generic[T]):
    """What fits, in the order of the file; `skipped` says of each other line where and why."""

    rows: tuple[T, ...]
    skipped: tuple[str, ...]
    sha256: str  # of the file


def read_rows(path: Path, fit: Callable[[dict[str, Any]], T], expected: str) -> Rows[T]:
    """Reads all rows; `fit` makes one of an object, or raises Unfit.

    Raises ProbeError where the file cannot be read or has no row that fits.
    """
    rows: list[T] = []
    skipped: list[str] = []
    try:
        data = path.read_bytes()
        lines = (lzma.decompress(data) if path.suffix == ".xz" else data).split(b"\n")
    except (OSError, lzma.LZMAError) as error:
        why = getattr(error, "strerror", None) or error
        raise ProbeError(f"cannot read {path}: {why}; give a .jsonl or .jsonl.xz file") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(fit(_object(line)))
        except Unfit as problem:
            skipped.append(f"{path}:{number}: {problem}")
    if not rows:
        first = f"; the first line that does not fit is {skipped[0]}" if skipped else ""
        raise ProbeError(f"{path} has no row that fits; expected {expected}{first}")
    return Rows(tuple(rows), tuple(skipped), hashlib.sha256(data).hexdigest())


def drawn(rows: tuple[T, ...], limit: int | None, seed: int) -> tuple[T, ...]:
    """So many of the rows drawn at random, in their order; all of them without a limit."""
    if limit is None or limit >= len(rows):
        return rows
    picked = sorted(random.Random(seed).sample(range(len(rows)), limit))
    return tuple(rows[i] for i in picked)


def choosing(
    name: str, mode: Mode, found: Rows[R], limit: int | None, seed: int,
    choices: Callable[[Scorer, R], Sequence[float]],
    figures: Callable[[Sequence[R], Sequence[int]], Any],
) -> tuple[Part, Sequence[str]]:  # fmt: skip
    """Some rows as a part of a run, and what was skipped among all.

    `choices` are the log-probabilities of what can be chosen for a row, of which the first of the
    highest is taken; `figures` is what is made of the rows and what was taken.
    """
    rows = drawn(found.rows, limit, seed)

    def measure(on: Instruments, step: Step) -> Outcome:
        scorer = Scorer(on, mode)
        scores = []
        for row in rows:
            scores.append([row.id, *choices(scorer, row)])
            step()
        picks = [int(np.argmax(row[1:])) for row in scores]
        return scores, {name: figures(rows, picks), "skipped": len(found.skipped)}

    return Part(name, mode, found.sha256, len(rows), measure), found.skipped


def text_in(row: dict[str, Any], name: str) -> str:
    """A text of a row that has something in it. Raises Unfit."""
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Unfit(f'"{name}" is {shown(value)}; expected a text')
    return value


def shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _object(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Unfit(f"not JSON ({shown(str(error))})") from None
    if not isinstance(row, dict):
        raise Unfit(f"{shown(row)} is no JSON object")
    return row
