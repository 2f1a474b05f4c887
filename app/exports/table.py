"""CSV (RFC 4180): the columns of `jsonl`, a header, lines ended by CR LF, UTF-8.

A text that begins with = + - @ or a tab would be a formula to a spreadsheet program, which may send
what other cells say to somebody; such a text gets an apostrophe in front, which is no part of it.
Numbers are left as they are.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from app.exports.failure import Failure
from app.exports.jsonl import HEADER, columns

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write(failures: Iterable[Failure]) -> Iterator[str]:
    yield _line(list(HEADER))
    for failure in failures:
        yield _line([inert(cell) for cell in columns(failure).values()])


def inert(cell: Any) -> Any:
    """A cell that no spreadsheet program runs."""
    if isinstance(cell, str) and cell.startswith(FORMULA):
        return f"'{cell}"
    return cell


def _line(cells: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()
