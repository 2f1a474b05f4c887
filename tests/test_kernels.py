"""The C++ kernels against the JAX definition, and what happens where they cannot be used."""

import ctypes
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.checkpoint import graph_of, nest
from engine.decode import PlainSlots
from engine.kernels import build, calls
from engine.kernels.build import NoKernels
from engine.kernels.calls import Packed
from engine.kernels.memory import Constants, empty
from engine.kernels.pack import lay_tiles, pack
from engine.kernels.slots import KernelSlots, functions
from engine.opening import SlowNumbers, open_slots
from engine.presets import preset
from engine.protocol import Sampling
from engine.quant import Bits, dequantise, look_up, multiply, quantise, round_blocks
from engine.quantised import round_arrays
from engine.sampling import draws_of
from engine.sampling import rank as rank_row
from engine.slots import Block, Draw, Step
from tests.toys import random_arrays

P = preset("tiny")
GREEDY = Draw(Sampling(temperature=0), 0)
INCLUDE = Path(jax.ffi.include_dir())


@pytest.fixture(scope="module", params=["portable", "avx2", "avx512"])
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each variant that this processor can run."""
    best, name = calls.variant(), request.param
    order = ["portable", "avx2", "avx512"]
    if order.index(name) > order.index(best):
        pytest.skip(f"this processor cannot run {name}")
    calls.register(ctypes.CDLL(str(build.library_path())), name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "variant", lambda: name)
        yield name


def packed(w: np.ndarray, bits: Bits) -> Packed:
    (N, K), (values, scales) = w.shape, lay_tiles(quantise(w, bits))
    return Packed(jnp.asarray(values), jnp.asarray(scales), 0, 0, N, K, bits)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 16, 32), (1, 33, 70), (6, 5, 129)])
def test_a_product_is_that_of_the_rounded_numbers(variant: str, bits: Bits, shape):
    M, N, K = shape
    rng = np.random.default_rng(M + N + K)
    w = rng.standard_normal((N, K)).astype(np.float32)
    x = jnp.asarray(rng.standard_normal((M, K)), jnp.float32)
    expected = np.asarray(jax.jit(round_blocks)(x)) @ dequantise(quantise(w, bits)).T
    found = jax.jit(multiply)(x, packed(w, bits))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bits", [4, 8])
def test_rows_of_a_table_are_read_as_they_were_written(variant: str, bits: Bits):
    w = np.random.default_rng(0).standard_normal((37, 50)).astype(np.float32)
    tokens = jnp.array([[0, 36], [15, 16]])
    found = jax.jit(look_up)(packed(w, bits), tokens)
    np.testing.assert_array_equal(found, dequantise(quantise(w, bits))[np.asarray(tokens)])


@given(st.integers(0, 2**32 - 1), st.sampled_from([40, 400]), st.sampled_from([0.3, 1.0]))
@settings(max_examples=20)
def test_the_likeliest_tokens_are_those_of_the_definition(seed: int, V: int, temperature: float):
    rng = np.random.default_rng(seed)
    ties = np.round(rng.standard_normal((2, V)) * 8) / 4 + 0.0  # but no -0.0
    logits = jnp.asarray(ties, jnp.float32)
    draws = draws_of([Draw(Sampling(temperature=temperature), 0)] * 2, 2)
    found = calls.rank(logits, draws.temperature, np.int32(2))
    for i in range(2):
        one = type(draws)(*(jnp.asarray(a)[i] for a in draws))
        for a, b in zip(found, rank_row(logits[i], one), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-5)


@pytest.fixture(scope="module", params=[8, 4])
def bits(request: pytest.FixtureRequest) -> Bits:
    return request.param


def test_each_half_of_a_layer_is_that_of_the_definition(variant: str, bits: Bits):
    arrays, rows = random_arrays(P), 23
    flat, plan, floats = pack(P, arrays, bits)
    run = functions(P, bits)
    pool = flat["decoder.embedding.table"]
    constants = Constants(pool.values, pool.scales, plan, floats, *run["places"](nest(flat)))
    model = nnx.merge(graph_of(P), nest(round_arrays(arrays, bits))).decoder
    tokens = np.random.default_rng(2).integers(0, P.vocab, rows).astype(np.int32)
    table = np.ones((rows, 4), np.int32)
    table[:, 0], table[:, 2] = tokens, np.arange(rows)
    memory = empty(P, 2, P.context)
    causal = np.tril(np.ones((rows, rows), bool))
    attend = nnx.jit(lambda block, x: block.attend(x, causal)[0])
    feed = nnx.jit(lambda block, x: block.feed(x))
    x = jax.jit(lambda: model.embedding(tokens[None]))()
    decode = jax.jit(calls.decode, static_argnums=(0, 1, 6), static_argnames="outputs")
    for i, block in enumerate(model.blocks):
        attended = attend(block, x)
        fed = feed(block, attended)
        for stage, before, after in ((2 * i, x, attended), (2 * i + 1, attended, fed)):
            found, _, memory = decode(
                P, bits, constants, memory, table, np.int32(rows), (stage, stage + 1), outputs=0,
                x=before[0],
            )  # fmt: skip
            if stage:  # the first takes the tokens, not the stream
                change = np.linalg.norm(after - before)
                assert np.linalg.norm(found - after[0]) < 0.003 * change
        x = fed


def test_kernels_and_definition_write_the_same_tokens(bits: Bits):
    """As far as the float16 of the one's memory allows; near ties may fall either way."""
    arrays = random_arrays(P)
    plain = PlainSlots(P, round_arrays(arrays, bits), 1)
    kernels = KernelSlots(P, arrays, bits, 1)
    prompt = np.random.default_rng(3).integers(0, P.vocab, P.chunk - 1).astype(np.int32)
    block = Block(0, prompt, np.ones(len(prompt), bool))
    drawn, other = plain.read(0, block, GREEDY), kernels.read(0, block, GREEDY)
    for at in range(len(prompt), 4 * P.chunk):
        assert drawn is not None and other is not None
        np.testing.assert_allclose(other.logprob, drawn.logprob, atol=0.03)
        near = drawn.top[0][1] - drawn.top[1][1] < 0.06
        assert other.token == drawn.token or near
        if (at + 1) % P.chunk:
            step = [Step(0, at, drawn.token, GREEDY)]
            drawn, other = plain.step(step)[0], kernels.step(step)[0]
        else:
            block = Block(at, np.array([drawn.token], np.int32), np.ones(1, bool), ())
            drawn, other = plain.read(0, block, GREEDY), kernels.read(0, block, GREEDY)


def test_a_shape_that_the_kernels_do_not_know_is_refused_by_name():
    odd = replace(P, name="odd", head_dim=9)
    with pytest.raises(NoKernels, match="'odd'"):
        KernelSlots(odd, {}, 8, 1)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the built library that a test may spoil."""
    calls.variant()
    copy = tmp_path / "kernels.so"
    for path in (build.library_path(), build.receipt_path()):
        shutil.copy(path, tmp_path / path.name)
    monkeypatch.setattr(build, "library_path", lambda: copy)
    monkeypatch.setattr(build, "_start", lambda command: pytest.fail(f"compiled: {command}"))
    return copy


def test_a_library_that_fits_is_not_compiled_again(elsewhere: Path):
    assert build.build(INCLUDE) == elsewhere


@pytest.mark.parametrize("spoil", ["cut short", "foreign", "without a receipt", "receipt of noise"])
def test_a_library_that_does_not_fit_is_never_opened(
    elsewhere: Path, spoil: str, monkeypatch: pytest.MonkeyPatch
):
    receipt = build.receipt_path()
    match spoil:
        case "cut short":
            elsewhere.write_bytes(elsewhere.read_bytes()[:5000])
        case "foreign":
            claims = json.loads(receipt.read_text()) | {"made_from": "another machine"}
            receipt.write_text(json.dumps(claims))
        case "without a receipt":
            receipt.unlink()
        case "receipt of noise":
            receipt.write_bytes(b"\xff\x00[")
    monkeypatch.setattr(build, "compiler", lambda: (_ for _ in ()).throw(NoKernels("none here")))
    assert build.stale(INCLUDE)
    with pytest.raises(NoKernels, match="none here"):
        build.build(INCLUDE)


def test_without_a_compiler_replies_are_slower_and_it_is_said(monkeypatch: pytest.MonkeyPatch):
    def refuse() -> str:
        raise NoKernels("no C++ compiler was found; install g++")

    monkeypatch.setattr("engine.kernels.slots.variant", refuse)
    with pytest.warns(SlowNumbers, match="install g"):
        slots = open_slots(P, random_arrays(P), "int8", 1)
    assert isinstance(slots, PlainSlots)


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "library_path", lambda: tmp_path / "built" / "kernels.so")
    failing = tmp_path / "c++"
    failing.write_text("#!/bin/sh\necho 'no such flag'\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CXX", str(failing))
    with pytest.raises(NoKernels, match="no such flag"):
        build.build(INCLUDE)
    assert not list((tmp_path / "built").iterdir())
