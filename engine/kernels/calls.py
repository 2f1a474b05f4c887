"""The kernels as functions of JAX arrays."""

import ctypes
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from engine.kernels.build import NoKernels, build
from engine.kernels.memory import Constants, Memory
from engine.presets import Preset
from engine.sampling import LIKELIEST, Ranked

_STATIC = {"static": True}  # of fields that are a part of the type where functions are compiled
HANDLERS = ("product", "look_up", "rank", "decode")


@cache
def variant() -> str:
    """Builds the library if need be, opens it and registers the fastest variant it has for this
    processor, whose name is returned. Raises NoKernels."""
    try:
        library = ctypes.CDLL(str(build(Path(jax.ffi.include_dir()))))
        ask = library.retroscope_variant
        ask.restype = ctypes.c_char_p
        name = ask().decode()
        register(library, name)
    except (OSError, AttributeError) as error:
        raise NoKernels(f"the kernel library cannot be opened ({error}); delete it") from None
    return name


def register(library: ctypes.CDLL, name: str) -> None:
    """Makes the handlers of one variant known to XLA, in place of those before."""
    for handler in HANDLERS:
        capsule = jax.ffi.pycapsule(getattr(library, f"{handler}_{name}"))
        jax.ffi.register_ffi_target(f"retroscope_{handler}_{name}", capsule, platform="cpu")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Packed:
    """A quantised matrix [N K] as the kernels read it: a part of two arrays shared by many.

    It begins at byte `value_at` of `values` (uint8) and at number `scale_at` of `scales` (uint16,
    the bits of float16); engine/kernels/product.h describes the tiles.
    """

    values: jax.Array
    scales: jax.Array
    value_at: int = field(metadata=_STATIC)
    scale_at: int = field(metadata=_STATIC)
    rows: int = field(metadata=_STATIC)
    columns: int = field(metadata=_STATIC)
    bits: int = field(metadata=_STATIC)

    def multiply(self, x: jax.Array) -> jax.Array:
        """See `engine.quant.Matrix`; x is rounded to 8 bits by blocks."""
        shape = jax.ShapeDtypeStruct((*x.shape[:-1], self.rows), jnp.float32)
        call = jax.ffi.ffi_call(f"retroscope_product_{variant()}", shape)
        return call(x, self.values, self.scales, **self._place())

    def look_up(self, rows: jax.Array) -> jax.Array:
        """See `engine.quant.Matrix`."""
        shape = jax.ShapeDtypeStruct((*rows.shape, self.columns), jnp.float32)
        call = jax.ffi.ffi_call(f"retroscope_look_up_{variant()}", shape)
        ids, most = jnp.asarray(rows, jnp.int32), np.int64(self.rows)
        return call(ids, self.values, self.scales, **self._place(), rows=most)

    def _place(self) -> dict[str, np.int64]:
        return {
            "value_at": np.int64(self.value_at),
            "scale_at": np.int64(self.scale_at),
            "bits": np.int64(self.bits),
        }


def rank(logits: jax.Array, temperature: ArrayLike, count: ArrayLike) -> Ranked:
    """The likeliest tokens of the first `count` rows of logits [B V]; the rest is undefined."""
    B, V = logits.shape
    K = min(LIKELIEST, V)
    results = (
        jax.ShapeDtypeStruct((B, K), jnp.float32),
        jax.ShapeDtypeStruct((B, K), jnp.int32),
        jax.ShapeDtypeStruct((B, 3), jnp.float32),
    )
    call = jax.ffi.ffi_call(f"retroscope_rank_{variant()}", results)
    values, ids, sums = call(logits, jnp.asarray(temperature), jnp.asarray(count).reshape(1))
    return Ranked(values, ids, sums[:, 0], sums[:, 1], sums[:, 2])


def decode(
    p: Preset, bits: int, constants: Constants, memory: Memory, rows: jax.Array, count: jax.Array,
    stages: tuple[int, int], *, outputs: int, x: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, Memory]:  # fmt: skip
    """Some stages of the decoder for the first `count` rows: stage 2 l is the self-attention of
    layer l, 2 l + 1 the rest of it.

    rows int32 [R 4]: token, slot, position, whether it is valid. `x` [R D] is the stream where the
    first stage is not 0. -> the stream, logits of the last `outputs` rows [outputs V], the memory.
    """
    r = p.retrieval
    if x is None:
        x = jnp.zeros((rows.shape[0], p.width), jnp.float32)
    _, B, _, _, _, _ = memory.keys.shape
    shape = (
        p.layers, p.width, p.heads, p.head_dim, p.ffw, p.vocab, p.chunk, B, memory.mask.shape[1],
        r.neighbours if r else 0, r.neighbour_tokens if r else 0, bits,
    )  # fmt: skip
    changed = (memory.keys, memory.values, memory.mask, memory.stream)
    results = (
        jax.ShapeDtypeStruct(x.shape, x.dtype),
        jax.ShapeDtypeStruct((outputs, p.vocab), jnp.float32),
        *(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in changed),
    )
    call = jax.ffi.ffi_call(
        f"retroscope_decode_{variant()}", results,
        input_output_aliases={2: 0, **{12 + i: 2 + i for i in range(4)}},
    )  # fmt: skip
    out, logits, keys, values, mask, stream = call(
        rows, count.reshape(1), x, *constants, memory.cross_keys, memory.cross_values,
        memory.cross_mask, *changed, shape=np.array(shape, np.int64),
        cross_layers=np.array([i - 1 for i in r.layers] if r else [], np.int64),
        eps=np.float32(p.norm_eps), first=np.int64(stages[0]), last=np.int64(stages[1]),
    )  # fmt: skip
    kept = memory._replace(keys=keys, values=values, mask=mask, stream=stream)
    return out, logits, kept
