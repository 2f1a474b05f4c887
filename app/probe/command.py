"""python app.py probe: runs the probe with the model and passages of a data directory."""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.settings import Options

if TYPE_CHECKING:
    from app.probe.running import Part, Place

FILES = ("bbq", "winogender")


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    shared: argparse.ArgumentParser,
) -> None:
    probe = commands.add_parser(
        "probe", parents=[shared], help="what swapping a word changes, over many templates"
    )
    probe.add_argument("--list", action="store_true", help="print the families and stop")
    probe.add_argument("--family", action="append", metavar="NAME", help="default: all; repeatable")
    probe.add_argument(
        "--mode", action="append", metavar="MODE",
        help="frozen, live or off; default: all, for files off; repeatable",
    )  # fmt: skip
    probe.add_argument("--seed", type=int, default=0, help="of what is drawn (default 0)")
    probe.add_argument("--bbq", type=Path, metavar="FILE", help="BBQ questions, jsonl(.xz)")
    probe.add_argument(
        "--winogender", type=Path, metavar="FILE", help="Winogender sentences, jsonl(.xz)"
    )
    probe.add_argument("--limit", type=int, help="for files: so many rows, drawn at random")
    probe.add_argument("--json", action="store_true", help="print the report as JSON")
    probe.set_defaults(run=run_probe)


def run_probe(options: Options, flags: argparse.Namespace) -> int:
    if flags.list:
        return list_families(as_json=flags.json)
    from tqdm import tqdm

    from app.compose import load, open_application
    from app.probe.report import lines_of, report_of
    from app.probe.running import run
    from app.probe.scoring import instruments_of
    from app.store.probes import Probes

    parts, config = planned(flags)  # refused here, before the seconds that loading takes
    with closing(open_application(options)) as application:
        load(application, options)
        probes = Probes(application.log)
        with tqdm(unit=" items", file=sys.stderr, leave=False, disable=None) as bar:

            def show(place: "Place") -> None:
                bar.total = place.items
                bar.set_description(f"{place.family}, {place.mode}", refresh=False)
                bar.update(place.done - bar.n)

            id = run(instruments_of(application), probes, parts, config, flags.seed, show)
        report = report_of(probes.run(id), probes.parts(id))
    if flags.json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        print("\n".join(lines_of(report)))
    return 0


def planned(flags: argparse.Namespace) -> tuple[list["Part"], dict[str, Any]]:
    """The parts that the flags ask for, and the config of their run. Raises ProbeError."""
    from app.probe import bbq, winogender
    from app.probe.records import MODES, Plan, ProbeError
    from app.probe.running import checked, config_of, parts_of
    from prompts.probes import FAMILIES

    files = {name: path for name in FILES if (path := getattr(flags, name)) is not None}
    modes = tuple(flags.mode or (("off",) if files else MODES))
    plan = checked(Plan(tuple(flags.family or FAMILIES), modes, flags.seed))
    if flags.limit is not None and flags.limit < 1:
        raise ProbeError(f"--limit is {flags.limit}; give a positive whole number")
    if not files:
        if flags.limit is not None:
            raise ProbeError("--limit is for --bbq and --winogender; templates are used whole")
        return parts_of(plan), config_of(plan)
    if flags.family:
        raise ProbeError("--family and files are probed in runs of their own; leave one out")
    if "frozen" in plan.modes:
        raise ProbeError(
            "nothing is swapped in a file, so --mode frozen is not for it; live or off"
        )
    readers = {"bbq": bbq.part_of, "winogender": winogender.part_of}
    parts: list[Part] = []
    for name, path in files.items():
        for number, mode in enumerate(plan.modes):
            part, skipped = readers[name](path, mode, flags.limit, flags.seed)
            parts.append(part)
            for why in () if number else skipped:
                print(f"skipped {why}", file=sys.stderr)
    config = {
        "files": {p.family: p.version for p in parts},
        "names": {name: path.name for name, path in files.items()},
        "modes": list(plan.modes),
        "limit": flags.limit,
    }
    return parts, config


def list_families(*, as_json: bool) -> int:
    """Prints what there is to be probed, with counts."""
    from prompts.probes import families

    rows = [
        {
            "family": family.name,
            "version": family.version,
            "title": family.title,
            "templates": len(family.templates),
            "lists": {terms.name: list(terms.terms) for terms in family.lists},
            "question": family.question,
        }
        for family in families().values()
    ]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    for row in rows:
        print(f"{row['family']}: {row['title']} ({row['version']})")
        print(f"  {row['question']}")
        print(f"  {row['templates']} templates, each with a neutral control")
        for name, terms in row["lists"].items():
            print(f"  {name}: {', '.join(terms)}")
    return 0
