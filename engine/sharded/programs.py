"""The compiled functions of a served model: read, encode, step and draw, laid out over a mesh.

They are lowered and compiled from shapes alone, before weights exist, so that the same programs
run here and are tried on the compiler of hardware that is not here (engine/sharded/topology.py).
Axes as in engine/sharded/memory.py; B = A*J slots, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, SingleDeviceSharding

from engine.checkpoint import nest
from engine.encoder import NeighbourEncoder
from engine.presets import Preset
from engine.sampling import Draw, sample
from engine.sharded.memory import Memory, Neighbours, Place, memory_shapes
from engine.sharded.model import Decoder, Tables, Weights
from engine.sharded.stacks import Int8, stacked_shapes
from engine.sharding import DATA, stack_sharding, whole


@dataclass(frozen=True)
class Form:
    """What programs are compiled for: a preset, a mesh, and how weights and memory are kept."""

    preset: Preset
    mesh: Mesh
    slots: int
    length: int
    dtype: Any = jnp.float32
    narrow_weights: bool = False  # kernels as int8 with a scale for every output
    narrow_memory: bool = False  # keys and values as int8 with a scale for every token and head

    @property
    def groups(self) -> int:
        return self.mesh.shape[DATA]

    @property
    def device(self) -> Any:
        """One that this host has, or the first where it has none."""
        local = self.mesh.local_devices
        return local[0] if local else self.mesh.devices.flat[0]

    @property
    def blocks(self) -> tuple[int, ...]:
        """Tokens that are read at once; what is shorter is filled up."""
        return (1, self.preset.chunk)

    @cached_property
    def weights(self) -> Weights:
        return stacked_shapes(self.preset, self.mesh, self.dtype, self.narrow_weights)

    @cached_property
    def memory(self) -> Memory:
        return memory_shapes(
            self.preset, self.mesh, self.slots, self.length, self.dtype, self.narrow_memory
        )

    @cached_property
    def tables(self) -> Tables:
        p = self.preset

        def table(count: int, reach: int) -> Any:
            shape = (count, reach, p.heads, p.head_dim)
            at = stack_sharding(self.mesh, "position_keys", shape)
            return jax.ShapeDtypeStruct(shape, self.dtype, sharding=at)

        cross = None
        if p.retrieval:
            cross = table(len(p.retrieval.layers), p.chunk + p.retrieval.neighbour_tokens - 1)
        return Tables(table(p.layers, self.length), cross)

    def number(self, *shape: int, of: Any = jnp.int32) -> Any:
        """A small argument, on all devices."""
        return jax.ShapeDtypeStruct(shape, of, sharding=whole(self.mesh))


class Programs:
    """Lowers the functions of one form; each `lower_` gives what `.compile()` compiles."""

    def __init__(self, form: Form):
        self.form = form
        self.decoder = Decoder(form.preset, form.mesh)
        self._all = whole(form.mesh)

    def by_name(self) -> dict[str, Callable[[], Any]]:
        """All that a model of this form is served with."""
        B = self.form.slots
        found: dict[str, Callable[[], Any]] = {"tables": self.lower_tables, "step": self.lower_step}
        found |= {f"read {Q}": partial(self.lower_read, Q) for Q in self.form.blocks}
        found |= {f"draw {count}": partial(self.lower_draw, count) for count in (1, B)}
        if self.form.preset.retrieval is not None:
            found["encode"] = self.lower_encode
        return found

    def _places(self, shapes: Any) -> Any:
        return jax.tree.map(lambda s: s.sharding, shapes)

    def lower_tables(self) -> Any:
        """(weights) -> tables"""
        form = self.form

        def tables(weights: Weights) -> Tables:
            return self.decoder.tables(weights, form.length, form.dtype)

        made = jax.jit(tables, out_shardings=self._places(form.tables))
        return made.lower(form.weights)

    def lower_step(self) -> Any:
        """(weights, tables, memory, tokens [B], at [B]) -> logits [B V], memory.

        A slot with a negative position rests. The memory is donated, here and below.
        """
        form, (A, J, S) = self.form, self.form.memory.valid.shape

        def step(
            weights: Weights, tables: Tables, memory: Memory, tokens: jax.Array, at: jax.Array
        ) -> tuple[jax.Array, Memory]:
            at = self.decoder.on(at.reshape(A, J, 1), DATA)
            place = Place(jnp.int32(0), jnp.maximum(at, 0), jnp.where(at < 0, S, at))
            memory = mark(memory, place, jnp.ones(at.shape, bool))
            x, memory, stream = self.decoder.forward(
                weights, tables, memory, tokens.reshape(A, J, 1), place
            )
            memory = keep_rows(memory, place, stream)
            return self.decoder.read(weights, x).reshape(form.slots, -1), memory

        numbers = (form.number(form.slots), form.number(form.slots))
        return self._lower(step, numbers)

    def lower_read(self, Q: int) -> Any:
        """(weights, tables, memory, slot [], at [], tokens [Q], valid [Q], count []) -> logits [V]
        after the last of the first `count` tokens, memory."""
        form = self.form

        def read(
            weights: Weights, tables: Tables, memory: Memory, slot: jax.Array, at: jax.Array,
            tokens: jax.Array, valid: jax.Array, count: jax.Array,
        ) -> tuple[jax.Array, Memory]:  # fmt: skip
            place = self._one(slot, at, jnp.arange(Q), count)
            memory = mark(memory, place, jnp.broadcast_to(valid, place.at.shape))
            line = jnp.broadcast_to(tokens, place.at.shape)
            x, memory, stream = self.decoder.forward(weights, tables, memory, line, place)
            memory = keep_rows(memory, place, stream)
            last = jax.lax.dynamic_index_in_dim(x[:, 0], count - 1, axis=1, keepdims=False)
            mine = jnp.arange(form.groups) == slot // self._per_group
            last = jnp.where(mine[:, None], last, 0).sum(0)  # [D], of the group that has the slot
            return self.decoder.read(weights, last), memory

        block = (form.number(Q), form.number(Q, of=jnp.bool_), form.number())
        return self._lower(read, (form.number(), form.number(), *block))

    def lower_encode(self) -> Any:
        """(weights, tables, memory, slot [], at [], token [], valid [], passages [K R], shown
        [K R]) -> memory with the encoded neighbours of the chunk that the token at `at` completes.

        The token is fed as far as the encoder reads the stream, and again by the read after it.
        """
        form, p = self.form, self.form.preset
        r, M = p.retrieval, p.chunk
        assert r is not None

        def encode(
            weights: Weights, tables: Tables, memory: Memory, slot: jax.Array, at: jax.Array,
            token: jax.Array, valid: jax.Array, passages: jax.Array, shown: jax.Array,
        ) -> Memory:  # fmt: skip
            place = self._one(slot, at, jnp.arange(1), jnp.int32(1))
            memory = mark(memory, place, jnp.broadcast_to(valid, place.at.shape))
            line = jnp.broadcast_to(token, place.at.shape)
            x, memory = self.decoder.until_encoder(weights, tables, memory, line, place)
            memory = keep_rows(memory, place, x)
            held = memory.neighbours
            assert held is not None
            A, j = form.groups, place.first
            start = (0, j, at + 1 - M)
            rows = jax.lax.dynamic_slice(held.rows, (*start, 0), (A, 1, M, p.width))
            rows = self.decoder.on(rows, DATA)
            marks = jax.lax.dynamic_slice(memory.valid, start, (A, 1, M))
            table = weights.get("encoder.embedding.table", weights["decoder.embedding.table"])
            e = jnp.broadcast_to(table[passages], (A, 1, *passages.shape, r.width))
            e = self.decoder.on(e, DATA)
            seen = jnp.broadcast_to(shown, (A, 1, *shown.shape))
            encoded = encoder_of(p, weights)(e, seen, rows, marks)
            encoded = encoded.reshape(A, -1, r.width)  # [A K*R D']
            kernels = [weights[f"cross.attention.{name}.kernel"] for name in "kv"]
            k, v = (project(encoded, kernel, p) for kernel in kernels)
            mine = jnp.arange(A) == slot // self._per_group
            row = jnp.where(mine, j, self._per_group)  # beyond the slots in the other groups
            held = Neighbours(
                held.rows,
                jax.vmap(lambda a, new, row: a.at[:, row].set(new, mode="drop"))(held.keys, k, row),
                jax.vmap(lambda a, new, row: a.at[:, row].set(new, mode="drop"))(
                    held.values, v, row
                ),
                jax.vmap(lambda a, row: a.at[row].set(shown.reshape(-1), mode="drop"))(
                    held.valid, row
                ),
            )
            return memory._replace(neighbours=held)

        reach = (r.neighbours, r.neighbour_tokens)
        numbers = (
            form.number(), form.number(), form.number(), form.number(of=jnp.bool_),
            form.number(*reach), form.number(*reach, of=jnp.bool_),
        )  # fmt: skip
        return self._lower(encode, numbers, logits=False)

    def lower_draw(self, count: int) -> Any:
        """(logits [count V], draw) -> Choice, on one device: every device has all the logits."""
        device = self.form.device

        def number(of: Any, *shape: int) -> Any:
            at = SingleDeviceSharding(device)
            return jax.ShapeDtypeStruct((count, *shape), of, sharding=at)

        draw = Draw(
            number(jnp.float32), number(jnp.int32), number(jnp.float32), number(jnp.uint32),
            number(jnp.int32),
        )  # fmt: skip
        return jax.jit(sample).lower(number(jnp.float32, self.form.preset.vocab), draw)

    @property
    def _per_group(self) -> int:
        return self.form.slots // self.form.groups

    def _one(self, slot: jax.Array, at: jax.Array, offsets: jax.Array, count: jax.Array) -> Place:
        """The place of tokens of one slot. Every group computes, for its slot of the same number;
        only the group whose slot is meant remembers it."""
        A, J, S = self.form.memory.valid.shape
        positions = jnp.broadcast_to(at + offsets, (A, 1, offsets.shape[0]))
        mine = (jnp.arange(A) == slot // J)[:, None, None] & (offsets < count)
        written = jnp.where(mine, positions, S)
        on = self.decoder.on
        return Place(slot % J, on(jnp.minimum(positions, S - 1), DATA), on(written, DATA))

    def _lower(self, function: Callable[..., Any], numbers: Any, logits: bool = True) -> Any:
        places = self._places(self.form.memory)
        out = (self._all, places) if logits else places
        made = jax.jit(function, donate_argnames="memory", out_shardings=out)
        form = self.form
        return made.lower(form.weights, form.tables, form.memory, *numbers)


def mark(memory: Memory, place: Place, valid: jax.Array) -> Memory:
    """The memory with the tokens at a place marked as real or padding [A J' Q]."""
    slots = place.first + jnp.arange(valid.shape[1])[:, None]

    def one(held: jax.Array, new: jax.Array, at: jax.Array) -> jax.Array:
        return held.at[slots, at].set(new, mode="drop")

    return memory._replace(valid=jax.vmap(one)(memory.valid, valid, place.written))


def keep_rows(memory: Memory, place: Place, stream: jax.Array | None) -> Memory:
    """The memory with the stream [A J' Q D] among the rows that the encoder reads."""
    held = memory.neighbours
    if held is None or stream is None:
        return memory
    slots = place.first + jnp.arange(stream.shape[1])[:, None]

    def one(rows: jax.Array, new: jax.Array, at: jax.Array) -> jax.Array:
        return rows.at[slots, at].set(new.astype(rows.dtype), mode="drop")

    rows = jax.vmap(one)(held.rows, stream, place.written)
    return memory._replace(neighbours=held._replace(rows=rows))


def encoder_of(p: Preset, weights: Weights) -> NeighbourEncoder:
    """The neighbour encoder as it is defined, with the weights that are not stacked."""
    r = p.retrieval
    assert r is not None
    abstract = nnx.eval_shape(lambda: NeighbourEncoder(p, r, rngs=nnx.Rngs(0)))
    graph = nnx.split(abstract, nnx.Param)[0]
    prefix = "encoder."
    arrays = {n.removeprefix(prefix): a for n, a in weights.items() if n.startswith(prefix)}
    return nnx.merge(graph, nest(arrays))


def project(encoded: jax.Array, kernel: Any, p: Preset) -> jax.Array:
    """Encoded neighbours [A P D'] through kernels [C D' N*H] -> [A C P N H]"""
    if isinstance(kernel, Int8):
        y = jnp.einsum("APD,CDF->ACPF", encoded, kernel.values.astype(encoded.dtype))
        y = y * kernel.scale[:, None].astype(y.dtype)
    else:
        y = jnp.einsum("APD,CDF->ACPF", encoded, kernel)
    return y.reshape(*y.shape[:-1], p.heads, p.head_dim)


def slot_bytes(form: Form) -> int:
    """What one slot remembers, in bytes over all devices."""
    size = sum(s.size * s.dtype.itemsize for s in jax.tree.leaves(form.memory))
    return size // form.slots
