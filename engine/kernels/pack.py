"""A model's arrays as the kernels read them: a few long arrays, and where each matrix begins.

Every matrix is quantised, the norms and biases stay float32. Few arrays, because each one costs
a call microseconds. Axes: L layers, C cross-attentions, D width, N heads, H head width, S tokens
a slot holds.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from engine.checkpoint import shapes_of
from engine.kernels.build import NoKernels
from engine.kernels.calls import Packed
from engine.kernels.memory import TILE
from engine.layers import distances
from engine.presets import Preset
from engine.quant import BLOCK, Bits, Blocks
from engine.quantised import blocks_of, by_row, is_matrix

ROWS = 16  # of a tile
LINE = 64  # bytes; each matrix begins on one


def check_shape(p: Preset, length: int) -> None:
    """Raises NoKernels where the kernels are not written for such a shape."""
    r = p.retrieval
    inner = p.heads * p.head_dim
    fits = inner % ROWS == 0 and p.head_dim % 8 == 0 and length % TILE == 0
    if r is not None:
        fits = fits and r.neighbour_tokens % 8 == 0
        fits = fits and r.neighbours * r.neighbour_tokens % TILE == 0
    if not fits:
        raise NoKernels(f"the kernels do not know a shape like that of {p.name!r}")


def pack(
    p: Preset, arrays: Mapping[str, Any], bits: Bits
) -> tuple[dict[str, Any], jax.Array, jax.Array]:
    """A model's arrays [by flat name] -> its weights by flat name, the plan and the floats.

    Matrices become `Packed`; of `arrays` one is asked for at a time.
    """
    shapes = shapes_of(p)
    order = [*planned(p), *(name for name in shapes if is_matrix(name))]
    order = list(dict.fromkeys(order))  # each once, what decoding reads first
    sizes = [_size(by_row(name, shapes[name].shape), bits) for name in order]
    values = _aligned(sum(v for v, _ in sizes), np.uint8)
    scales = _aligned(sum(s for _, s in sizes), np.uint16)
    begins, value_at, scale_at = {}, 0, 0
    for name, (v, s) in zip(order, sizes, strict=True):
        tiles, by = lay_tiles(blocks_of(name, arrays[name], bits))
        values[value_at : value_at + v], scales[scale_at : scale_at + s] = tiles, by
        begins[name] = (value_at, scale_at)
        value_at, scale_at = value_at + v, scale_at + s
    pool, by = jax.device_put(values), jax.device_put(scales)
    weights: dict[str, Any] = {}
    for name, shape in shapes.items():
        if name in begins:
            (N, K), (value_at, scale_at) = by_row(name, shape.shape), begins[name]
            weights[name] = Packed(pool, by, value_at, scale_at, N, K, bits)
        else:
            weights[name] = jnp.asarray(arrays[name], jnp.float32)
    plan = [
        (begins[name][0] // LINE, begins[name][1] // ROWS)
        for name in planned(p)
        if not name.endswith((".k.kernel", ".v.kernel"))
    ]
    floats = np.concatenate([np.ravel(np.asarray(weights[name])) for name in _floats(p)])
    return weights, jnp.asarray(np.array(plan, np.int32)), jnp.asarray(floats)


def planned(p: Preset) -> Iterator[str]:
    """The matrices that decoding reads, in the order of the plan; q, k and v are one there."""
    stem = prefix(p)
    for i in range(p.layers):
        block = f"{stem}blocks.{i}."
        yield from (f"{block}attention.{part}.kernel" for part in "qkvo")
        yield from (f"{block}mlp.{part}.kernel" for part in ("up", "down"))
    for i in range(len(p.retrieval.layers) if p.retrieval else 0):
        yield from (f"cross.{i}.attention.{part}.kernel" for part in "qo")
    yield f"{stem}embedding.table"


def _floats(p: Preset) -> Iterator[str]:
    stem, biases = prefix(p), ("attention.content_bias", "attention.position_bias")
    for i in range(p.layers):
        yield from (f"{stem}blocks.{i}.{part}" for part in ("norm1.scale", "norm2.scale", *biases))
    for i in range(len(p.retrieval.layers) if p.retrieval else 0):
        yield from (f"cross.{i}.{part}" for part in ("norm.scale", *biases))
    yield f"{stem}norm.scale"


def prefix(p: Preset) -> str:
    """Of the decoder's names."""
    return "decoder." if p.retrieval else ""


def _size(shape: tuple[int, int], bits: int) -> tuple[int, int]:
    """Bytes of values and number of scales of a matrix [N K]."""
    tiles, blocks = -(-shape[0] // ROWS), -(-shape[1] // BLOCK)
    return tiles * blocks * ROWS * BLOCK * bits // 8, tiles * blocks * ROWS


def lay_tiles(b: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """A quantised matrix -> values uint8 and scales uint16 in the order of the kernels."""
    N, K = b.values.shape
    full = -(-N // ROWS) * ROWS
    values, scales = np.zeros((full, K), np.int8), np.zeros((full, K // BLOCK), np.float16)
    values[:N], scales[:N] = b.values, b.scales
    tiles = values.reshape(full // ROWS, ROWS, K // BLOCK, 8, 4).transpose(0, 2, 3, 1, 4)
    if b.bits == 4:
        raised = (tiles + 8).astype(np.uint8)
        tiles = raised[:, :, 0::2] | raised[:, :, 1::2] << 4
    by = scales.reshape(full // ROWS, ROWS, -1).transpose(0, 2, 1)
    return np.ravel(tiles).view(np.uint8), np.ravel(by).view(np.uint16)


def _aligned(size: int, dtype: Any) -> np.ndarray:
    """Zeros where JAX can use the memory as it is."""
    width = np.dtype(dtype).itemsize
    space = np.zeros(size * width + LINE, np.uint8)
    start = -space.ctypes.data % LINE
    return space[start : start + size * width].view(dtype)


def places(model: Any, length: int) -> jax.Array:
    """Position keys of a decoder: float16 [L N S/32 H 32], column c at distance S - 1 - c."""
    reach = np.arange(length - 1, -1, -1)
    return jnp.stack([_in_tiles(block.attention.position_keys(reach)) for block in model.blocks])


def cross_places(p: Preset, cross: Any) -> jax.Array:
    """Position keys of the cross-attentions: float16 [C N W H 32]; see `distances`."""
    assert p.retrieval is not None
    reach = distances(p.chunk, p.retrieval.neighbour_tokens, p.chunk - 1)
    return jnp.stack([_in_tiles(c.attention.position_keys(reach)) for c in cross])


def _in_tiles(keys: jax.Array) -> jax.Array:
    """[n N H] -> float16 [N n'/32 H 32], filled up with zeros."""
    n, N, H = keys.shape
    full = jnp.pad(keys, ((0, -n % TILE), (0, 0), (0, 0)))
    return full.reshape(-1, TILE, N, H).transpose(2, 0, 3, 1).astype(jnp.float16)
