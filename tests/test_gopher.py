"""The decoder against the oracle, and what must hold whatever its weights are."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.layers import distances, relative_scores
from tests import oracle
from tests.toys import TOY, Toy, random_tokens

M = TOY.chunk
LENGTHS = (1, M - 1, M, M + 1, 2 * M - 1, 2 * M)
TABLE = "embedding.table"
ROWS = ("plain", "padded at the left", "padded inside")


def marks(n: int) -> np.ndarray:
    """Which tokens are real, for each of ROWS: [3 n]"""
    valid = np.ones((3, n), bool)
    valid[1, : n // 2] = False
    valid[2, n // 3 : n // 2] = False
    return valid


@pytest.mark.parametrize("row", range(3), ids=ROWS)
@pytest.mark.parametrize("n", LENGTHS)
def test_logits_equal_the_oracle(gopher: Toy, n: int, row: int):
    tokens, valid = random_tokens(TOY, 3, n), marks(n)
    expected = oracle.gopher(gopher.arrays, gopher.preset, tokens[row].tolist(), valid[row])
    found = gopher.logits(tokens, valid)[row]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert 0.3 < expected.std() < 3  # otherwise 1e-5 would say little


def test_without_marks_every_token_is_valid(gopher: Toy):
    tokens = random_tokens(TOY, 3, 2 * M)
    bare, marked = gopher.logits(tokens), gopher.logits(tokens, np.ones(tokens.shape, bool))
    np.testing.assert_array_equal(bare, marked)


def test_a_token_never_reaches_an_earlier_position(gopher: Toy):
    """The derivative of a position by a later token's embedding is exactly zero.

    It is taken before the read-out, which ties every logit to every embedding.
    """
    T = 2 * M
    nudge, direction = np.random.default_rng(0).standard_normal((2, TOY.width), np.float32)

    def outputs(steps: jax.Array) -> jax.Array:
        table = jnp.asarray(gopher.arrays[TABLE]).at[:T].add(steps[:, None] * nudge)
        model = gopher.model({**gopher.arrays, TABLE: table})
        return model.hidden(jnp.arange(T)[None])[0][0] @ direction  # [T]

    slopes = np.asarray(jax.jit(jax.jacfwd(outputs))(jnp.zeros(T)))  # [T T]
    np.testing.assert_array_equal(slopes != 0, np.tri(T, dtype=bool))


def test_a_sequence_never_affects_another_of_its_batch(gopher: Toy):
    tokens, valid = random_tokens(TOY, 3, 2 * M), np.ones((3, 2 * M), bool)
    before = gopher.logits(tokens, valid)
    tokens[1:], valid[1, :3] = random_tokens(TOY, 2, 2 * M, seed=5), False
    after = gopher.logits(tokens, valid)
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.allclose(before[1:], after[1:])


def test_the_content_of_padding_changes_nothing(gopher: Toy):
    tokens, valid = random_tokens(TOY, 3, 2 * M), marks(2 * M)
    others = np.where(valid, tokens, (tokens + 1) % TOY.vocab)
    found, expected = gopher.logits(others, valid), gopher.logits(tokens, valid)
    np.testing.assert_array_equal(found[valid], expected[valid])


@cache
def compiled_scores(keys: int):
    return jax.jit(lambda q, r: relative_scores(q, r, keys))


@settings(max_examples=30)
@given(
    queries=st.integers(1, 5), keys=st.integers(1, 5), offset=st.integers(-3, 9),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_relative_scores_look_up_every_distance(queries: int, keys: int, offset: int, seed: int):
    rng = np.random.default_rng(seed)
    q = rng.standard_normal((2, queries, 3, 4), np.float32)
    by_distance = {d: rng.standard_normal((3, 4), np.float32) for d in range(-20, 20)}
    r = np.stack([by_distance[d] for d in distances(queries, keys, offset)])
    scores = np.asarray(compiled_scores(keys)(q, r))
    for b, n, i, j in np.ndindex(2, 3, queries, keys):
        expected = q[b, i, n] @ by_distance[i - j + offset][n]
        assert abs(scores[b, n, i, j] - expected) < 1e-5


@pytest.mark.parametrize("queries", (1, 2, 5))
def test_relative_scores_need_no_negative_distances_below_the_diagonal(queries: int):
    rng = np.random.default_rng(0)
    q = rng.standard_normal((1, queries, 3, 4), np.float32)
    r = rng.standard_normal((2 * queries - 1, 3, 4), np.float32)
    whole = np.asarray(compiled_scores(queries)(q, r))
    short = np.asarray(compiled_scores(queries)(q, r[:queries]))
    lower = np.tri(queries, dtype=bool)
    np.testing.assert_allclose(short[..., lower], whole[..., lower], rtol=0, atol=1e-6)


def test_position_tables_hold_distances_from_the_last_slot_down(gopher: Toy):
    S = 5
    tables = gopher.model().position_tables(S)
    assert len(tables) == TOY.layers
    for layer, table in enumerate(tables):
        kernel = gopher.arrays[f"blocks.{layer}.attention.r.kernel"]
        rows = [oracle.phi(S - 1 - c, TOY.width) @ kernel for c in range(2 * S)]
        expected = np.reshape(rows, (2 * S, TOY.heads, TOY.head_dim))
        np.testing.assert_allclose(table, expected, rtol=0, atol=1e-5)
