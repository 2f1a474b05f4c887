"""The decoder's step over stacked layers, for tokens at positions of their own.

Restates `Gopher.step` and `Retro.step` for many slots at once and for a compile time that does not
grow with the depth: like layers are one loop. tests/sharded_serving.py holds it to those.
Axes as in engine/sharded/memory.py, and W distances, P keys.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from engine.layers import MASKED, distances, sinusoids
from engine.presets import Preset
from engine.sharded.memory import Memory, Place, put_narrow, view
from engine.sharded.stacks import Int8
from engine.sharding import DATA, MODEL

Weights = Mapping[str, Any]  # by stacked name


class Tables(NamedTuple):
    """Projected position keys, constant at inference; largest distance first."""

    decoder: Any  # [L S N H], distances S-1 .. 0
    cross: Any  # [C M+R-1 N H], None for a Gopher


class Carried(NamedTuple):
    """What goes from layer to layer."""

    x: jax.Array  # [A J' Q D]
    keys: Any
    values: Any
    stream: Any  # x where the encoder reads it, None for a Gopher


def matmul(x: jax.Array, w: Any) -> jax.Array:
    """x [... I], w [I O] or Int8 -> [... O]"""
    if isinstance(w, Int8):
        return (x @ w.values.astype(x.dtype)) * w.scale.astype(x.dtype)
    return x @ w


def norm(x: jax.Array, scale: jax.Array, eps: float) -> jax.Array:
    wide = x.astype(jnp.float32)
    rms = lax.rsqrt(jnp.mean(jnp.square(wide), -1, keepdims=True) + eps)
    return (wide * rms).astype(x.dtype) * scale


def window(rows: jax.Array, start: jax.Array, size: int) -> jax.Array:
    """rows [A J' Q N W], start [A J' Q] -> `size` of them from each start on [A J' Q N size]

    Those after the last are 0. Moved by powers of two: a gather with so many starts becomes a loop
    on a TPU.
    """
    W = rows.shape[-1]
    rows = jnp.pad(rows, ((0, 0),) * 4 + ((0, max(0, size - W)),))
    for bit in range((W - 1).bit_length()):
        moved = jnp.pad(rows[..., 1 << bit :], ((0, 0),) * 4 + ((0, 1 << bit),))
        rows = jnp.where((start >> bit & 1 == 1)[..., None, None], moved, rows)
    return rows[..., :size]


class Decoder:
    """The functions of one preset on one mesh, to be traced."""

    def __init__(self, p: Preset, mesh: Mesh):
        self.preset, self.mesh, r = p, mesh, p.retrieval
        self.reach = r.neighbour_tokens if r else 0
        # of each layer, its cross-attention or -1; every layer the same code, chosen as it runs
        layers = range(1, p.layers + 1)
        self.crosses = (
            tuple(r.layers.index(i) if i in r.layers else -1 for i in layers) if r else None
        )

    def on(self, x: jax.Array, *axes: str | None) -> jax.Array:
        """x laid out by its first axes, the rest on every device."""
        at = NamedSharding(self.mesh, PartitionSpec(*axes))
        return lax.with_sharding_constraint(x, at)

    def embed(self, weights: Weights, tokens: jax.Array) -> jax.Array:
        """tokens [A ...] -> [A ... D]"""
        return self.on(weights["decoder.embedding.table"][tokens], DATA)

    def read(self, weights: Weights, x: jax.Array) -> jax.Array:
        """The last layer's stream [... D] -> logits float32 [... V]"""
        x = norm(x, weights["decoder.norm.scale"], self.preset.norm_eps)
        return (x @ weights["decoder.embedding.table"].T).astype(jnp.float32)

    def tables(self, weights: Weights, length: int, dtype: Any) -> Tables:
        """Position keys for slots of so many tokens."""
        p, M = self.preset, self.preset.chunk

        def project(name: str, reach: Any) -> jax.Array:
            phi = sinusoids(reach, p.width).astype(dtype)

            def one(kernel: Any) -> jax.Array:
                rows = matmul(phi, kernel)
                return self.on(rows.reshape(-1, p.heads, p.head_dim), None, MODEL)

            return lax.map(one, weights[name])

        decoder = project("decoder.blocks.attention.r.kernel", jnp.arange(length - 1, -1, -1))
        if self.crosses is None:
            return Tables(decoder, None)
        reach = distances(M, self.reach, M - 1)
        return Tables(decoder, project("cross.attention.r.kernel", reach))

    def forward(
        self, weights: Weights, tables: Tables, memory: Memory, tokens: jax.Array, place: Place
    ) -> tuple[jax.Array, Memory, jax.Array | None]:
        """tokens [A J' Q] at a place -> the last layer's stream [A J' Q D], the memory with their
        keys and values, and the stream [A J' Q D] where a RETRO's encoder reads it.

        `memory.valid` says already which of the tokens are real.
        """
        step = Layers(self, weights, tables, memory, place)

        def layer(state: Carried, i: jax.Array) -> tuple[Carried, None]:
            state = step.attend(state, i)
            if self.crosses is not None:
                c = jnp.asarray(self.crosses)[i]
                stream = jnp.where(c == 0, state.x, state.stream)
                add = lax.cond(c >= 0, step.cross, lambda x, c: jnp.zeros_like(x), state.x, c)
                state = state._replace(x=state.x + add, stream=stream)
            return step.feed(state, i), None

        state, _ = lax.scan(layer, self.start(weights, memory, tokens), step.numbers)
        return state.x, memory._replace(keys=state.keys, values=state.values), state.stream

    def until_encoder(
        self, weights: Weights, tables: Tables, memory: Memory, tokens: jax.Array, place: Place
    ) -> tuple[jax.Array, Memory]:
        """The same as far as the encoder reads the stream, and no further."""
        assert self.crosses is not None
        step, first = Layers(self, weights, tables, memory, place), self.crosses.index(0)

        def layer(state: Carried, i: jax.Array) -> tuple[Carried, None]:
            return step.feed(step.attend(state, i), i), None

        state, _ = lax.scan(layer, self.start(weights, memory, tokens), step.numbers[:first])
        state = step.attend(state, jnp.int32(first))
        return state.x, memory._replace(keys=state.keys, values=state.values)

    def start(self, weights: Weights, memory: Memory, tokens: jax.Array) -> Carried:
        """What the first layer is given."""
        x = self.embed(weights, tokens)
        stream = None if self.crosses is None else jnp.zeros_like(x)
        return Carried(x, memory.keys, memory.values, stream)


class Layers:
    """The parts of any layer, for tokens at one place."""

    def __init__(
        self, decoder: Decoder, weights: Weights, tables: Tables, memory: Memory, place: Place
    ):
        self.decoder, self.preset, self.place = decoder, decoder.preset, place
        self.weights, self.tables, self.memory = weights, tables, memory
        S, J = memory.valid.shape[-1], place.at.shape[1]
        valid = lax.dynamic_slice_in_dim(memory.valid, place.first, J, axis=1)
        self.seen = valid[:, :, None] & (jnp.arange(S) <= place.at[..., None])  # [A J' Q S]
        self.length = S
        self.numbers = jnp.arange(decoder.preset.layers)

    def take(self, prefix: str, i: jax.Array) -> Callable[[str], Any]:
        """The arrays of one layer by what follows the prefix in their names."""

        def get(name: str) -> Any:
            stacked = self.weights[f"{prefix}.{name}"]
            return jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, i, 0, False), stacked)

        return get

    def split(self, x: jax.Array) -> jax.Array:
        """[A J' Q N*H] -> [A J' Q N H], heads divided over "model" """
        p = self.preset
        x = x.reshape(*x.shape[:-1], p.heads, p.head_dim)
        return self.decoder.on(x, DATA, None, None, MODEL)

    def attend(self, state: Carried, i: jax.Array) -> Carried:
        """Self-attention of layer i; keys and values are written first, and read with the rest."""
        w, p, S = self.take("decoder.blocks", i), self.preset, self.length
        y = norm(state.x, w("norm1.scale"), p.norm_eps)
        k, v = (self.split(matmul(y, w(f"attention.{n}.kernel"))) for n in "kv")
        keys = put_narrow(state.keys, k, self.place, i)
        values = put_narrow(state.values, v, self.place, i)
        table = lax.dynamic_index_in_dim(self.tables.decoder, i, 0, False)
        start = jnp.clip(S - 1 - self.place.at, 0, S - 1)
        attention = Attention(self, lambda name: w(f"attention.{name}"))
        add = attention(
            y, view(keys, self.place, i), view(values, self.place, i), self.seen, table, start
        )
        return Carried(state.x + add, keys, values, state.stream)

    def feed(self, state: Carried, i: jax.Array) -> Carried:
        """The MLP of layer i."""
        w = self.take("decoder.blocks", i)
        y = norm(state.x, w("norm2.scale"), self.preset.norm_eps)
        inside = jax.nn.gelu(matmul(y, w("mlp.up.kernel")))
        inside = self.decoder.on(inside, DATA, None, None, MODEL)
        add = self.decoder.on(matmul(inside, w("mlp.down.kernel")), DATA)
        return state._replace(x=state.x + add)

    def cross(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """What cross-attention c adds to x: from the last complete chunk's neighbours, if any."""
        held, M, R = self.memory.neighbours, self.preset.chunk, self.decoder.reach
        assert held is not None
        at, J = self.place.at, self.place.at.shape[1]
        w = self.take("cross", c)
        valid = lax.dynamic_slice_in_dim(held.valid, self.place.first, J, axis=1)
        seen = valid[:, :, None] & (at >= M - 1)[..., None]  # [A J' Q K*R]
        table = lax.dynamic_index_in_dim(self.tables.cross, c, 0, False)
        start = M - 1 - (at + 1) % M
        attention = Attention(self, lambda name: w(f"attention.{name}"))
        return attention(
            norm(x, w("norm.scale"), self.preset.norm_eps),
            view(held.keys, self.place, c), view(held.values, self.place, c),
            seen, table, start, repeats=seen.shape[-1] // R,
        )  # fmt: skip


class Attention:
    """`RelativeAttention` where every query has a position of its own."""

    def __init__(self, layers: Layers, get: Callable[[str], Any]):
        self.layers, self.get = layers, get

    def __call__(
        self, x: jax.Array, k: Any, v: Any, seen: jax.Array, table: jax.Array,
        start: jax.Array, repeats: int = 1,
    ) -> jax.Array:  # fmt: skip
        """What x [A J' Q D] reads from v [A J' P N H] -> [A J' Q D]

        Query q's distances to P / repeats keys are those of table [W N H] from start [A J' Q] on;
        what the table lacks must be masked by seen [A J' Q P].
        """
        layers, get = self.layers, self.get
        P = seen.shape[-1] // repeats
        q = layers.split(matmul(x, get("q.kernel")))
        known = k.values.astype(q.dtype) if isinstance(k, Int8) else k
        content = jnp.einsum("AJQNH,AJPNH->AJNQP", q + get("content_bias"), known)
        if isinstance(k, Int8):
            content = content * jnp.moveaxis(k.scale, -1, 2)[:, :, :, None].astype(q.dtype)
        rows = jnp.einsum("AJQNH,WNH->AJQNW", q + get("position_bias"), table)
        position = jnp.moveaxis(window(rows, start, P), 3, 2)  # [A J' N Q P]
        position = jnp.concatenate([position] * repeats, -1)
        scores = (content + position).astype(jnp.float32) * layers.preset.head_dim**-0.5
        shown = seen[:, :, None]
        weights = jax.nn.softmax(jnp.where(shown, scores, MASKED), axis=-1)
        weights = jnp.where(shown.any(-1, keepdims=True), weights, 0.0)
        if isinstance(v, Int8):
            weights = weights * jnp.moveaxis(v.scale, -1, 2)[:, :, :, None]
        read = v.values if isinstance(v, Int8) else v
        y = jnp.einsum("AJNQP,AJPNH->AJQNH", weights.astype(q.dtype), read.astype(q.dtype))
        y = layers.decoder.on(y, DATA, None, None, MODEL)
        add = matmul(y.reshape(*y.shape[:-2], -1), get("o.kernel"))
        return layers.decoder.on(add, DATA)
