"""One model over several hosts: host 0 decides, the others do the same at the same time.

Every host holds the devices of its part of the mesh and must run the same functions in the same
order, or all of them wait for ever. So only host 0 has a scheduler; before each call it tells
the others what it is about to do, and they follow. What is told is JSON, never code.
"""

import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from engine.protocol import Sampling
from engine.sharded.slots import ShardedSlots
from engine.slots import Block, Draw, Drawn, Step
from retrieval.protocol import Neighbour

Passage = tuple[tuple[int, ...], tuple[int, ...]]  # a neighbour's tokens and its continuation's


class LeadingSlots:
    """`engine.slots.Slots` of host 0: what it does, all hosts do. `close` lets them go.

    Scoring reads weights and caches that no single host has, so there is none.
    """

    def __init__(self, slots: ShardedSlots):
        self._slots = slots
        self.count, self.length, self.uniform = slots.count, slots.length, slots.uniform
        self.slot_bytes = slots.slot_bytes
        self.device = f"{slots.device}, {jax.process_count()} hosts"
        self.weights: Any = None

    def read(self, slot: int, block: Block, draw: Draw | None = None) -> Drawn | None:
        self._slots.check_block(slot, block)
        self._tell(read=[slot, _of_block(block), draw and _of_draw(draw)])
        return self._slots.read(slot, block, draw)

    def step(self, steps: Sequence[Step]) -> list[Drawn]:
        self._slots.check_steps(steps)
        self._tell(step=[[s.slot, s.at, s.token, _of_draw(s.draw)] for s in steps])
        return self._slots.step(steps)

    def cache(self, slot: int, tokens: int, slots: int) -> Any:
        raise NotImplementedError(
            "replies cannot be scored by a model that lies on several hosts; score them with one "
            "host, or with the model on one of its machines"
        )

    def warm_up(self) -> None:
        self._tell(warm_up=[])
        self._slots.warm_up()

    def close(self) -> None:
        """Ends `follow` on the other hosts."""
        self._tell(close=[])

    def _tell(self, **what: Any) -> None:
        _broadcast(self._slots, json.dumps(what, separators=(",", ":")).encode())


def follow(slots: ShardedSlots) -> int:
    """Does what host 0 does until it closes; returns how many calls that were."""
    count = 0
    while True:
        ((what, how),) = json.loads(_broadcast(slots, None)).items()
        if what == "close":
            return count
        if what == "read":
            slot, block, draw = how
            slots.read(slot, _block_of(*block), None if draw is None else _draw_of(*draw))
        elif what == "step":
            slots.step([Step(s, at, token, _draw_of(*draw)) for s, at, token, draw in how])
        elif what == "warm_up":
            slots.warm_up()
        count += 1


def _broadcast(slots: ShardedSlots, told: bytes | None) -> bytes:
    """What host 0 tells, on every host; always in a message of the same size."""
    p, B = slots.form.preset, slots.count
    r = p.retrieval
    reach = r.neighbours * r.neighbour_tokens if r else 0
    message = np.zeros(4096 + 16 * (reach + 2 * p.chunk) + 256 * B, np.uint8)
    if told is not None:
        if len(told) > len(message):
            raise ValueError(f"{len(told)} bytes to tell, a message holds {len(message)}")
        message[: len(told)] = np.frombuffer(told, np.uint8)
    found = multihost_utils.broadcast_one_to_all(message, is_source=told is not None)
    return np.asarray(found).tobytes().rstrip(b"\0")


def _of_block(block: Block) -> list[Any]:
    shown: list[Passage] | None = None
    if block.shown is not None:
        shown = [(tuple(n.tokens), tuple(n.continuation_tokens)) for n in block.shown]
    return [block.at, block.tokens.tolist(), block.valid.tolist(), shown]


def _block_of(at: int, tokens: list[int], valid: list[bool], shown: list | None) -> Block:
    neighbours = None if shown is None else tuple(_neighbour(*passage) for passage in shown)
    return Block(at, np.array(tokens, np.int32), np.array(valid, bool), neighbours)


def _neighbour(tokens: list[int], continuation: list[int]) -> Neighbour:
    """A neighbour as far as a model sees it."""
    return Neighbour(
        chunk_id=0, document_id=0, title="", source="", position=0, start=0, end=0, text="",
        continuation="", tokens=tuple(tokens), continuation_tokens=tuple(continuation),
        distance=None, overlap=0.0,
    )  # fmt: skip


def _of_draw(draw: Draw) -> list[Any]:
    s = draw.sampling
    return [s.temperature, s.top_k, s.top_p, s.seed, draw.number]


def _draw_of(temperature: float, top_k: int, top_p: float, seed: int, number: int) -> Draw:
    return Draw(Sampling(temperature, top_k, top_p, 1, seed), number)
