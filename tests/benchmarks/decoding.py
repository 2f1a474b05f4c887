"""The CPU engine beside llama.cpp: make bench, or python -m tests.benchmarks.decoding

Prints what it runs on and Markdown tables; asserts nothing, because times belong to a machine.
Both sides are processes that stay, and take turns on the same cores. Weights are random, logits
are read and the likeliest token is taken on both sides. Every figure is kept in measured.json.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.benchmarks import alone, reading, speed, starting
from tests.benchmarks.lines import ROOT, WorkerFailed
from tests.benchmarks.machine import Reading, describe, pin
from tests.benchmarks.table import HEAD, markdown

PARTS = ("speed", "together", "passages", "memory", "start")


def read_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--shapes", nargs="+", choices=speed.SHAPES, default=speed.SHAPES)
    parser.add_argument("--numbers", nargs="+", choices=speed.NUMBERS, default=speed.NUMBERS)
    parser.add_argument("--sides", nargs="+", choices=("peer", "ours"), default=("peer", "ours"))
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 32 new tokens")
    parser.add_argument("--threads", type=int, default=2, help="and cores, for both (default 2)")
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build/bench", metavar="DIRECTORY",
        help="for the peer's weights and the figures (default build/bench)",
    )  # fmt: skip
    return parser.parse_args()


def main() -> int:
    flags = read_flags()
    flags.build.mkdir(parents=True, exist_ok=True)
    cores = pin(flags.threads)
    print(f"* {describe()}")
    print(f"* {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {flags.threads} threads on cores {cores}")
    print(f"* jax {version('jax')}, Python {sys.version.split()[0]}\n", flush=True)
    start = time.monotonic()

    def say(message: str) -> None:
        print(f"[{time.monotonic() - start:4.0f} s] {message}", file=sys.stderr, flush=True)

    rounds, new = (2, 33) if flags.quick else (flags.rounds, 129)
    plan = speed.Plan(flags.build, rounds, new, flags.threads, flags.sides)
    parts = {
        "speed": print_speed, "together": print_together, "passages": print_passages,
        "memory": print_memory, "start": print_start,
    }  # fmt: skip
    kept = {}
    try:
        for name in flags.parts:
            kept[name] = parts[name](flags, plan, say)
    except WorkerFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        (flags.build / "measured.json").write_text(json.dumps(kept) + "\n")
    return 0


Say = Callable[[str], None]


def print_speed(flags: argparse.Namespace, plan: speed.Plan, say: Say) -> list[dict]:
    bandwidth = Reading(flags.threads)
    found = [
        speed.measure(shape, numbers, plan, bandwidth, say)
        for shape in flags.shapes
        for numbers in flags.numbers
    ]
    for side, ready in found[0].ready.items():
        print(f"* {side}: {', '.join(str(v) for v in ready.values())}")
    print(f"\nMedians of {plan.rounds} rounds; {plan.new - 1} tokens after the first are timed.\n")
    print(markdown(HEAD, [c.cells() for one in found for c in one.compared()]))
    rates = [rate for one in found for rate in one.reading]
    print(
        f"\nReading {bandwidth.size / 1e6:.0f} MB with {flags.threads} threads, median of "
        f"{len(rates)}: {median(rates) / 1e9:.1f} GB/s, at most {max(rates) / 1e9:.1f}.\n"
    )
    print(markdown(speed.BANDWIDTH_HEAD, [one.bandwidth() for one in found]), flush=True)
    return [asdict(one) for one in found]


def print_together(flags: argparse.Namespace, plan: speed.Plan, say: Say) -> list[dict]:
    found = [alone.together(s, n, plan, say) for s in flags.shapes for n in flags.numbers]
    print("\n" + markdown(alone.TOGETHER_HEAD, map(alone.together_cells, found)), flush=True)
    return found


def print_passages(flags: argparse.Namespace, plan: speed.Plan, say: Say) -> list[dict]:
    seconds = reading.search_seconds(flags.build / "home", say)
    found = [reading.measure(s, n, plan, seconds, say) for s in flags.shapes for n in flags.numbers]
    print(f"\nA search in the starter library took {seconds * 1e3:.1f} ms (median).\n")
    print(markdown(reading.HEAD, map(reading.cells, found)), flush=True)
    return found


def print_memory(flags: argparse.Namespace, plan: speed.Plan, say: Say) -> list[dict]:
    found = [alone.memory(s, n, plan, say) for s in flags.shapes for n in flags.numbers]
    print("\n" + markdown(alone.MEMORY_HEAD, map(alone.memory_cells, found)), flush=True)
    return found


def print_start(flags: argparse.Namespace, plan: speed.Plan, say: Say) -> dict:
    found = starting.measure(flags.build, plan.rounds, say)
    print("\n" + markdown(starting.HEAD, starting.rows(found)), flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
