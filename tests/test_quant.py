"""Quantised weights: how far they are off, and that both of their forms multiply alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.quant import BLOCK, Bits, Rounded, dequantise, multiply, quantise, round_blocks

matrices = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 70)),
    elements=st.floats(-8, 8, width=32).map(lambda v: float(np.float32(v))),
)


def scales_of(w: np.ndarray, bits: Bits) -> np.ndarray:
    """The scale of every value: [N K]"""
    blocks = quantise(w, bits)
    return np.repeat(np.abs(blocks.scales.astype(np.float32)), BLOCK, axis=1)[:, : w.shape[1]]


@given(matrices)
def test_an_int8_value_is_off_by_half_a_step(w: np.ndarray):
    error = np.abs(dequantise(quantise(w, 8)) - w)
    # a float16 scale is off by a 2048th (a subnormal one by more), and so is what it scales
    assert (error <= 0.5 * scales_of(w, 8) + np.abs(w) / 1024 + 127 * 2.0**-24).all()


@given(matrices)
def test_an_int4_block_is_not_worse_than_rounding_to_its_extreme(w: np.ndarray):
    blocks = np.zeros((w.shape[0], -(-w.shape[1] // BLOCK) * BLOCK), np.float32)
    blocks[:, : w.shape[1]] = w
    blocks = blocks.reshape(len(w), -1, BLOCK)
    at = np.abs(blocks).argmax(-1)[..., None]
    scale = (np.take_along_axis(blocks, at, -1) / -8).astype(np.float16).astype(np.float32)
    steps = np.divide(blocks, scale, out=np.zeros_like(blocks), where=scale != 0)
    plain = np.square(np.clip(np.rint(steps), -8, 7) * scale - blocks).sum()
    error = np.square(dequantise(quantise(w, 4)) - w).sum()
    assert error <= plain * 1.0001 + 1e-6


@pytest.mark.parametrize("bits", [4, 8])
def test_more_bits_and_smaller_blocks_of_noise_are_closer(bits: Bits):
    w = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    error = np.square(dequantise(quantise(w, bits)) - w).mean() ** 0.5
    assert error < {8: 0.006, 4: 0.09}[bits]


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zeros(bits: Bits):
    assert not dequantise(quantise(np.zeros((3, 40), np.float32), bits)).any()


@given(matrices)
@settings(max_examples=15)  # each shape is compiled
def test_rounding_a_vector_is_quantising_it_to_int8(x: np.ndarray):
    rounded = np.asarray(jax.jit(round_blocks)(x))
    largest = np.abs(np.pad(x, ((0, 0), (0, -x.shape[1] % BLOCK)))).reshape(len(x), -1, BLOCK)
    step = np.repeat(largest.max(-1) / 127, BLOCK, axis=1)[:, : x.shape[1]]
    assert (np.abs(rounded - x) <= step * 0.5001 + 1e-30).all()


def test_a_rounded_matrix_multiplies_rounded_vectors():
    rng = np.random.default_rng(1)
    w, x = rng.standard_normal((9, 50)), rng.standard_normal((2, 50)).astype(np.float32)
    kernel = dequantise(quantise(w.astype(np.float32), 8))
    found = multiply(jnp.asarray(x), Rounded(jnp.asarray(kernel)))
    np.testing.assert_allclose(found, np.asarray(round_blocks(jnp.asarray(x))) @ kernel.T, 1e-5)
