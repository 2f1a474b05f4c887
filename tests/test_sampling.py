"""Sampling: cuts, greediness, and independence of the batch."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from engine import sampling, slots
from engine.protocol import Sampling
from engine.sampling import Draw, drawn_of, draws_of

sample = jax.jit(sampling.sample)  # one program instead of one for each step of it
sample_rows = jax.jit(sampling.sample_rows)
LOGITS = np.log(np.array([[0.5, 0.25, 0.15, 0.07, 0.02, 0.01]], np.float32))


def draw_of(s: Sampling, number: int) -> Draw:
    """As a batch of one."""
    return draws_of([slots.Draw(s, number)], 1)


def draws(count: int = 300, **fields) -> np.ndarray:
    s = replace(Sampling(temperature=1.0, top_p=1.0), **fields)
    spread = [np.repeat(a, count) for a in draw_of(s, 0)]
    draw = Draw(*spread)._replace(seed=np.arange(count, dtype=np.uint32))
    return np.asarray(sample(np.repeat(LOGITS, count, 0), draw).token)


def test_temperature_zero_is_greedy():
    assert set(draws(temperature=0.0)) == {0}


def test_top_k_keeps_the_k_likeliest():
    assert set(draws(top_k=2)) == {0, 1}


@pytest.mark.parametrize(("p", "kept"), [(0.4, {0}), (0.6, {0, 1}), (0.8, {0, 1, 2})])
def test_the_nucleus_is_the_fewest_that_reach_p(p, kept):
    assert set(draws(top_p=p)) == kept


def test_frequencies_follow_the_probabilities():
    counts = np.bincount(draws(4000), minlength=6) / 4000
    np.testing.assert_allclose(counts, np.exp(LOGITS[0]), atol=0.03)


def test_log_probabilities_are_of_the_unscaled_distribution():
    choice = sample(LOGITS, draw_of(Sampling(temperature=0.2, top_p=0.5), 3))
    assert np.asarray(choice.logprob).item() == pytest.approx(np.log(0.5), abs=1e-5)
    np.testing.assert_allclose(np.asarray(choice.top_logprobs)[0], LOGITS[0, :5], atol=1e-5)


def test_a_token_does_not_depend_on_the_batch_it_is_drawn_in():
    rows = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)
    singles = [draw_of(Sampling(seed=i, temperature=1.3), 7) for i in range(4)]
    alone = [np.asarray(sample(rows[[i]], d).token).item() for i, d in enumerate(singles)]
    together = Draw(*(np.concatenate(parts) for parts in zip(*singles, strict=True)))
    assert np.asarray(sample(rows, together).token).tolist() == alone


@jax.jit
def by_sorting(logits: jax.Array, draw: Draw) -> jax.Array:
    """The definition: tokens [B] from logits [B V], by sorting each row."""
    scaled = logits / jnp.maximum(draw.temperature, 1e-4)[:, None]
    order = jnp.argsort(-scaled, axis=-1)
    ranked = jnp.take_along_axis(scaled, order, -1)
    V = logits.shape[-1]
    limit = jnp.where(draw.top_k > 0, draw.top_k, V)[:, None]
    ranked = jnp.where(jnp.arange(V) < limit, ranked, -jnp.inf)
    probabilities = jax.nn.softmax(ranked, -1)
    before = jnp.cumsum(probabilities, -1) - probabilities
    ranked = jnp.where((before < draw.top_p[:, None]) | (jnp.arange(V) == 0), ranked, -jnp.inf)

    def pick(seed, number, row):
        return jax.random.categorical(jax.random.fold_in(jax.random.key(seed), number), row)

    rank = jax.vmap(pick)(jnp.asarray(draw.seed), jnp.asarray(draw.number), ranked)
    rank = jnp.where(draw.temperature > 0, rank, 0)
    return jnp.take_along_axis(order, rank[:, None], -1)[:, 0]


@pytest.mark.parametrize("V", [7, sampling.LIKELIEST, sampling.LIKELIEST + 1, 3000])
@pytest.mark.parametrize("spread", [0.2, 1.0, 4.0])
def test_the_token_is_that_of_sorting_all(V: int, spread: float):
    """Flat and steep rows, with many equal logits; all kinds of cuts, some between the likeliest
    that are looked at and all."""
    rng = np.random.default_rng(V)
    B = 160
    logits = np.round(spread * rng.normal(size=(B, V)), 1).astype(np.float32) + 0.0  # no -0.0
    draw = Draw(
        rng.choice([0, 0.3, 0.6, 1, 1.5], B).astype(np.float32),
        rng.choice([0, 0, 1, 40, 300], B).astype(np.int32),
        rng.choice([0.1, 0.5, 0.9, 0.99, 1], B).astype(np.float32),
        rng.integers(0, 2**32, B, np.uint32),
        np.arange(B, dtype=np.int32),
    )
    expected = np.asarray(by_sorting(logits, draw))
    np.testing.assert_array_equal(sample(logits, draw).token, expected)


def test_rows_past_the_count_are_not_drawn_and_change_nothing():
    rows = np.random.default_rng(1).normal(size=(6, 50)).astype(np.float32)
    draw = draws_of([slots.Draw(Sampling(seed=i, temperature=1.0), i) for i in range(6)], 6)
    whole = sample_rows(rows, draw, np.int32(6))
    for count in (1, 4):
        part = sample_rows(rows, draw, np.int32(count))
        for a, b in zip(part, whole, strict=True):
            np.testing.assert_array_equal(a[:count], b[:count])
            assert not np.asarray(a[count:]).any()


def test_what_was_drawn_comes_to_the_host_row_by_row():
    draw = draws_of([slots.Draw(Sampling(temperature=0), 0)], 3)
    (drawn,) = drawn_of(sample_rows(np.repeat(LOGITS, 3, 0), draw, np.int32(1)), 1)
    assert drawn.token == 0
    assert drawn.logprob == pytest.approx(np.log(0.5), abs=1e-5)
    assert drawn.top[:2] == ((0, drawn.logprob), (1, pytest.approx(np.log(0.25), abs=1e-5)))
    assert len(drawn.top) == sampling.ALTERNATIVES
