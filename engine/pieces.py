"""Arrays of a weights file divided into pieces of a limited size, and put together again.

Arrays stay whole where they fit. One that is larger than a piece is cut between rows; its parts
are named by them, "embedding.table[0:16000]" and "embedding.table[16000:32000]".
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from engine.card import CheckpointError

MB = 1_000_000  # bytes
SPARE = 100  # bytes of a piece's header that an array may take, beside its name

_PART = re.compile(r"(.+)\[(\d+):(\d+)\]")

Arrays = dict[str, np.ndarray]


def piece_name(number: int, count: int) -> str:
    """weights-00001-of-00004.safetensors, counted from 1."""
    return f"weights-{number:05}-of-{count:05}.safetensors"


def divide(arrays: Mapping[str, np.ndarray], limit: int) -> list[Arrays]:
    """Arrays -> the pieces of at most `limit` bytes each, in order, as few as that gives.

    Raises CheckpointError where one row of an array is larger than a piece.
    """
    limit -= 2 * SPARE  # the rest of a header
    pieces: list[Arrays] = [{}]
    used = 0
    for name, array in _cut(arrays, limit):
        size = _size(name, array)
        if used + size > limit and pieces[-1]:
            pieces.append({})
            used = 0
        pieces[-1][name] = array
        used += size
    return pieces


def _size(name: str, array: np.ndarray) -> int:
    return array.nbytes + len(name.encode()) + SPARE


def _cut(arrays: Mapping[str, np.ndarray], limit: int) -> Iterator[tuple[str, np.ndarray]]:
    for name, array in arrays.items():
        if _size(name, array) <= limit:
            yield name, array
            continue
        length = len(array) if array.ndim else 1
        row = array.nbytes // length
        rows = (limit - _size(f"{name}[{length}:{length}]", np.empty(0))) // row
        if rows < 1:
            raise CheckpointError(
                f"{name} has rows of {row:,} bytes, for which pieces of {limit / MB:,.2g} MB are "
                "too small; give larger ones"
            )
        for start in range(0, length, rows):
            end = min(start + rows, length)
            yield f"{name}[{start}:{end}]", array[start:end]


def join(found: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What `divide` gave, as (name, array) of all pieces -> the arrays. Raises as `in_order`."""
    return {
        name: np.concatenate(parts) if len(parts) > 1 else parts[0]
        for name, parts in in_order(found).items()
    }


def in_order(found: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """The same -> the parts of each array in the order of their rows, or the one that it is.

    Looks at nothing but shapes. Raises CheckpointError where parts of an array are missing, twice
    there, or do not fit.
    """
    arrays: dict[str, list[Any]] = {}
    parts: dict[str, list[tuple[int, int, Any]]] = {}
    for name, array in found:
        if match := _PART.fullmatch(name):
            parts.setdefault(match[1], []).append((int(match[2]), int(match[3]), array))
        elif name in arrays:
            raise CheckpointError(f"{name} is there twice")
        else:
            arrays[name] = [array]
    for name, rows in parts.items():
        rows.sort(key=lambda row: row[:2])
        at = 0
        for start, end, array in rows:
            if name in arrays or start != at or array.shape[:1] != (end - start,):
                raise CheckpointError(
                    f"the rows of {name} do not follow each other: {start} to {end}, expected "
                    f"those from {at} on"
                )
            at = end
        arrays[name] = [array for _, _, array in rows]
        shapes = sorted({array.shape[1:] for array in arrays[name]})
        if len(shapes) > 1:
            raise CheckpointError(f"the parts of {name} do not fit: rows of the shapes {shapes}")
    return arrays
