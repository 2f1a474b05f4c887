"""Chooses how a model is computed in this process: in which numbers, with or without kernels."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp

from engine.checkpoint import shapes_of
from engine.decode import PlainSlots
from engine.kernels.build import NoKernels
from engine.presets import Preset
from engine.quantised import BITS, floats_of, round_arrays
from engine.slots import Slots

Numbers = Literal["float32", "int8", "int4"]


class SlowNumbers(UserWarning):
    """Quantised weights are computed with as floats; the message says why."""


def open_slots(
    p: Preset, arrays: Mapping[str, Any], numbers: Numbers = "int8", count: int = 8
) -> Slots:
    """A model's arrays by flat name -> slots for `count` sequences.

    Quantised weights run on the C++ kernels; where those cannot be used they are rounded alike
    and computed with as floats, and a SlowNumbers warning says why.
    """
    bits = BITS.get(numbers)
    if bits is None:
        return PlainSlots(p, {k: jnp.asarray(floats_of(k, arrays[k])) for k in shapes_of(p)}, count)
    try:
        from engine.kernels.slots import KernelSlots

        return KernelSlots(p, arrays, bits, count)
    except NoKernels as problem:
        warnings.warn(SlowNumbers(f"replies will be slower: {problem}"), stacklevel=2)
    return PlainSlots(p, round_arrays({k: arrays[k] for k in shapes_of(p)}, bits), count)
