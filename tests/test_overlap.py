"""app.evaluation.overlap and bootstrap: the arithmetic under the evaluation's figures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.evaluation import bootstrap
from app.evaluation.bootstrap import Interval, ratio
from app.evaluation.overlap import BOUNDS, bucket_of, longest_run, name_of, overlap

tokens = st.lists(st.integers(0, 5), max_size=24)
amounts = st.lists(
    st.tuples(st.floats(-9, 9), st.floats(0.5, 9)), min_size=2, max_size=12
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def few_rounds():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "ROUNDS", 300)
        yield


def slow_run(a: list[int], b: list[int]) -> int:
    runs = {
        tuple(b[i : i + n]) for n in range(1, len(b) + 1) for i in range(len(b) - n + 1)
    }  # fmt: skip
    return max((len(r) for r in runs if any(
        tuple(a[i : i + len(r)]) == r for i in range(len(a) - len(r) + 1)
    )), default=0)  # fmt: skip


@given(tokens, st.lists(tokens, max_size=3))
@settings(max_examples=25)
def test_the_longest_shared_run_is_that_of_a_slow_search(chunk, passages):
    assert longest_run(chunk, passages) == max((slow_run(chunk, p) for p in passages), default=0)


@given(tokens, tokens, tokens)
@settings(max_examples=25)
def test_a_run_is_shared_both_ways_and_goes_across_no_border(a, b, c):
    assert longest_run(a, [b]) == longest_run(b, [a])
    assert longest_run(a, [b, c]) == max(longest_run(a, [b]), longest_run(a, [c]))


@given(tokens.filter(bool), tokens, tokens)
@settings(max_examples=25)
def test_overlap_is_a_share_and_all_of_what_is_copied(chunk, before, after):
    assert 0 <= overlap(chunk, [before, after]) <= 1
    assert overlap(chunk, [before + chunk + after]) == 1
    assert overlap(chunk, [[9] * 30]) == 0


@given(st.integers(0, 64))
def test_every_overlap_is_in_the_bucket_whose_bounds_hold_it(run):
    share = run / 64
    bucket = bucket_of(share)
    assert share <= BOUNDS[bucket]
    assert bucket == 0 or share > BOUNDS[bucket - 1]
    assert name_of(bucket).endswith(f" to {BOUNDS[bucket]:.4g}")


# ----- bootstrap


@given(amounts)
@settings(max_examples=25)
def test_the_estimate_lies_in_the_range_of_the_documents_and_in_its_interval(pairs):
    over, under = zip(*pairs, strict=True)
    found = ratio(over, under, 0)
    assert found is not None and found.low is not None and found.high is not None
    shares = [a / b for a, b in pairs]
    assert found.value == pytest.approx(sum(over) / sum(under))
    assert min(shares) - 1e-9 <= found.low <= found.high <= max(shares) + 1e-9


@given(amounts, st.floats(0.1, 10))
@settings(max_examples=25)
def test_a_change_of_unit_changes_estimate_and_interval_alike(pairs, unit):
    over, under = zip(*pairs, strict=True)
    one, other = ratio(over, under, 3), ratio([a * unit for a in over], under, 3)
    assert one is not None and other is not None
    changed = one.map(lambda x: x * unit)
    for name in ("value", "low", "high"):
        assert getattr(other, name) == pytest.approx(getattr(changed, name), abs=1e-9)


@given(st.floats(-5, 5), st.lists(st.floats(0.5, 9), min_size=2, max_size=9))
@settings(max_examples=25)
def test_documents_that_agree_leave_no_doubt(share, under):
    found = ratio([share * b for b in under], under, 1)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((share, share), abs=1e-9)


def test_the_interval_holds_the_truth_about_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(60):
        under = rng.uniform(50, 150, 60)
        over = under * rng.normal(2.0, 0.5, 60)
        found = ratio(over.tolist(), under.tolist(), seed)
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= 2.0 <= found.high
    assert 52 <= held <= 60


def test_documents_without_anything_to_measure_count_for_nothing():
    assert ratio([1, 5, 3], [2, 0, 4], 0) == ratio([1, 3], [2, 4], 0)
    assert ratio([], [], 0) is None
    assert ratio([1.0], [0.0], 0) is None


def test_one_document_has_no_interval():
    assert ratio([3], [2], 0) == Interval(1.5)


def test_what_is_no_number_is_written_as_one():
    found = Interval(float("inf"), None, 1.23456789).to_json()
    assert found == {"value": 1e308, "low": None, "high": 1.2346}
