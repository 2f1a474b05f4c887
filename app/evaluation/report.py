"""The report of an evaluation: measured part by part, written after each, whole or in part.

What was measured before Ctrl-C, or before a crash, is kept and marked as incomplete.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.evaluation.figures import draw_figures
from app.evaluation.parts import Part
from app.evaluation.table import table
from engine.training.blocks import write_whole

JSON, TABLE = "report.json", "report.md"

# (part, how many rows) -> a wrapper that shows how far they are
Watch = Callable[[str, int, Iterable[Any]], Iterable[Any]]


def measure(
    parts: Sequence[Part], header: Mapping[str, Any], out: Path, watch: Watch
) -> dict[str, Any]:
    """Measures all parts and writes report.json, report.md and the figures to `out`.

    Ctrl-C ends it with what there is: `complete` is false then. Raises what the parts raise, also
    with what there is written, and CorpusError where nothing can be written.
    """
    report: dict[str, Any] = {**header, "complete": False, "parts": {}}
    for part in parts:
        rows: list[Any] = []
        whole, begun = False, time.monotonic()
        try:
            whole = collect(part, watch, rows)
        finally:  # an engine that is gone ends it too, and what is there is kept
            report["parts"][part.name] = {
                "complete": whole,
                "measured": len(rows),
                "of": part.total,
                "seconds": round(time.monotonic() - begun, 1),
                **(part.summarise(rows) if rows else {}),
            }
            report["complete"] = whole and part is parts[-1]
            write_report(report, out)
        if not whole:
            break
    return report


def collect(part: Part, watch: Watch, rows: list[Any]) -> bool:
    """Appends the rows of a part to `rows`; False where Ctrl-C ended it."""
    try:
        for row in watch(part.name, part.total, part.rows()):
            rows.append(row)
    except KeyboardInterrupt:
        return False
    return True


def write_report(report: Mapping[str, Any], out: Path) -> None:
    text = json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False)
    write_whole(out / JSON, text.encode() + b"\n")
    write_whole(out / TABLE, table(report).encode())
    for name, data in draw_figures(report).items():
        write_whole(out / name, data)
