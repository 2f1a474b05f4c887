"""engine.attribution: Shapley values, thresholds and words, and replies measured by an engine."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.attribution import (
    LEAST_CONTROLS,
    MOST_NEIGHBOURS,
    Attribution,
    NeighbourEffect,
    Subset,
    Thresholds,
    Unmeasurable,
    attribute,
    calibrate,
    shapley,
    subsets,
    word_for,
)
from engine.checkpoint import load_weights
from engine.local import LocalEngine
from engine.presets import preset
from engine.protocol import Reply, Request, Sampling, Segment
from retrieval.protocol import Neighbour
from tests.toys import neighbour

TINY = preset("tiny")
assert TINY.retrieval
M, R = TINY.chunk, TINY.retrieval.neighbour_tokens
ASK = (Segment("Why does bread rise?\nGOPHER:", ends_chunk=True),)
LENGTH = 2 * M + 3  # tokens of a reply, in three chunks


# ----- Shapley values of any game


@st.composite
def games(draw, least: int = 1) -> tuple[int, dict[Subset, float]]:
    k = draw(st.integers(least, MOST_NEIGHBOURS))
    nats = st.floats(-50, 50)
    return k, {s: draw(nats) for s in subsets(k)}


def close(values: Sequence[float], expected: Sequence[float]) -> bool:
    return values == pytest.approx(expected, abs=1e-9)


@given(games())
def test_values_add_up_to_what_all_players_change(game):
    k, value = game
    assert close([math.fsum(shapley(value, k))], [value[frozenset(range(k))] - value[frozenset()]])


@given(games(least=2))
def test_players_that_do_the_same_get_the_same(game):
    k, value = game
    swap = {0: 1, 1: 0}
    turned = {s: frozenset(swap.get(p, p) for p in s) for s in value}
    same = {s: value[s] + value[turned[s]] for s in value}
    first, second, *_ = shapley(same, k)
    assert close([first], [second])


@given(games())
def test_a_player_that_changes_nothing_gets_nothing(game):
    k, value = game
    assert close([shapley({s: value[s - {0}] for s in value}, k)[0]], [0])


@given(games(), st.floats(-3, 3), st.randoms(use_true_random=False))
def test_values_of_a_sum_of_games_are_sums_of_values(game, factor, random):
    k, value = game
    other = {s: random.uniform(-50, 50) for s in value}
    both = {s: value[s] + factor * other[s] for s in value}
    expected = [a + factor * b for a, b in zip(shapley(value, k), shapley(other, k), strict=True)]
    assert close(shapley(both, k), expected)


def test_no_players_have_no_values():
    assert shapley({frozenset(): 3.0}, 0) == []
    assert subsets(0) == [frozenset()]


# ----- replies


A, B, C, D = map(neighbour, range(1, 5))
EMPTY = replace(D, tokens=(), continuation_tokens=())


def written(engine: LocalEngine, shown: Mapping[int, tuple[Neighbour, ...]]) -> Reply:
    engine.use(None)
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=LENGTH, seed=2)
    reply = Reply.of(engine.generate(Request(ASK, "q", sampling, pinned=shown)))
    assert len(reply.tokens) == LENGTH
    return reply


def measured(engine: LocalEngine, *shown: tuple[Neighbour, ...], controls=()) -> Attribution:
    return attribute(engine, ASK, written(engine, dict(enumerate(shown))), controls)


def test_the_parts_of_a_chunk_add_up_to_on_minus_off(tiny: LocalEngine):
    found = measured(tiny, (A, B), (C,), (B, D))
    assert [len(chunk.neighbours) for chunk in found.chunks] == [2, 1, 2]
    assert [len(chunk.on) for chunk in found.chunks] == [M, M, 3]
    for chunk in found.chunks:
        assert math.fsum(n.shapley for n in chunk.neighbours) == pytest.approx(chunk.gain)
        assert abs(chunk.gain) > 0.005
        assert sum(n.attention for n in chunk.neighbours) == pytest.approx(1, abs=1e-4)
    (only,) = found.chunks[1].neighbours
    assert only.shapley == pytest.approx(only.left_out) == pytest.approx(found.chunks[1].gain)
    assert found.seconds > 0


def test_two_identical_neighbours_share_equally(tiny: LocalEngine):
    first, *_ = measured(tiny, (A, replace(A, chunk_id=9, title="A copy"))).chunks
    one, other = first.neighbours
    assert one.shapley == pytest.approx(other.shapley, abs=1e-4)
    assert abs(one.shapley) > 0.1
    assert one.attention == pytest.approx(other.attention, abs=1e-5)


def test_a_neighbour_without_tokens_changes_nothing(tiny: LocalEngine):
    first, *_ = measured(tiny, (A, EMPTY)).chunks
    used, ignored = first.neighbours
    assert (ignored.shapley, ignored.left_out) == pytest.approx((0, 0), abs=1e-4)
    assert ignored.attention == 0
    assert used.shapley == pytest.approx(first.gain, abs=1e-4)
    assert abs(first.gain) > 0.1


def test_a_model_that_reads_nothing_of_its_neighbours_is_changed_by_none(
    tiny: LocalEngine, weights: Path
):
    arrays = {
        name: array * 0 if name.startswith("cross.") and name.endswith(".o.kernel") else array
        for name, array in load_weights(weights)[1].items()
    }
    deaf = LocalEngine(arrays, tiny.tokenizer, tiny.info)
    found = measured(deaf, (A, B), (C,), controls=(D,))
    for chunk in found.chunks:
        assert [n.shapley for n in chunk.neighbours] == pytest.approx(
            [0] * len(chunk.neighbours), abs=1e-4
        )
        assert chunk.controls == pytest.approx((0,), abs=1e-4)
    assert found.gain == pytest.approx(0, abs=1e-3)


def test_a_control_gains_what_it_would_as_the_only_neighbour(tiny: LocalEngine):
    found = measured(tiny, (A, B), (C,), (), controls=(A, C))
    second, third = found.chunks[1:]
    assert second.controls[1] == pytest.approx(second.gain, abs=1e-4)
    assert (third.neighbours, third.gain, len(third.controls)) == ((), 0, 2)
    assert abs(third.controls[0]) > 0.01


def test_bare_is_the_reply_without_neighbours_in_any_chunk(tiny: LocalEngine):
    found = measured(tiny, (A, B), (C,), (D,))
    alone = measured(tiny, (), (), ())
    assert len(found.bare) == LENGTH
    assert found.bare[:M] == pytest.approx(found.chunks[0].off, abs=1e-4)
    assert alone.gain == pytest.approx(0, abs=1e-4)
    assert [p for c in alone.chunks for p in c.on] == pytest.approx(alone.bare, abs=1e-4)


def test_an_empty_reply_cannot_be_measured(tiny: LocalEngine):
    with pytest.raises(Unmeasurable, match="empty"):
        attribute(tiny, ASK, Reply.of([]))


def test_too_many_neighbours_are_refused_with_both_numbers(tiny: LocalEngine):
    reply = written(tiny, {0: (A, B)})
    many = (replace(reply.chunks[0], neighbours=(A, B, C, D, EMPTY)), *reply.chunks[1:])
    with pytest.raises(Unmeasurable, match=r"5 neighbours; .* up to 4"):
        attribute(tiny, ASK, replace(reply, chunks=many))


# ----- thresholds and words


def test_one_random_passage_in_twenty_lies_above_the_threshold():
    gains = np.random.default_rng(0).normal(0, 2, 400).tolist()
    found = calibrate(gains, [3] * 390 + [6] * 10)
    assert sum(gain > found.used for gain in gains) == 20
    assert found.hurt == -found.used
    assert found.copied == 7


def test_thresholds_never_call_a_loss_used_or_a_gain_hurt():
    assert calibrate([-5.0] * 200, [0] * 200).used == 0
    assert calibrate([5.0] * 200, [0] * 200).hurt <= 0


def test_too_few_random_passages_set_no_threshold():
    with pytest.raises(Unmeasurable, match=f"need {LEAST_CONTROLS} .* got 99"):
        calibrate([0.0] * 99, [0] * 99)


@pytest.mark.parametrize(
    ("shapley", "shared", "word"),
    [
        (2.0, 0, "used"), (2.0, 5, "copied"), (0.5, 9, "no measurable effect"),
        (1.0, 9, "no measurable effect"), (-0.5, 9, "no measurable effect"), (-4.0, 9, "hurt"),
    ],
)  # fmt: skip
def test_an_effect_has_a_word_only_beyond_its_threshold(shapley, shared, word):
    thresholds = Thresholds(used=1.0, hurt=-3.0, copied=5)
    assert word_for(NeighbourEffect(shapley, 0.0, 0.5), shared, thresholds) == word
