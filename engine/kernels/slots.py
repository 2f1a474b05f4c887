"""KernelSlots: quantised weights, and one call of the C++ kernels for a block or a step.

Reading and stepping run the same code row by row, so that a token leaves the same bits behind
either way. Only neighbours are encoded by the JAX definition, its products by the kernels.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from engine.checkpoint import graph_of, nest
from engine.kernels.calls import decode, rank, variant
from engine.kernels.memory import Constants, Memory, empty, hide, recall, show, slot_bytes
from engine.kernels.pack import check_shape, cross_places, pack, places
from engine.kernels.pages import use_large_pages
from engine.layout import passages_of
from engine.presets import Preset
from engine.protocol import Sampling
from engine.quant import Bits
from engine.retro import Passages, Retro
from engine.sampling import Choice, drawn_of, draws_of, sample_rows
from engine.sampling import Draw as Draws
from engine.slots import Block, Draw, Drawn, Step
from retrieval.protocol import Neighbour

_GREEDY = Sampling(temperature=0)
_EMPTY = Neighbour(0, 0, "", "", 0, 0, 0, "", "", (), ())

Rows = np.ndarray  # int32 [R 4]: token, slot, position, whether it is valid


class KernelSlots:
    """See `engine.slots.Slots`. Raises NoKernels where the kernels cannot be used."""

    uniform = True

    def __init__(self, p: Preset, arrays: Mapping[str, Any], bits: Bits, count: int):
        self._variant = variant()
        check_shape(p, p.context)
        self._preset, self._bits = p, bits
        self.count, self.length = count, p.context
        flat, plan, floats = pack(p, arrays, bits)
        self.weights = nest(flat)
        self._functions = functions(p, bits)
        near, far = self._functions["places"](self.weights)
        pool = next(w for w in flat.values() if hasattr(w, "value_at"))
        self._constants = Constants(pool.values, pool.scales, plan, floats, near, far)
        self._memory = empty(p, count, self.length)
        for array in (near, self._memory.keys, self._memory.values):
            use_large_pages(array)

    @property
    def slot_bytes(self) -> int:
        return slot_bytes(self._preset, self.length)

    @property
    def device(self) -> str:
        return f"cpu, int{self._bits} ({self._variant} kernels)"

    def read(self, slot: int, block: Block, draw: Draw | None = None) -> Drawn | None:
        """See `engine.slots.Slots.read`."""
        count = len(block.tokens)
        rows = np.zeros((self._preset.chunk, 4), np.int32)
        rows[:count, 0], rows[:count, 1] = block.tokens, slot
        rows[:count, 2] = np.arange(block.at, block.at + count)
        rows[:count, 3] = block.valid
        r, passages = self._preset.retrieval, None
        if block.shown and r is not None:
            passages = passages_of({0: block.shown}, 1, r.neighbours, r.neighbour_tokens)
        given = self._constants, self._memory, rows, np.int32(count)
        if passages is not None:
            logits, self._memory = self._functions["complete"](*given, self.weights, passages)
        else:
            forget = block.shown is not None or block.at == 0
            logits, self._memory = self._functions["read"](*given, forget)
        if draw is None:
            return None
        return drawn_of(self._functions["draw"](logits, draws_of([draw], 1), np.int32(1)), 1)[0]

    def step(self, steps: Sequence[Step]) -> list[Drawn]:
        """See `engine.slots.Slots.step`."""
        rows = np.ones((self.count, 4), np.int32)
        for i, step in enumerate(steps):
            rows[i, :3] = step.token, step.slot, step.at
        draws = draws_of([s.draw for s in steps], self.count)
        count = np.int32(len(steps))
        choice, self._memory = self._functions["step"](
            self._constants, self._memory, rows, count, draws
        )
        return drawn_of(choice, len(steps))

    def cache(self, slot: int, tokens: int, slots: int) -> Any:
        """See `engine.slots.Slots.cache`."""
        return self._functions["recall"](self._memory, np.int32(slot), np.int32(tokens), slots)

    def warm_up(self) -> None:
        """See `engine.slots.Slots.warm_up`."""
        M, greedy = self._preset.chunk, Draw(_GREEDY, 0)
        whole = np.zeros(M, np.int32), np.ones(M, bool)
        self.read(0, Block(0, whole[0][: M - 1], whole[1][: M - 1]), greedy)
        shown = (_EMPTY,) if self._preset.retrieval else ()
        for neighbours in (shown, ()):
            self.read(0, Block(M - 1, whole[0][:1], whole[1][:1], neighbours), greedy)
        self.step([Step(0, M, 0, greedy)])


def functions(p: Preset, bits: Bits) -> dict[str, Any]:
    """The compiled functions of one shape."""
    graph, M, r = graph_of(p), p.chunk, p.retrieval
    stages = 2 * p.layers
    half = 2 * (r.layers[0] - 1) + 1 if r else 0  # after the attention whose stream is encoded
    run = partial(decode, p, bits)

    @jax.jit
    def tables(weights: Any) -> tuple[jax.Array, jax.Array]:
        model = nnx.merge(graph, weights)
        if isinstance(model, Retro):
            return places(model.decoder, p.context), cross_places(p, model.cross)
        none = jnp.zeros((0, p.heads, 1, p.head_dim, 32), jnp.float16)
        return places(model, p.context), none

    @partial(jax.jit, donate_argnums=1, static_argnums=4)
    def read(
        constants: Constants, memory: Memory, rows: jax.Array, count: jax.Array, forget: bool
    ) -> tuple[jax.Array, Memory]:
        memory = hide(memory, rows[0, 1]) if forget else memory
        _, logits, memory = run(constants, memory, rows, count, (0, stages), outputs=1)
        return logits, memory

    @partial(jax.jit, donate_argnums=1)
    def complete(
        constants: Constants, memory: Memory, rows: jax.Array, count: jax.Array, weights: Any,
        passages: Passages,
    ) -> tuple[jax.Array, Memory]:  # fmt: skip
        x, _, memory = run(constants, memory, rows, count, (0, half), outputs=0)
        slot, start = rows[0, 1], rows[0, 2] + 1 - M
        model = nnx.merge(graph, weights)
        stream = jax.lax.dynamic_slice(memory.stream, (slot, start, 0), (1, M, p.width))
        marks = jax.lax.dynamic_slice(memory.mask, (slot, start), (1, M)) == 0
        encoded = model.encode(stream[:, None], marks[:, None], passages)
        shown = model.project(encoded[:, 0], passages.valid[:, 0])
        memory = show(memory, slot, shown)
        _, logits, memory = run(constants, memory, rows, count, (half, stages), outputs=1, x=x)
        return logits, memory

    def draw(logits: jax.Array, draws: Draws, count: jax.Array) -> Choice:
        return sample_rows(logits, draws, count, rank(logits, draws.temperature, count))

    @partial(jax.jit, donate_argnums=1)
    def step(
        constants: Constants, memory: Memory, rows: jax.Array, count: jax.Array, draws: Draws
    ) -> tuple[Any, Memory]:
        _, logits, memory = run(constants, memory, rows, count, (0, stages), outputs=rows.shape[0])
        return draw(logits, draws, count), memory

    return {
        "places": tables, "read": read, "complete": complete, "step": step,
        "draw": jax.jit(draw),
        "recall": jax.jit(partial(recall, p), static_argnums=3),
    }  # fmt: skip
