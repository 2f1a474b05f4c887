"""Blocks that a model card is shown as: facts, tables, terms, curves. Pure; card.js draws them.

Values come from a file that came with some weights, so any value may have any shape.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Block = dict[str, Any]  # {"kind": "text" | "list" | "facts" | "terms" | "table" | "command" | ...}

_SHA256 = re.compile("[0-9a-f]{64}")


def fact(name: str, value: Any, unit: str = "") -> Block | None:
    """A named value in words, or a fingerprint; None where there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and _SHA256.fullmatch(value):
        return fingerprint(name, value)
    shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else None
    return {"name": name, "value": f"{shown or said(value)} {unit}".strip()}


def fingerprint(name: str, value: str) -> Block | None:
    """A SHA-256, shortened; the whole of it is for the clipboard."""
    return {"name": name, "value": value[:12], "full": value} if value else None


def table(caption: str, rows: Sequence[Mapping[str, Any]]) -> Block:
    """A table with a column for each name in any row; numbers of a column end at one place."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    numeric = [all(is_number(row[c]) for row in rows if c in row) for c in columns]
    places = [max((_places(row.get(c)) for row in rows), default=0) for c in columns]
    return {
        "kind": "table",
        "caption": caption,
        "columns": [
            {"name": str(c).replace("_", " "), "number": number}
            for c, number in zip(columns, numeric, strict=True)
        ],
        "rows": [
            [
                f"{row[c]:,.{places[i]}f}" if numeric[i] and c in row else said(row.get(c, ""))
                for i, c in enumerate(columns)
            ]
            for row in rows
        ],
    }


def meaning_of(text: str) -> Block:
    """ "a: first; b: second" as terms with their meanings; other texts stay text."""
    pairs = [part.partition(": ") for part in text.split("; ")]
    if len(pairs) > 1 and all(name and colon for name, colon, _ in pairs):
        terms = [{"name": name, "value": value} for name, _, value in pairs]
        return {"kind": "terms", "label": "What the words mean", "rows": terms}
    return {"kind": "text", "label": "What it means", "text": text}


def curves_of(losses: Any) -> list[tuple[str, list[tuple[float, float]]]]:
    """{stage: [[step, nats a token], ...]}, or one such list, as curves of two points or more."""
    named = losses if isinstance(losses, Mapping) else {"": losses}
    curves = []
    for name, value in named.items():
        points = [
            (float(p[0]), float(p[1]))
            for p in items_of(value)
            if isinstance(p, Sequence) and len(p) == 2 and all(map(is_number, p))
        ]
        if len(points) > 1:
            curves.append((str(name), sorted(points)))
    return curves


def curve(name: str, points: Sequence[tuple[float, float]]) -> Block:
    (first, begun), (last, ended) = points[0], points[-1]
    label = f"Loss of {name}" if name else "Loss"
    text = f"from {begun:.2f} nats a token at step {first:,.0f} to {ended:.2f} at {last:,.0f}"
    return {"kind": "curve", "label": label, "text": text, "points": [list(p) for p in points]}


def said(value: Any) -> str:
    """A value of a card as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, Mapping) and not any(
        isinstance(v, list | Mapping) for v in value.values()
    ):
        return ", ".join(f"{name}: {said(v)}" for name, v in value.items())
    return json.dumps(value, ensure_ascii=False)


def words(name: str) -> str:
    """A key of the card as a heading."""
    name = name.replace("_", " ").strip()
    return name[:1].upper() + name[1:]


def items_of(value: Any) -> Iterable[Any]:
    if isinstance(value, list | tuple):
        return value
    return () if value is None else (value,)


def is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _places(value: Any) -> int:
    """Digits after the point, four at most."""
    if not isinstance(value, float) or not math.isfinite(value):
        return 0
    return len(f"{value:.4f}".rstrip("0").partition(".")[2])
