"""Sampling: cuts, greediness, and independence of the batch."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from engine import sampling
from engine.protocol import Sampling
from engine.sampling import Draw, draw_of

sample = jax.jit(sampling.sample)  # one program instead of one for each step of it
LOGITS = np.log(np.array([[0.5, 0.25, 0.15, 0.07, 0.02, 0.01]], np.float32))


def draws(count: int = 300, **fields) -> np.ndarray:
    s = replace(Sampling(temperature=1.0, top_p=1.0), **fields)
    seeds = jnp.arange(count, dtype=jnp.uint32)
    spread = [jnp.repeat(a, count) for a in draw_of(s, 0)]
    draw = Draw(*spread)._replace(seed=seeds)
    return np.asarray(sample(jnp.repeat(jnp.asarray(LOGITS), count, 0), draw).token)


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
    choice = sample(jnp.asarray(LOGITS), draw_of(Sampling(temperature=0.2, top_p=0.5), 3))
    assert float(choice.logprob[0]) == pytest.approx(np.log(0.5), abs=1e-5)
    np.testing.assert_allclose(choice.top_logprobs[0], LOGITS[0, :5], atol=1e-5)


def test_a_token_does_not_depend_on_the_batch_it_is_drawn_in():
    rows = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)
    singles = [draw_of(Sampling(seed=i, temperature=1.3), 7) for i in range(4)]
    alone = [int(sample(jnp.asarray(rows[i : i + 1]), d).token[0]) for i, d in enumerate(singles)]
    together = Draw(*(jnp.concatenate(parts) for parts in zip(*singles, strict=True)))
    assert np.asarray(sample(jnp.asarray(rows), together).token).tolist() == alone
