"""Slots without a model, which write down what they are fed: the token drawn is a digest of that.

Whatever is not fed as it should be, or is remembered wrongly, so changes all that is drawn after.
"""

import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.layout import passages_of
from engine.presets import Preset
from engine.retro import Cache
from engine.slots import Block, Draw, Drawn, Step

FIRST = 4  # of the tokens that may be drawn


@dataclass
class Page:
    """What a slot holds: (token, whether it is real, and where not uniform how it was fed), and the
    chunks that were completed with their neighbours."""

    tokens: list[tuple]
    shown: dict[int, Any]
    completed: int = -1


class LedgerSlots:
    """`engine.slots.Slots`. `log` has every call; `gate` holds them up; feeding a token of `broken`
    fails. `watch` is called before each."""

    def __init__(self, p: Preset, arrays: Any = None, *, count: int = 8, uniform: bool = True):
        self.count, self.length, self.uniform = count, p.context, uniform
        self.slot_bytes, self.device, self.weights = 1, "a ledger", {}
        self.log: list[tuple] = []
        self.broken: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.watch: Callable[[], None] = lambda: None
        self._preset, self._thread = p, None
        self._pages = [Page([], {}) for _ in range(count)]

    def read(self, slot: int, block: Block, draw: Draw | None = None) -> Drawn | None:
        M, count = self._preset.chunk, len(block.tokens)
        self._enter(("read", slot, block.at, count), block.tokens.tolist())
        assert 0 < count <= M and len(block.valid) == count
        completes = [at for at in range(block.at, block.at + count) if (at + 1) % M == 0]
        assert completes == ([] if block.shown is None else [block.at])
        return self._feed(slot, block, ("read", block.at), draw)

    def step(self, steps: Sequence[Step]) -> list[Drawn]:
        self._enter(("step", *(s.slot for s in steps)), [s.token for s in steps])
        assert len({s.slot for s in steps}) == len(steps) > 0
        drawn = []
        for s in steps:
            assert (s.at + 1) % self._preset.chunk
            one = Block(s.at, np.array([s.token], np.int32), np.ones(1, bool))
            drawn.append(self._feed(s.slot, one, ("step",), s.draw))
        return drawn

    def cache(self, slot: int, tokens: int, slots: int) -> Cache:
        raise NotImplementedError

    def warm_up(self) -> None:
        """Writes over what the slots hold."""
        self._pages = [Page([], {}) for _ in range(self.count)]

    def _enter(self, call: tuple, tokens: Sequence[int]) -> None:
        self._thread = self._thread or threading.current_thread()
        assert threading.current_thread() is self._thread
        self.watch()
        assert self.gate.wait(60)
        self.log.append(call)
        if self.broken & set(tokens):
            raise RuntimeError("the model broke")

    def _feed(self, slot: int, block: Block, how: tuple, draw: Draw | None) -> Drawn | None:
        page, M, at = self._pages[slot], self._preset.chunk, block.at
        assert at <= len(page.tokens), f"{at} comes after {len(page.tokens)}"
        whole = at // M - 1  # the last chunk that was completed before
        if block.shown is None and whole >= 0:
            assert page.completed == whole
        del page.tokens[at:]
        page.shown = {u: s for u, s in page.shown.items() if u <= whole}
        if block.shown is not None:
            page.completed = whole + 1
            page.shown[page.completed] = self._content(block)
        for token, valid in zip(block.tokens.tolist(), block.valid.tolist(), strict=True):
            page.tokens.append((token, valid, *([] if self.uniform else [how])))
        if draw is None:
            return None
        seen = (page.tokens, sorted(page.shown.items()), draw.sampling.seed, draw.number)
        span = self._preset.vocab - FIRST
        token = FIRST + zlib.crc32(repr(seen).encode()) % span
        return Drawn(token, -token / 1000, ((token, -token / 1000),))

    def _content(self, block: Block) -> Any:
        r = self._preset.retrieval
        if r is None:
            return None
        passages = passages_of({0: block.shown or ()}, 1, r.neighbours, r.neighbour_tokens)
        return passages.tokens.tolist(), passages.valid.tolist()
