"""python app.py log evaluate-detectors: how often the detectors agree with the labelled cases."""

import argparse
import json
from pathlib import Path
from typing import Any

from app.failures.labelled import CASES, SPLITS, read_cases, table_of
from app.failures.quality import EXACT, TABLE, Quality, Share, read_table
from app.settings import Options

_NOTE = """\
precision: of the cases with such a finding, those where all of them were right; recall: of the \
cases that
should have one, those where it was found; with Wilson intervals of 95 %. Thresholds were set on \
the tuning
half alone. All cases come from one writer, who also wrote the rules."""


def add_command(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = verbs.add_parser(
        "evaluate-detectors", help="precision and recall of every kind of finding"
    )
    command.add_argument("--json", action="store_true", help="print counts and intervals as JSON")
    command.add_argument("--cases", type=Path, default=CASES, help="directory of labelled cases")
    command.add_argument("--write", action="store_true", help=f"also write {TABLE.name}")
    command.set_defaults(run=run)


def run(options: Options, flags: argparse.Namespace) -> int:
    """Prints the table. Raises labelled.BadCase."""
    table = table_of(read_cases(flags.cases))
    if flags.write:
        TABLE.write_text(text_of(table), encoding="utf-8")
    qualities = read_table(table)
    if flags.json:
        print(json.dumps({k: _json(q) for k, q in qualities.items()}, indent=2))
        return 0
    counts = table["cases"]
    print(f"{counts['tuning']} cases for tuning, {counts['held-out']} held out")
    print(f"{'':30}{'held out':^54}{'tuning':^27}")
    print(f"{'kind':30}{'precision':<25}{'recall':<25}{'':4}{'precision':<15}{'recall':<12}most")
    for kind, quality in qualities.items():
        held, tuning = quality.held_out, quality.tuning
        print(
            f"{kind:30}{_cell(held.precision):<25}{_cell(held.recall):<25}{'':4}"
            f"{_count(tuning.precision):<15}{_count(tuning.recall):<12}{_most(quality)}"
        )
    print(f"\n{_NOTE}")
    return 0


def _most(quality: Quality) -> str:
    """The most severe that such a finding may be shown as."""
    return "as found" if quality.kind.split(".")[0] in EXACT else quality.severity


def text_of(table: dict[str, Any]) -> str:
    """quality.json: one line for each kind."""
    rows = [f"    {json.dumps(k)}: {json.dumps(row)}" for k, row in table["kinds"].items()]
    inside = ",\n".join(rows)
    return f'{{\n  "cases": {json.dumps(table["cases"])},\n  "kinds": {{\n{inside}\n  }}\n}}\n'


def _count(share: Share) -> str:
    return f"{share.hits}/{share.of}" if share.of else "-"


def _cell(share: Share) -> str:
    if not share.of:
        return "-"
    low, high = share.interval
    return f"{share.value:.2f} {share.hits}/{share.of} [{low:.2f}, {high:.2f}]"


def _json(quality: Quality) -> dict[str, Any]:
    def share(given: Share) -> dict[str, Any]:
        return {"hits": given.hits, "of": given.of, "value": given.value,
                "interval": [round(bound, 4) for bound in given.interval]}  # fmt: skip

    halves = zip(SPLITS, (quality.tuning, quality.held_out), strict=True)
    return {
        "version": quality.version,
        "severity": quality.severity,
        **{
            split: {"precision": share(half.precision), "recall": share(half.recall)}
            for split, half in halves
        },
    }
