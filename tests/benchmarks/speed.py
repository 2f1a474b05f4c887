"""Decoding and prefill beside llama.cpp: both write the same lengths in turn, on the same cores."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from engine.presets import preset
from tests.benchmarks.lines import ROOT, Worker
from tests.benchmarks.machine import Reading, watch
from tests.benchmarks.table import DISTURBED, Compared, least, token_bytes

SHAPES = ("44m", "117m", "417m")
NUMBERS = ("int8", "int4")
PROMPTS = (256, 1024)  # tokens of the prompt, and so of the context that decoding starts from
DECODE_AIM = {"44m": 1.4, "117m": 1.15, "417m": 1.05}
PREFILL_AIM = 1.2
BANDWIDTH_AIM = 0.85
# What each side is asked besides; of the peer's two ways of attending the faster one counts.
WAYS = {"peer": {"flash": {"flash": True}, "plain": {"flash": False}}, "ours": {"ours": {}}}
PEER_PYTHON = ROOT / ".bench/bin/python"


@dataclass(frozen=True)
class Plan:
    """What is measured and how often."""

    build: Path
    rounds: int
    new: int  # tokens written
    threads: int
    sides: Sequence[str] = ("peer", "ours")


@dataclass
class Measured:
    """One shape at one width: a value a round."""

    shape: str
    numbers: str
    decode: dict[int, dict[str, list[float]]] = field(default_factory=dict)  # by prompt, way
    prefill: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    foreign: dict[int, list[float]] = field(default_factory=dict)
    reading: list[float] = field(default_factory=list)  # bytes a second
    ready: dict[str, dict] = field(default_factory=dict)
    raw: list[dict] = field(default_factory=list)  # all that was answered

    def compared(self) -> Iterator[Compared]:
        for prompt, ways in self.decode.items():
            name = f"decode after {prompt:,} tokens"
            yield self._compared(name, ways, prompt, DECODE_AIM.get(self.shape))
        for prompt, ways in self.prefill.items():
            aim = PREFILL_AIM if prompt == PROMPTS[0] else None
            yield self._compared(f"prefill of {prompt:,} tokens", ways, prompt, aim)

    def _compared(
        self, name: str, ways: dict[str, list[float]], prompt: int, aim: float | None
    ) -> Compared:
        cells = (f"gopher-{self.shape}", self.numbers, name)
        peer, ours = fastest(ways, "peer"), fastest(ways, "ours")
        return Compared(cells, peer, ours, self.foreign[prompt], aim)

    def bandwidth(self) -> list[str]:
        """Cells: what is read for a token, what the memory gives, what share each side reached."""
        size, limit = (
            token_bytes(preset(f"gopher-{self.shape}"), self.numbers),
            median(self.reading),
        )
        cells = [f"gopher-{self.shape}", self.numbers, f"{size / 1e6:.0f} MB", f"{limit / 1e9:.1f}"]
        rates = {side: fastest(self.decode[PROMPTS[0]], side) for side in WAYS}
        reached = {s: median(values) * size / limit for s, values in rates.items() if values}
        cells += [f"{reached[s]:.2f}" if s in reached else "-" for s in ("peer", "ours")]
        foreign = self.foreign[PROMPTS[0]]
        ours = None if max(foreign, default=0.0) > DISTURBED else reached.get("ours")
        return [*cells, least(ours, BANDWIDTH_AIM) if self.shape == "417m" else "-"]


def fastest(ways: dict[str, list[float]], side: str) -> list[float]:
    """The rounds of a side's way with the highest median; [] if it was not measured."""
    return max((ways.get(way, []) for way in WAYS[side]), key=lambda r: median(r) if r else 0.0)


BANDWIDTH_HEAD = (
    "shape", "weights", "read for a token", "read bandwidth, GB/s", "llama.cpp's share of it",
    "our share of it", "aim",
)  # fmt: skip


def measure(
    shape: str, numbers: str, plan: Plan, reading: Reading, say: Callable[[str], None]
) -> Measured:
    """Raises WorkerFailed if either side does."""
    found = Measured(shape, numbers)
    for prompt in PROMPTS:
        for kept in (found.decode, found.prefill):
            kept[prompt] = {way: [] for side in plan.sides for way in WAYS[side]}
        found.foreign[prompt] = []
    with ExitStack() as opened:
        workers = {}
        for side in plan.sides:
            say(f"gopher-{shape} {numbers}: starting {side}")
            errors = plan.build / f"{side}-{shape}-{numbers}.log"
            workers[side] = opened.enter_context(
                Worker(command(side, shape, numbers, plan), errors)
            )
        found.ready = {side: worker.ready for side, worker in workers.items()}
        processes = [worker.process.pid for worker in workers.values()]
        for turn in range(plan.rounds):
            say(f"gopher-{shape} {numbers}: round {turn + 1} of {plan.rounds}")
            found.reading += reading.measure()
            for prompt in PROMPTS:
                with watch(processes) as load:
                    for side, way in ((s, way) for s in workers for way in WAYS[s]):
                        how = WAYS[side][way]
                        told = workers[side].ask(prompt=prompt, new=plan.new, seed=turn, **how)
                        found.raw.append({"way": way, "prompt": prompt, **told})
                        found.prefill[prompt][way].append(prompt / told["prefill"])
                        seconds = told["tokens"]
                        found.decode[prompt][way].append(len(seconds) / sum(seconds))
                found.foreign[prompt].append(load.foreign)
    return found


def command(side: str, shape: str, numbers: str, plan: Plan) -> list[str]:
    """How a side is started. The peer's file is made first if it is missing."""
    name = f"gopher-{shape}"
    if side == "ours":
        return [sys.executable, "-m", "tests.benchmarks.served", name, numbers]
    path = (plan.build / f"{name}-{numbers}.gguf").absolute()
    peer = [str(PEER_PYTHON), "-m"]
    if not path.exists():
        make = [*peer, "tests.benchmarks.gguf_shapes", name, numbers, str(path)]
        subprocess.run(make, cwd=ROOT, check=True)
    return [*peer, "tests.benchmarks.llama", str(path), "--threads", str(plan.threads)]
