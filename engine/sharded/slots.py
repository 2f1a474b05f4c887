"""Slots over a mesh of devices: a model too large, or too slow, for one of them."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from engine.layout import passages_of
from engine.protocol import Sampling
from engine.retro import Cache, Encoded
from engine.sampling import drawn_of, draws_of
from engine.sharded.loading import Source, place
from engine.sharded.memory import empty
from engine.sharded.programs import Form, Programs, slot_bytes
from engine.sharded.stacks import Int8, unstack
from engine.sharding import DATA, MODEL, whole
from engine.slots import Block, Draw, Drawn, Step

_GREEDY = Draw(Sampling(temperature=0), 0)


class ShardedSlots:
    """`engine.slots.Slots` of one model over a mesh, every function compiled ahead."""

    def __init__(self, form: Form, source: Source):
        self.form = form
        self._lower = Programs(form).by_name()
        self._compiled: dict[str, Any] = {}
        self._held = place(form, source)
        self._tables = self._run("tables", self._held)
        self._memory = empty(form.memory)

    @property
    def count(self) -> int:
        return self.form.slots

    @property
    def length(self) -> int:
        return self.form.length

    @property
    def uniform(self) -> bool:
        return False

    @property
    def slot_bytes(self) -> int:
        return slot_bytes(self.form)

    @property
    def device(self) -> str:
        form, shape = self.form, self.form.mesh.shape
        kind = form.mesh.devices.flat[0].device_kind
        kept = [f"{what} int8" for what, narrow in (
            ("weights", form.narrow_weights), ("cache", form.narrow_memory)) if narrow]  # fmt: skip
        numbers = ", ".join([jnp.dtype(form.dtype).name, *kept])
        return f"{form.mesh.size} x {kind} (data={shape[DATA]}, model={shape[MODEL]}), {numbers}"

    @cached_property
    def weights(self) -> Any:
        """The model's arrays as `nnx.merge` takes them: a copy, made when first asked for."""
        return unstack(self.form.preset, self._held, self.form.dtype)

    def read(self, slot: int, block: Block, draw: Draw | None = None) -> Drawn | None:
        """See `Slots.read`. A block of more than M tokens is refused."""
        self.check_block(slot, block)
        if block.shown is not None and self.form.preset.retrieval is not None:
            self._encode(slot, block)
        count = len(block.tokens)
        Q = next(Q for Q in self.form.blocks if count <= Q)
        tokens, valid = np.zeros(Q, np.int32), np.zeros(Q, bool)
        tokens[:count], valid[:count] = block.tokens, block.valid
        logits = self._remember(
            f"read {Q}", np.int32(slot), np.int32(block.at), tokens, valid, np.int32(count)
        )
        return None if draw is None else self._draw(logits, [draw])[0]

    def step(self, steps: Sequence[Step]) -> list[Drawn]:
        """See `Slots.step`."""
        self.check_steps(steps)
        B = self.form.slots
        tokens, at = np.zeros(B, np.int32), np.full(B, -1, np.int32)
        draws = [_GREEDY] * B
        for step in steps:
            tokens[step.slot], at[step.slot], draws[step.slot] = step.token, step.at, step.draw
        logits = self._remember("step", tokens, at)
        drawn = self._draw(logits, draws)
        return [drawn[step.slot] for step in steps]

    def cache(self, slot: int, tokens: int, slots: int) -> Cache:
        """See `Slots.cache`."""
        form, held = self.form, self._memory
        p, (a, j) = form.preset, divmod(slot, form.slots // form.groups)

        def layers(kept: Any) -> Any:
            if isinstance(kept, Int8):
                rows = kept.values[a, :, j, :slots] * kept.scale[a, :, j, :slots, :, None]
                return rows.astype(form.dtype)
            return kept[a, :, j, :slots]

        keys, values = layers(held.keys), layers(held.values)
        pairs = tuple((keys[i][None], values[i][None]) for i in range(p.layers))
        valid = held.valid[a, j, :slots] & (jnp.arange(slots) < tokens)
        rows, cross = jnp.zeros((p.chunk, p.width), form.dtype), ()
        shown = jnp.zeros((1, 0), bool)
        if held.neighbours is not None:
            n = held.neighbours
            shown = n.valid[a, j][None] & (tokens >= p.chunk)
            begun = tokens - tokens % p.chunk  # of the chunk in progress
            known = n.rows[a, j, begun : begun + p.chunk]
            rows = rows.at[: known.shape[0]].set(known)
            cross = tuple(
                (n.keys[a, c, j][None], n.values[a, c, j][None]) for c in range(n.keys.shape[1])
            )
        return Cache(pairs, valid[None], jnp.int32(tokens), rows[None], Encoded(cross, shown))

    def warm_up(self) -> None:
        """Compiles all that reading, stepping and drawing need."""
        for name in self._lower:
            self._compile(name)

    def check_block(self, slot: int, block: Block) -> None:
        """Refuses what cannot be read."""
        M, count = self.form.preset.chunk, len(block.tokens)
        if not 0 < count <= M or block.at + count > self.length or not 0 <= slot < self.count:
            raise ValueError(
                f"a block of {count} tokens from {block.at} on in slot {slot} cannot be read; it "
                f"takes 1 to {M} tokens, up to position {self.length - 1}, slots 0 to "
                f"{self.count - 1}"
            )

    def check_steps(self, steps: Sequence[Step]) -> None:
        """Refuses what cannot be stepped."""
        slots = [step.slot for step in steps]
        if len(set(slots)) < len(slots) or not all(0 <= slot < self.count for slot in slots):
            raise ValueError(
                f"slots {slots} cannot be stepped; give each of 0 to {self.count - 1} once"
            )
        if not all(0 <= step.at < self.length for step in steps):
            raise ValueError(f"positions {[s.at for s in steps]} are not all below {self.length}")

    def _encode(self, slot: int, block: Block) -> None:
        r = self.form.preset.retrieval
        assert r is not None and block.shown is not None
        passages = passages_of({0: block.shown}, 1, r.neighbours, r.neighbour_tokens)
        self._memory = self._run(
            "encode", self._held, self._tables, self._memory,
            np.int32(slot), np.int32(block.at), np.int32(block.tokens[0]),
            np.bool_(block.valid[0]), passages.tokens[0, 0], passages.valid[0, 0],
        )  # fmt: skip

    def _remember(self, name: str, *numbers: Any) -> jax.Array:
        """Runs a function that gives logits and a new memory."""
        logits, self._memory = self._run(name, self._held, self._tables, self._memory, *numbers)
        return logits

    def _draw(self, logits: jax.Array, draws: Sequence[Draw]) -> list[Drawn]:
        """From logits [B V] that every device has."""
        B = len(draws)
        mine = logits.addressable_data(0).reshape(B, -1)
        return drawn_of(self._compile(f"draw {B}")(mine, draws_of(draws, B)), B)

    def _run(self, name: str, *arguments: Any) -> Any:
        """Runs a compiled function; what comes from the host is given to every device."""
        everywhere = whole(self.form.mesh)

        def put(argument: Any) -> Any:
            if isinstance(argument, jax.Array):
                return argument
            return jax.make_array_from_callback(
                np.shape(argument), everywhere, lambda index: np.asarray(argument)[index]
            )

        return self._compile(name)(*jax.tree.map(put, arguments))

    def _compile(self, name: str) -> Any:
        if name not in self._compiled:
            self._compiled[name] = self._lower[name]().compile()
        return self._compiled[name]
