"""python app.py log stats|check|vacuum: what is in the log, whether it is sound, and how large."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from app.logs.ownership import owned, running
from app.settings import Options
from app.store.queries import open_reader
from app.store.rows import legible
from app.store.soundness import Checked, check
from app.store.tally import Tally, tally
from app.store.upkeep import compact, size


def add_commands(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", shared: argparse.ArgumentParser
) -> None:
    counted = verbs.add_parser("stats", parents=[shared], help="what is in the log, counted")
    counted.add_argument("--json", action="store_true", help="print the numbers as JSON")
    counted.set_defaults(run=stats)

    checked = verbs.add_parser(
        "check", parents=[shared], help="whether the log is sound; status 1 if something is wrong"
    )
    checked.set_defaults(run=check_log)

    vacuumed = verbs.add_parser(
        "vacuum", parents=[shared], help="make the file smaller, and its search index anew"
    )
    vacuumed.set_defaults(run=vacuum)


def stats(options: Options, flags: argparse.Namespace) -> int:
    with closing(open_reader(options.log)) as log:
        counted = tally(log)
    if flags.json:
        span = {"first": counted.first, "last": counted.last}
        print(json.dumps({**counted.counts, **span, "bytes": counted.size, **counted.tables}))
        return 0
    for line in _lines(counted):
        print(line)
    return 0


def check_log(options: Options, flags: argparse.Namespace) -> int:
    """Prints a line for each check; 1 if something is wrong."""
    sound = True
    with closing(open_reader(options.log)) as log:
        for checked in check(log, alone=not running(options)):
            sound &= not checked.wrong
            for line in _outcome(checked):
                print(line, flush=True)
    return 0 if sound else 1


def vacuum(options: Options, flags: argparse.Namespace) -> int:
    with owned(options):
        compacted = compact(options.log)
    print(f"{options.log}: {size(compacted.before)} before, {size(compacted.after)} now")
    return 0


def say_compacting() -> None:
    print("writing the file anew without what was removed ...", file=sys.stderr, flush=True)


def _outcome(checked: Checked) -> Iterator[str]:
    note = f" ({checked.note})" if checked.note else ""
    yield f"{'WRONG' if checked.wrong else 'ok':6}{checked.name}{note}"
    for wrong in checked.wrong:
        yield f"      {legible(wrong)}"
    if checked.wrong:
        yield f"      what to do: {checked.remedy}"


def _lines(counted: Tally) -> Iterator[str]:
    span = f"{counted.first} to {counted.last}" if counted.first else "empty"
    yield f"{span}, {size(counted.size)}"
    for name, count in counted.counts.items():
        yield f"{count:>10,}  {name.replace('_', ' ')}"
    for name, rows in counted.tables.items():
        if rows:
            yield f"\n{name.replace('_', ' ')}"
            yield from (_row(row) for row in rows)


def _row(row: Mapping[str, Any]) -> str:
    *names, count = row.values()
    return f"{count:>10,}  " + "  ".join(legible(str(name)) for name in names)
