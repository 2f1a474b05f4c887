"""Our side of the benchmark: replies are written greedily through `Slots`, and timed.

    python -m tests.benchmarks.served gopher-44m int8

Answers lines `{"prompt": 256, "new": 128, "seed": 0, "count": 1}`; weights are random.
"""

import argparse
import itertools
import math
import resource
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from engine.presets import Preset, preset
from engine.protocol import Sampling
from engine.slots import Block, Draw, Drawn, Slots, Step
from retrieval.protocol import Neighbour
from tests.benchmarks.lines import answer

EOS = 3
GREEDY = Sampling(temperature=0)


class Weights(Mapping[str, np.ndarray]):
    """Random arrays of a preset, made each time one is asked for, so that none has to be kept."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]):
        self._shapes = shapes

    def __getitem__(self, name: str) -> np.ndarray:
        shape = self._shapes[name]
        if name.endswith("scale"):
            return np.ones(shape, np.float32)
        values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
        values *= 0.02
        if name.endswith("embedding.table"):
            values[EOS] = 0  # never the likeliest token: no reply ends early
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    @property
    def count(self) -> int:
        """Numbers in all arrays."""
        return sum(map(math.prod, self._shapes.values()))


class Served:
    """Replies of one or several sequences at once."""

    def __init__(self, slots: Slots, p: Preset):
        self._slots, self._chunk, self._vocab = slots, p.chunk, p.vocab
        self._shown: tuple[Neighbour, ...] = ()

    def reply(
        self, prompt: int, new: int, seed: int = 0, count: int = 1, shown: int = 0
    ) -> dict:  # fmt: skip
        """Reads random prompts and writes `new` tokens after each, `count` sequences in step.

        Each chunk that ends with the prompt or after it is shown so many neighbours.
        -> seconds of reading the first prompt, and of each step after it; the ids written last.
        """
        rng = np.random.default_rng(seed)
        ids = rng.integers(4, self._vocab, (count, prompt)).astype(np.int32)
        self._shown = (random_neighbour(rng, self._vocab, self._chunk),) * shown
        marks, last = [time.perf_counter()], []
        for slot in range(count):
            last.append(self._read(slot, ids[slot]).token)
            marks.append(time.perf_counter())
        prefill = marks[1] - marks[0]
        seconds = []
        for number in range(1, new):
            start = time.perf_counter()
            last = self._feed(last, prompt + number - 1, Draw(GREEDY, number))
            seconds.append(time.perf_counter() - start)
        return {"prefill": prefill, "tokens": seconds, "last": last, **self._size()}

    def _read(self, slot: int, ids: np.ndarray) -> Drawn:
        drawn = None
        for block in blocks_of(ids, self._chunk):
            ends = block.at + len(block.tokens) == len(ids)
            if ends and block.shown is not None:
                block = replace(block, shown=self._shown)
            drawn = self._slots.read(slot, block, Draw(GREEDY, 0) if ends else None)
        assert drawn is not None
        return drawn

    def _feed(self, tokens: list[int], at: int, draw: Draw) -> list[int]:
        """The tokens at one position of all sequences -> those after them."""
        if (at + 1) % self._chunk:
            steps = [Step(slot, at, token, draw) for slot, token in enumerate(tokens)]
            return [drawn.token for drawn in self._slots.step(steps)]
        found = []
        for slot, token in enumerate(tokens):
            block = Block(at, np.array([token], np.int32), np.ones(1, bool), self._shown)
            drawn = self._slots.read(slot, block, draw)
            assert drawn is not None
            found.append(drawn.token)
        return found

    def _size(self) -> dict:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"peak": peak, "slot": self._slots.slot_bytes}


def random_neighbour(rng: np.random.Generator, vocab: int, chunk: int) -> Neighbour:
    """Random tokens, and as many that continue them."""
    tokens, more = (tuple(rng.integers(4, vocab, chunk).tolist()) for _ in range(2))
    return Neighbour(0, 0, "", "", 0, 0, 0, "", "", tokens, more)


def blocks_of(ids: np.ndarray, M: int) -> Iterator[Block]:
    """A prompt as the blocks that `Slots.read` takes, nothing shown to any chunk."""
    edges = sorted({0, *range(M - 1, len(ids), M), len(ids)})
    for start, end in itertools.pairwise(edges):
        shown = () if (start + 1) % M == 0 else None
        yield Block(start, ids[start:end], np.ones(end - start, bool), shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset")
    parser.add_argument("numbers", choices=("int8", "int4", "float32"))
    parser.add_argument("--count", type=int, default=1, help="sequences at once (default 1)")
    flags = parser.parse_args()
    from engine.checkpoint import shapes_of  # after the flags: they bring jax
    from engine.opening import open_slots

    p = preset(flags.preset)
    weights = Weights({name: tuple(a.shape) for name, a in shapes_of(p).items()})
    slots = open_slots(p, weights, numbers=flags.numbers, count=flags.count)
    slots.warm_up()
    served = Served(slots, p)
    served.reply(8, 8, count=flags.count)
    answer({"device": slots.device, "parameters": weights.count}, served.reply)


if __name__ == "__main__":
    main()
