"""Weights as small integers in blocks of 32 with a scale each, and the products that know them.

A matrix [N K] is read along K. Int8 blocks hold -127 to 127, Int4 blocks -8 to 7. A product
rounds its other side to 8 bits by the same blocks, so that what is added up within a block are
whole numbers; both forms a matrix can take in a model give the same result up to the order of
float32 sums.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np

BLOCK = 32
Bits = Literal[4, 8]
_ROWS = 1024  # quantised at once, so that memory is not taken for all
_TRIALS = np.linspace(0.85, 1.1, 11, dtype=np.float32)  # scales that an Int4 block tries


@dataclass(frozen=True)
class Blocks:
    """A quantised matrix on the host; K is filled up with zeros to whole blocks."""

    values: np.ndarray  # int8 [N K']
    scales: np.ndarray  # float16 [N K'/32]
    columns: int  # K
    bits: Bits


def quantise(w: np.ndarray, bits: Bits) -> Blocks:
    """w float [N K] -> blocks; a value is off by at most half its block's scale.

    (At 4 bits, by one scale where the largest value has the sign that only reaches 7.)
    """
    parts = [_quantise(w[i : i + _ROWS], bits) for i in range(0, len(w), _ROWS)]
    values, scales = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Blocks(values, scales, w.shape[1], bits)


def _quantise(w: np.ndarray, bits: Bits) -> tuple[np.ndarray, np.ndarray]:
    """Some rows: values [N K'] and scales [N K'/32]"""
    N, K = w.shape
    blocks = np.zeros((N, -(-K // BLOCK) * BLOCK), np.float32)
    blocks[:, :K] = w
    blocks = blocks.reshape(N, -1, BLOCK)
    if bits == 8:
        values, scales = _round(blocks, np.abs(blocks).max(-1) / 127, -127, 127)
    else:
        at = np.abs(blocks).argmax(-1)[..., None]
        extreme = np.take_along_axis(blocks, at, -1)[..., 0] / -8
        values, scales = _round(blocks, extreme, -8, 7)
        least = _error(blocks, values, scales)
        for trial in _TRIALS:
            tried, by = _round(blocks, extreme * trial, -8, 7)
            error = _error(blocks, tried, by)
            better = error < least
            values[better], scales[better] = tried[better], by[better]
            least = np.minimum(error, least)
    return values.reshape(N, -1), scales


def _round(
    blocks: np.ndarray, scales: np.ndarray, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    scales = scales.astype(np.float16)
    wide = scales.astype(np.float32)
    inverse = np.divide(1, wide, out=np.zeros_like(wide), where=wide != 0)
    values = np.clip(np.rint(blocks * inverse[..., None]), low, high).astype(np.int8)
    return values, scales


def _error(blocks: np.ndarray, values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The squared error of each block."""
    back = values * scales.astype(np.float32)[..., None]
    return np.square(blocks - back).sum(-1)


def dequantise(b: Blocks) -> np.ndarray:
    """float32 [N K]"""
    N = b.values.shape[0]
    wide = b.values.reshape(N, -1, BLOCK) * b.scales.astype(np.float32)[..., None]
    return wide.reshape(N, -1)[:, : b.columns]


class Matrix(Protocol):
    """A quantised matrix [N K] in a model: a pytree in the place of an array."""

    def multiply(self, x: jax.Array) -> jax.Array:
        """x [... K] -> [... N]"""
        ...

    def look_up(self, rows: jax.Array) -> jax.Array:
        """rows [...] -> [... K]"""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rounded:
    """A quantised matrix as floats, for machines without the kernels."""

    kernel: jax.Array  # [N K]

    def multiply(self, x: jax.Array) -> jax.Array:
        return round_blocks(x) @ self.kernel.T

    def look_up(self, rows: jax.Array) -> jax.Array:
        return self.kernel[rows]


def multiply(x: jax.Array, kernel: jax.Array | Matrix) -> jax.Array:
    """x [... K] by an array [K N] or a quantised matrix [N K] -> [... N]"""
    return x @ kernel if isinstance(kernel, jax.Array | np.ndarray) else kernel.multiply(x)


def read_out(x: jax.Array, table: jax.Array | Matrix) -> jax.Array:
    """x [... K] by a table [N K] -> [... N]"""
    return x @ table.T if isinstance(table, jax.Array | np.ndarray) else table.multiply(x)


def look_up(table: jax.Array | Matrix, rows: jax.Array) -> jax.Array:
    """Rows of a table [N K]: rows [...] -> [... K]"""
    return table[rows] if isinstance(table, jax.Array | np.ndarray) else table.look_up(rows)


def round_blocks(x: jax.Array) -> jax.Array:
    """x [... K] rounded to 8 bits by blocks, as floats: what the kernels multiply with."""
    K = x.shape[-1]
    filled = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -K % BLOCK)])
    blocks = filled.reshape(*x.shape[:-1], -1, BLOCK)
    largest = jnp.abs(blocks).max(-1, keepdims=True)
    inverse = jnp.where(largest > 0, 127 / largest, 0)
    back = jnp.round(blocks * inverse) * (largest / 127)
    return back.reshape(filled.shape)[..., :K]
