"""Chooses how a model is computed in this process: in which numbers, with or without kernels."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from engine.checkpoint import shapes_of
from engine.decode import PlainSlots
from engine.kernels.build import NoKernels
from engine.kernels.pack import is_matrix
from engine.presets import Preset
from engine.quant import Bits, Rounded, dequantise, quantise
from engine.slots import Slots

Numbers = Literal["float32", "int8", "int4"]
_BITS: dict[str, Bits] = {"int8": 8, "int4": 4}


class SlowNumbers(UserWarning):
    """Quantised weights are computed with as floats; the message says why."""


def open_slots(
    p: Preset, arrays: Mapping[str, Any], numbers: Numbers = "int8", count: int = 8
) -> Slots:
    """A model's arrays by flat name -> slots for `count` sequences.

    Quantised weights run on the C++ kernels; where those cannot be used they are rounded alike
    and computed with as floats, and a SlowNumbers warning says why.
    """
    bits = _BITS.get(numbers)
    if bits is None:
        return PlainSlots(p, {k: jnp.asarray(arrays[k], jnp.float32) for k in shapes_of(p)}, count)
    try:
        from engine.kernels.slots import KernelSlots

        return KernelSlots(p, arrays, bits, count)
    except NoKernels as problem:
        warnings.warn(SlowNumbers(f"replies will be slower: {problem}"), stacklevel=2)
    return PlainSlots(p, round_arrays(p, arrays, bits), count)


def round_arrays(p: Preset, arrays: Mapping[str, Any], bits: Bits) -> dict[str, Any]:
    """A model's arrays by flat name, the matrices as `Rounded`."""
    rounded: dict[str, Any] = {}
    for name in shapes_of(p):
        if is_matrix(name):
            w = np.asarray(arrays[name], np.float32)
            blocks = quantise(w if name.endswith(".table") else w.T, bits)
            rounded[name] = Rounded(jnp.asarray(dequantise(blocks)))
        else:
            rounded[name] = jnp.asarray(arrays[name], jnp.float32)
    return rounded
