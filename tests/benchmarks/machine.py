"""What a benchmark runs on: its description, how fast it reads, and who else is using it."""

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FEATURES = (
    "avx2",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimd",
)
READ = 420 << 20  # bytes; about the weights of gopher-417m at 8 bits


def describe() -> str:
    """The processor, its instruction sets that matter here, and the memory; in one line."""
    known: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        known.setdefault(name.strip(), value.strip())
    flags = set(known.get("flags", known.get("Features", "")).split())
    model = known.get("model name", "unknown processor")
    family = f" (family {known['cpu family']}, model {known['model']})" if "model" in known else ""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}{family}, {os.cpu_count()} logical cores, {gigabytes:.0f} GiB; "
        f"has {', '.join(f for f in FEATURES if f in flags) or 'none'} of {', '.join(FEATURES)}"
    )


def pin(threads: int) -> tuple[int, ...]:
    """Keeps this process and its children on so many cores. -> their numbers"""
    cores = tuple(sorted(os.sched_getaffinity(0))[:threads])
    os.sched_setaffinity(0, cores)
    return cores


class Reading:
    """The read bandwidth: the largest of 105 million int32 (NumPy), a part for each thread.

    Finding it takes one comparison of a vector a load, so that memory is all that it waits for.
    """

    def __init__(self, threads: int, size: int = READ):
        self.size = size
        self._parts = np.array_split(np.ones(size // 4, np.int32), threads)
        self._pool = ThreadPoolExecutor(threads)

    def measure(self, times: int = 8) -> list[float]:
        """Bytes a second, each of so many times."""
        rates = []
        for _ in range(times):
            start = time.perf_counter()
            list(self._pool.map(np.max, self._parts))
            rates.append(self.size / (time.perf_counter() - start))
        return rates


@dataclass
class Load:
    """The share of the machine's time (0 to 1) that others took while something was measured."""

    foreign: float = 0.0


@contextmanager
def watch(processes: Iterable[int]) -> Iterator[Load]:
    """Fills in a Load when it ends. `processes` (ids) and this one do not count as foreign."""
    ours = [os.getpid(), *processes]
    load = Load()
    busy, total = _machine_ticks()
    own = sum(map(_process_ticks, ours))
    yield load
    busy_after, total_after = _machine_ticks()
    own = sum(map(_process_ticks, ours)) - own
    load.foreign = max(0.0, busy_after - busy - own) / max(1, total_after - total)


def _machine_ticks() -> tuple[int, int]:
    """Ticks of all cores: busy (stolen ones among them), and all."""
    user, nice, system, idle, waiting, irq, softirq, stolen = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    busy = user + nice + system + irq + softirq + stolen
    return busy, busy + idle + waiting


def _process_ticks(process: int) -> int:
    after_name = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return int(after_name[11]) + int(after_name[12])
