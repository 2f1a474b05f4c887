"""The sequences that one model holds at once, each in a slot of its own: what the scheduler drives.

A sequence lies on the chunk grid from position 0 on. The token at position p completes a chunk
where (p + 1) % M == 0; it already reads that chunk's neighbours (RETRO, arXiv 2112.04426, 2.4),
and so do the M - 1 tokens after it. These M tokens attend alike and may be read as one block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engine.protocol import Sampling
from retrieval.protocol import Neighbour


@dataclass(frozen=True)
class Draw:
    """How a next token is drawn: `number` counts those drawn before for the same reply."""

    sampling: Sampling
    number: int


@dataclass(frozen=True)
class Drawn:
    """A drawn token and what the model thought of it, before temperature and cuts (nats)."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]  # the likeliest tokens with theirs


@dataclass(frozen=True)
class Block:
    """Q consecutive tokens of one sequence, from position `at` on, none but the first completing
    a chunk. `valid` is False at padding, which nothing attends to. `shown` are the neighbours of
    the chunk that the first token completes, perhaps (); None where it completes none.
    """

    at: int
    tokens: np.ndarray  # [Q] int32
    valid: np.ndarray  # [Q] bool
    shown: tuple[Neighbour, ...] | None = None


@dataclass(frozen=True)
class Step:
    """One token that completes no chunk, at position `at` of the sequence in `slot`."""

    slot: int
    at: int
    token: int
    draw: Draw  # of the token after it


class Slots(Protocol):
    """One model and what it remembers of several sequences. Not for several threads at once.

    Writing at position `at` forgets what the slot held from there on. A sequence gives the same
    tokens bit for bit, whatever the other slots hold.
    """

    @property
    def count(self) -> int: ...

    @property
    def length(self) -> int:
        """Tokens that a slot holds."""
        ...

    @property
    def uniform(self) -> bool:
        """Whether a stepped token leaves the same bits behind as one that was read in a block."""
        ...

    @property
    def slot_bytes(self) -> int: ...

    @property
    def device(self) -> str:
        """Where it computes, and in what numbers, for people."""
        ...

    @property
    def weights(self) -> Any:
        """The model's arrays as `nnx.merge` takes them."""
        ...

    def read(self, slot: int, block: Block, draw: Draw | None = None) -> Drawn | None:
        """Feeds a block; draws the token after it if asked to.

        What the slot held before `at` must be this sequence's. Where the block does not begin with
        the last token of a chunk, the chunk before it must be the last one completed in this slot.
        """
        ...

    def step(self, steps: Sequence[Step]) -> list[Drawn]:
        """Feeds one token to each of several slots and draws the ones after them."""
        ...

    def cache(self, slot: int, tokens: int, slots: int) -> Any:
        """The first `tokens` of a slot as an `engine.retro.Cache` of so many slots, for scoring."""
        ...

    def warm_up(self) -> None:
        """Compiles, or fetches from the compilation cache, what reading and stepping need.

        What the slots hold may be lost.
        """
        ...
