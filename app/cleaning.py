"""The command `clean`: a corpus -> what of it is worth training on."""

import argparse
import json
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from app.settings import Options

if TYPE_CHECKING:
    from engine.training.runners import Runner

SMALL = 4_000_000  # bytes of corpus files for which other processes are not worth their start


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    clean = commands.add_parser(
        "clean",
        help="clean a corpus before training",
        description="Drops poor, repetitive and duplicate documents and text of test sets, and "
        "tells what each rule dropped. A run that was stopped goes on when it is started again.",
    )
    clean.add_argument("--corpus", type=Path, required=True, help="folder of jsonl(.xz)")
    clean.add_argument("--out", type=Path, required=True, help="folder for the cleaned jsonl.xz")
    clean.add_argument(
        "--test", type=Path, nargs="+", default=[], metavar="FILE",
        help="jsonl(.xz) that must not be trained on: records that share 13 words are dropped",
    )  # fmt: skip
    clean.add_argument(
        "--ray", action="store_true",
        help="compute on the Ray cluster of RAY_ADDRESS, or on a local Ray (needs: ray)",
    )  # fmt: skip
    clean.add_argument("--report", type=Path, help="JSON to write (default OUT/report.json)")
    clean.set_defaults(run=run_clean)


class Bar:
    """A progress bar for each stage: `Bar("B")` counts bytes."""

    def __init__(self, unit: str) -> None:
        self._unit, self._stage, self._bar = unit, "", None

    def __call__(self, stage: str, done: int, total: int) -> None:
        try:
            from tqdm import tqdm
        except ImportError:  # on a machine that only trains
            return
        if stage != self._stage or self._bar is None:
            self.close()
            self._bar = tqdm(
                desc=stage, total=total, unit=self._unit, unit_scale=True,
                file=sys.stderr, leave=False, disable=None,
            )  # fmt: skip
            self._stage = stage
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def runner_for(corpus: Path) -> "Runner":
    """What applies the rules to a corpus here."""
    from engine.training.blocks import corpus_files
    from engine.training.runners import run_here, run_in_processes

    total = sum(path.stat().st_size for path in corpus_files(corpus))
    return run_here if total < SMALL else run_in_processes


def run_clean(options: Options, flags: argparse.Namespace) -> int:
    from engine.training.blocks import write_whole
    from engine.training.pipeline import clean
    from engine.training.runners import RayRunner

    began = monotonic()
    runner: Any = closing(RayRunner()) if flags.ray else nullcontext(runner_for(flags.corpus))
    with runner as run, closing(Bar("B")) as bar:
        report = clean(flags.corpus, flags.out, flags.test, run=run, progress=bar)
    path = flags.report or flags.out / "report.json"
    write_whole(path, json.dumps(report.to_json(), ensure_ascii=False, indent=1).encode() + b"\n")
    print(report.table())
    print(f"\nwrote {flags.out} and {path} in {monotonic() - began:,.0f} seconds")
    return 0
