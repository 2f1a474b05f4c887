"""A model's arrays by name with its matrices quantised, in memory and on disk.

On disk a matrix [N K] "x" is two arrays: "x.values", int8 [N K'] or two Int4 values a byte
[N K'/2], the first in the low half, and "x.scales", float16 [N K'/32].
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from engine.card import CheckpointError
from engine.quant import BLOCK, Bits, Blocks, Rounded, dequantise, quantise

BITS: dict[str, Bits] = {"int8": 8, "int4": 4}


def is_matrix(name: str) -> bool:
    """Whether the array of that name is quantised; norms and biases are not."""
    return name.endswith((".kernel", "embedding.table"))


def by_row(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """[N K] of a matrix as products read it; kernels are kept as [K N]."""
    return (shape[0], shape[1]) if name.endswith(".table") else (shape[1], shape[0])


def blocks_of(name: str, array: Any, bits: Bits) -> Blocks:
    """A matrix of a model as blocks: quantised now, or as it came from disk."""
    if isinstance(array, Blocks) and array.bits == bits:
        return array
    w = floats_of(name, array)
    return quantise(w if name.endswith(".table") else w.T, bits)


def floats_of(name: str, array: Any) -> np.ndarray:
    """An array of a model as float32, in the shape that the model has it."""
    if not isinstance(array, Blocks):
        return np.asarray(array, np.float32)
    w = dequantise(array)
    return w if name.endswith(".table") else w.T


def round_arrays(arrays: Mapping[str, Any], bits: Bits) -> dict[str, Any]:
    """A model's arrays for machines without kernels: the matrices as `Rounded`."""
    return {
        name: Rounded(jnp.asarray(dequantise(blocks_of(name, array, bits))))
        if is_matrix(name)
        else jnp.asarray(array, jnp.float32)
        for name, array in arrays.items()
    }


def spread(arrays: Mapping[str, Any], bits: Bits) -> dict[str, np.ndarray]:
    """A model's arrays as they are written to disk."""
    written: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if not is_matrix(name):
            written[name] = np.asarray(array, np.float32)
            continue
        blocks = blocks_of(name, array, bits)
        values = blocks.values
        if bits == 4:
            raised = (values + 8).astype(np.uint8)
            values = raised[:, 0::2] | raised[:, 1::2] << 4
        written |= {f"{name}.values": values, f"{name}.scales": blocks.scales}
    return written


def gather(raw: Mapping[str, np.ndarray], shapes: Mapping[str, Any], bits: Bits) -> dict[str, Any]:
    """What `spread` wrote -> arrays by name, the matrices as `Blocks`.

    Arrays that are missing are left out, unknown ones are kept under their name, so that the
    caller can name them all. Raises CheckpointError where a part of a matrix has another shape.
    """
    rest, arrays = dict(raw), {}
    for name in filter(is_matrix, shapes):
        values, scales = rest.pop(f"{name}.values", None), rest.pop(f"{name}.scales", None)
        if values is None or scales is None:
            continue
        N, K = by_row(name, shapes[name].shape)
        blocks = -(-K // BLOCK)
        expected = {"values": (N, blocks * BLOCK * bits // 8), "scales": (N, blocks)}
        for part, array in (("values", values), ("scales", scales)):
            if array.shape != expected[part]:
                raise CheckpointError(
                    f"{name}.{part} has shape {array.shape}, expected {expected[part]}"
                )
        if bits == 4:
            halves = np.stack([values & 15, values >> 4], -1).reshape(N, -1)
            values = halves.astype(np.int8) - np.int8(8)
        arrays[name] = Blocks(values.view(np.int8), scales, K, bits)
    return arrays | rest


def shape_of(name: str, array: Any) -> tuple[int, ...]:
    """The shape that an array, quantised or not, has in a model."""
    if not isinstance(array, Blocks):
        return tuple(array.shape)
    N, K = array.values.shape[0], array.columns
    return (N, K) if name.endswith(".table") else (K, N)
