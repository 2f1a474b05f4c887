"""What the statistics of the probe promise, on simulated templates."""

import itertools
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.probe import statistics
from app.probe.statistics import detectable, holm, measure, sign_flip

TEMPLATES = 24
NOISE = 0.6  # nats
OFFSET = 0.8  # nats that the swapped words bring to every continuation

values = st.floats(-5, 5).map(lambda x: round(x, 3))
shares = st.floats(0, 1)


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(statistics, "FLIPS", 499)
    monkeypatch.setattr(statistics, "RESAMPLES", 400)


def simulated(rng: np.random.Generator, effect: float, n: int = TEMPLATES):
    """Attribute and neutral gaps of n templates whose words have the same offset."""
    return [(mean + rng.normal(0, NOISE, n)).tolist() for mean in (effect + OFFSET, OFFSET)]


def rate(effect: float, n: int = TEMPLATES, runs: int = 150) -> float:
    """How often the test finds the effect at the level of .05."""
    rng = np.random.default_rng(7)
    ps = [measure(*simulated(rng, effect, n), seed=run).p for run in range(runs)]
    return float(np.mean(np.array(ps) <= 0.05))


def test_without_an_effect_small_p_come_as_often_as_the_level_says():
    assert 0.01 <= rate(0.0, runs=300) <= 0.09


def test_the_offset_of_rare_words_alone_would_look_like_an_effect():
    rng = np.random.default_rng(1)
    attribute, neutral = simulated(rng, 0.0)
    assert sign_flip(attribute, 0) < 0.01
    assert sign_flip(np.subtract(attribute, neutral), 0) > 0.05


def test_power_rises_with_the_number_of_templates():
    few, some, many = (rate(0.5, n, runs=80) for n in (6, 24, 60))
    assert few < some < many
    assert many > 0.95


def test_an_effect_at_the_detectable_size_is_found_four_times_in_five():
    size = detectable(NOISE * 2**0.5, TEMPLATES)
    assert 0.7 <= rate(size) <= 0.9


def test_more_tests_or_noise_make_what_is_detectable_larger_and_more_templates_smaller():
    assert detectable(1.0, 24, tests=20) > detectable(1.0, 24) > detectable(1.0, 48)
    assert detectable(2.0, 24) == pytest.approx(2 * detectable(1.0, 24))
    z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
    assert detectable(1.0, 25) == pytest.approx(z / 5)


@given(attribute=st.lists(values, min_size=2, max_size=9), data=st.data())
def test_swapping_the_other_way_round_gives_the_opposite_effect(attribute, data):
    size = len(attribute)
    neutral = data.draw(st.lists(values, min_size=size, max_size=size))
    one = measure(attribute, neutral, 3)
    other = measure([-x for x in attribute], [-x for x in neutral], 3)
    assert other.effect == pytest.approx(-one.effect)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert (other.p, other.spread) == pytest.approx((one.p, one.spread))


@given(units=st.lists(values, min_size=2, max_size=6))
def test_the_exact_test_counts_every_choice_of_signs(units):
    sums = [
        abs(sum(s * x for s, x in zip(signs, units, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(units))
    ]
    expected = np.mean([s >= abs(sum(units)) - 1e-9 for s in sums])
    assert sign_flip(units, 0) == pytest.approx(expected)


def test_the_drawn_test_agrees_with_the_exact_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(statistics, "FLIPS", 19_999)
    units = np.random.default_rng(5).normal(0.3, 0.6, 12)
    exact = sign_flip(units, 0)
    monkeypatch.setattr(statistics, "EXACT", 0)
    assert sign_flip(units, 0) == pytest.approx(exact, abs=0.02)
    assert sign_flip(units, 1) == sign_flip(units, 1)


def test_a_drawn_p_is_never_zero():
    assert sign_flip([5.0] * 40, 0) == 1 / 500


@given(ps=st.lists(shares, max_size=8))
def test_holm_raises_each_p_and_keeps_their_order(ps):
    adjusted = holm(ps)
    assert all(p <= a <= 1 for p, a in zip(ps, adjusted, strict=True))
    pairs = sorted(zip(ps, adjusted, strict=True))
    assert [a for _, a in pairs] == sorted(a for _, a in pairs)
    if ps:
        assert min(adjusted) == pytest.approx(min(1.0, len(ps) * min(ps)))


def test_holm_of_a_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_gaps_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="as many of both"):
        measure([1.0, 2.0], [1.0], 0)
    with pytest.raises(ValueError, match="2 or more"):
        measure([1.0], [1.0], 0)
