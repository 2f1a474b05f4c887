"""Rows of metrics in a file: one JSON object a line, one line every few steps, none twice."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.training.blocks import write_whole

NAME = "metrics.jsonl"

Row = dict[str, Any]


def read_metrics(directory: Path) -> list[Row]:
    """The rows of a stage's directory; without a last one that was cut off."""
    try:
        lines = (directory / NAME).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [row for row in map(_row, lines) if row is not None]


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def go_on_after(directory: Path, step: int) -> None:
    """Drops later rows, which a killed run had written after its last checkpoint and which come
    again."""
    rows = [row for row in read_metrics(directory) if row["step"] <= step]
    write_whole(directory / NAME, "".join(json.dumps(row) + "\n" for row in rows).encode())


def add_row(directory: Path, row: Mapping[str, Any]) -> None:
    with open(directory / NAME, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
