"""Slots on 8 virtual devices beside the model as it is defined, as a process of its own.

`python -m tests.sharded_serving` prints, for each model and mesh, the largest difference of a
log-probability over all that was read and stepped, and what was drawn.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from engine.presets import Preset
from engine.protocol import Sampling
from engine.sharded.loading import Arrays
from engine.sharded.programs import Form
from engine.sharded.slots import ShardedSlots
from engine.sharded.stacks import is_narrow, members
from engine.sharding import serving_mesh
from engine.slots import Block, Draw, Slots, Step
from retrieval.protocol import Neighbour
from tests import toys

MESHES = ("data=1,model=8", "data=2,model=4", "data=8,model=1")
SLOTS = 8
assert toys.TOY.retrieval
# Eight heads, because eight devices share them; two groups of two layers after the first.
WIDE = replace(
    toys.TOY, name="wide", layers=5, width=24, heads=8, head_dim=4, ffw=48, vocab=64, context=24,
    retrieval=replace(toys.TOY.retrieval, layers=(2, 4)),
)  # fmt: skip
PRESETS = {"gopher": replace(WIDE, retrieval=None), "retro": WIDE}


@dataclass
class Line:
    """A sequence in a slot, and the neighbours of each of its chunks."""

    slot: int
    tokens: np.ndarray  # [T]
    valid: np.ndarray  # [T]
    shown: list[tuple[Neighbour, ...]]
    read: int  # of its tokens, the first so many are read in blocks and the rest stepped


def neighbour(p: Preset, rng: np.random.Generator, number: int) -> Neighbour:
    """A passage and what follows it, both shorter than the model takes."""
    reach = p.retrieval.neighbour_tokens // 2 if p.retrieval else 3
    ids = [tuple(rng.integers(0, p.vocab, size).tolist()) for size in (reach, reach - 1)]
    return Neighbour(
        chunk_id=number, document_id=number, title="", source="", position=0, start=0, end=1,
        text="", continuation="", tokens=ids[0], continuation_tokens=ids[1], distance=None,
        overlap=0.0,
    )  # fmt: skip


def lines(p: Preset, seed: int = 0) -> list[Line]:
    """Sequences of several lengths: padding in front, few neighbours, none, a slot used again."""
    rng = np.random.default_rng(seed)
    found = []
    for slot, size, read, pads in ((0, 21, 9, 0), (3, 18, 12, 2), (6, 24, 1, 0), (0, 11, 8, 0)):
        valid = np.ones(size, bool)
        valid[:pads] = False
        shown = [
            tuple(neighbour(p, rng, 10 * c + i) for i in range((2, 1, 0)[(c + slot) % 3]))
            for c in range(size // p.chunk)
        ]
        tokens = rng.integers(0, p.vocab, size).astype(np.int32)
        found.append(Line(slot, tokens, valid, shown, read))
    return found


def blocks(p: Preset, line: Line) -> Iterator[Block]:
    """The tokens that are read, cut where a token completes a chunk."""
    M, at = p.chunk, 0
    while at < line.read:
        end = min(line.read, (at + 1) // M * M + M - 1)
        shown = line.shown[at // M] if (at + 1) % M == 0 else None
        yield Block(at, line.tokens[at:end], line.valid[at:end], shown)
        at = end


def drive(slots: Slots, p: Preset, lines: list[Line], sampling: Sampling) -> list[tuple]:
    """Feeds lines, side by side where they are in different slots -> what was drawn after each
    read block and each stepped token, as (line, its last position, Drawn)."""
    drawn: list[tuple] = []
    at = [0] * len(lines)

    def read(n: int, block: Block) -> None:
        found = slots.read(lines[n].slot, block, Draw(sampling, block.at))
        at[n] = block.at + len(block.tokens)
        drawn.append((n, at[n] - 1, found))

    def step(going: list[int]) -> None:
        steps = [
            Step(lines[n].slot, at[n], int(lines[n].tokens[at[n]]), Draw(sampling, at[n]))
            for n in going
        ]
        for n, found in zip(going, slots.step(steps), strict=True):
            at[n] += 1
            drawn.append((n, at[n] - 1, found))

    for wave in ([0, 1, 2], [3]):  # the last takes the slot of the first
        for n in wave:
            for block in blocks(p, lines[n]):
                read(n, block)
        while going := [n for n in wave if at[n] < len(lines[n].tokens)]:
            for n in going:
                if (at[n] + 1) % p.chunk == 0:
                    line = lines[n]
                    one = slice(at[n], at[n] + 1)
                    shown = line.shown[at[n] // p.chunk]
                    read(n, Block(at[n], line.tokens[one], line.valid[one], shown))
            steps = [n for n in wave if at[n] < len(lines[n].tokens) and (at[n] + 1) % p.chunk]
            if steps:
                step(steps)
    return drawn


class Watched(ShardedSlots):
    """Keeps the logits [V] behind everything that was drawn, in the order it was returned."""

    def watch(self) -> list[np.ndarray]:
        self.seen: list[np.ndarray] = []
        return self.seen

    def _draw(self, logits: Any, draws: Any) -> Any:
        self.rows = np.asarray(logits).reshape(len(draws), -1)
        return super()._draw(logits, draws)

    def read(self, slot: int, block: Block, draw: Draw | None = None) -> Any:
        found = super().read(slot, block, draw)
        self.seen.append(self.rows[0])
        return found

    def step(self, steps: Sequence[Step]) -> Any:
        found = super().step(steps)
        self.seen += [self.rows[step.slot] for step in steps]
        return found


def defined(p: Preset, toy: toys.Toy, line: Line) -> np.ndarray:
    """Log-probabilities [T V] of the full pass, as the model is defined."""
    from engine.layout import passages_of

    tokens, valid = line.tokens[None], line.valid[None]
    passages = None
    if p.retrieval:
        r = p.retrieval
        shown = dict(enumerate(line.shown))
        passages = passages_of(shown, len(line.shown), r.neighbours, r.neighbour_tokens)
    return log_softmax(toy.logits(tokens, valid, *([passages] if p.retrieval else [])))[0]


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def largest_difference(
    drawn: list[tuple], seen: list[np.ndarray], expected: list[np.ndarray]
) -> float:
    """Of any log-probability after what was fed to the slots."""
    apart = 0.0
    for (n, last, found), logits in zip(drawn, seen, strict=True):
        logprobs = log_softmax(logits)
        apart = max(apart, float(np.abs(logprobs - expected[n][last]).max()))
        assert abs(found.logprob - logprobs[found.token]) < 1e-4
    return apart


def compare(
    p: Preset, mesh: Any, arrays: dict[str, np.ndarray], expected: list[np.ndarray], **kept: Any
) -> dict[str, Any]:
    """How far a mesh's log-probabilities are from those expected, and what it drew."""
    slots = Watched(Form(p, mesh, SLOTS, p.context, **kept), Arrays(arrays))
    slots.warm_up()
    seen = slots.watch()
    drawn = drive(slots, p, lines(p), Sampling(temperature=0.8, seed=3))
    apart = largest_difference(drawn, seen, expected)
    return {"apart": apart, "drawn": [found.token for *_, found in drawn], "slots": slots}


def rounded(p: Preset, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Kernels of the decoder and the cross-attentions to 255 steps an output."""
    found = dict(arrays)
    for stack, rows in members(p).items():
        for name in rows if is_narrow(stack) else ():
            scale = np.abs(arrays[name]).max(0) / 127
            found[name] = np.round(arrays[name] / scale) * scale
    return found


def compare_narrow(p: Preset) -> dict[str, float]:
    """int8 weights beside the model of the rounded weights, and an int8 cache beside that."""
    mesh, arrays = serving_mesh(jax.devices(), p.heads, MESHES[1]), toys.random_arrays(p)
    expected = [defined(p, toys.toy(p, rounded(p, arrays)), line) for line in lines(p)]
    weights = compare(p, mesh, arrays, expected, narrow_weights=True)
    cache = compare(p, mesh, arrays, expected, narrow_weights=True, narrow_memory=True)
    return {"weights": weights["apart"], "cache": cache["apart"]}


def main() -> None:
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"
    rows = []
    for name, p in PRESETS.items():
        toy = toys.toy(p)
        expected = [defined(p, toy, line) for line in lines(p)]
        for text in MESHES:
            mesh = serving_mesh(jax.devices(), p.heads, text)
            found = compare(p, mesh, toy.arrays, expected)
            memory = jax.tree.leaves(found["slots"]._memory)
            rows.append({
                "model": name, "mesh": text, "apart": found["apart"], "drawn": found["drawn"],
                "memory": share(memory), "weights": share(jax.tree.leaves(found["slots"]._held)),
                "device": found["slots"].device,
            })  # fmt: skip
    print(json.dumps({"rows": rows, "narrow": compare_narrow(PRESETS["retro"])}))


def share(arrays: list[jax.Array]) -> float:
    """The part of the bytes that one device holds."""
    return sum(a.addressable_shards[0].data.nbytes for a in arrays) / sum(a.nbytes for a in arrays)


if __name__ == "__main__":
    main()
