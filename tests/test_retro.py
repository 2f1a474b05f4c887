"""RETRO against the oracle, and what must hold whatever its weights are (RETRO, 2.2 to 2.4)."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from engine.presets import Retrieval, preset
from engine.retro import Passages, Retro
from tests import oracle
from tests.toys import TOY, Toy, random_passages, random_tokens, toy

M, R = TOY.chunk, 6
T, L = 3 * M, 3  # of the property tests
LENGTHS = (1, M - 1, M, M + 1, 2 * M - 1, 2 * M)
TABLE = "decoder.embedding.table"
ROWS = ("plain", "padded at the left", "some of the neighbours masked")


def hidden_in_part(passages: Passages) -> Passages:
    """Masks in row 2: ends and insides of neighbours, then a whole one, then a chunk's all."""
    valid = np.array(passages.valid)
    valid[0, :, 1, R - 2 :] = False
    valid[2, :, 0, 1::3] = False
    valid[2, :1, 1] = False
    valid[2, 1:2] = False
    return passages._replace(valid=jnp.asarray(valid))


def agrees(model: Toy, tokens, valid, passages: Passages, row: int) -> None:
    found = model.logits(tokens, valid, passages)[row]
    neighbours, shown = np.asarray(passages.tokens)[row], np.asarray(passages.valid)[row]
    expected = oracle.retro(
        model.arrays, model.preset, tokens[row].tolist(), valid[row], neighbours, shown
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert 0.3 < expected.std() < 3  # otherwise 1e-5 would say little


@pytest.mark.parametrize("row", range(3), ids=ROWS)
@pytest.mark.parametrize("n", LENGTHS)
def test_logits_equal_the_oracle(retro: Toy, n: int, row: int):
    tokens, valid = random_tokens(TOY, 3, n), np.ones((3, n), bool)
    valid[1, : n // 2] = False
    agrees(retro, tokens, valid, hidden_in_part(random_passages(TOY, 3, n // M)), row)


def test_an_encoder_that_shares_the_embedding_equals_the_oracle():
    shared = Retrieval(
        (1,), width=TOY.width, heads=2, head_dim=5, ffw=26, depth=1, neighbour_tokens=R,
        shared_embedding=True,
    )  # fmt: skip
    model = toy(replace(TOY, layers=1, retrieval=shared))
    assert "encoder.embedding.table" not in model.arrays
    tokens, valid = random_tokens(TOY, 3, 2 * M), np.ones((3, 2 * M), bool)
    agrees(model, tokens, valid, hidden_in_part(random_passages(TOY, 3, 2)), 2)


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    return random_tokens(TOY, 3, T)


@pytest.fixture(scope="module")
def valid() -> np.ndarray:
    return np.ones((3, T), bool)


@pytest.fixture(scope="module")
def passages() -> Passages:
    return random_passages(TOY, 3, L)


@pytest.fixture(scope="module")
def logits(retro: Toy, tokens, valid, passages) -> np.ndarray:
    return retro.logits(tokens, valid, passages)


def test_the_order_of_neighbours_does_not_matter(retro: Toy, tokens, valid, passages, logits):
    turned = Passages(passages.tokens[:, :, ::-1], passages.valid[:, :, ::-1])
    np.testing.assert_allclose(
        retro.logits(tokens, valid, turned), logits, rtol=0, atol=1e-5
    )  # fmt: skip


@pytest.mark.parametrize("u", range(L))
def test_neighbours_of_a_chunk_are_first_seen_by_its_last_token(
    retro: Toy, tokens, valid, passages, logits, u: int
):
    others = np.array(passages.tokens)
    others[:, u] = random_tokens(TOY, 3, 2, R, seed=7)
    after = retro.logits(tokens, valid, passages._replace(tokens=others))
    first = (u + 1) * M - 1
    np.testing.assert_array_equal(after[:, :first], logits[:, :first])
    changed = np.abs(after[:, first:] - logits[:, first:]).max(-1)
    assert (changed > 1e-3).all()  # and by every token after it: chunk by chunk, or by attention


def test_a_token_never_reaches_an_earlier_position(retro: Toy, passages):
    """As for Gopher, with neighbours, which chunks also reach through the encoder."""
    nudge, direction = np.random.default_rng(0).standard_normal((2, TOY.width), np.float32)
    one = Passages(passages.tokens[:1], passages.valid[:1])

    def outputs(steps: jax.Array) -> jax.Array:
        table = jnp.asarray(retro.arrays[TABLE]).at[:T].add(steps[:, None] * nudge)
        model = retro.model({**retro.arrays, TABLE: table})
        return model.hidden(jnp.arange(T)[None], None, one)[0][0] @ direction  # [T]

    slopes = np.asarray(jax.jit(jax.jacfwd(outputs))(jnp.zeros(T)))
    np.testing.assert_array_equal(slopes != 0, np.tri(T, dtype=bool))


def test_a_sequence_never_affects_another_of_its_batch(
    retro: Toy, tokens, valid, passages, logits
):  # fmt: skip
    others, marks = random_tokens(TOY, 3, T, seed=9), valid.copy()
    others[0], marks[1, :2] = tokens[0], False
    shown, seen = np.array(random_passages(TOY, 3, L, seed=9).tokens), np.array(passages.valid)
    shown[0], seen[2] = passages.tokens[0], False
    after = retro.logits(others, marks, Passages(jnp.asarray(shown), jnp.asarray(seen)))
    np.testing.assert_array_equal(after[0], logits[0])
    assert not np.allclose(after[1:], logits[1:])


def test_without_a_valid_neighbour_it_is_exactly_its_decoder(
    retro: Toy, gopher: Toy, tokens, valid, passages, logits
):
    none = passages._replace(valid=np.zeros_like(passages.valid))
    masked = retro.logits(tokens, valid, none)
    np.testing.assert_array_equal(masked, retro.logits(tokens, valid, None))
    np.testing.assert_array_equal(masked, gopher.logits(tokens, valid))
    assert not np.allclose(masked, logits)


def test_the_content_of_masked_neighbour_tokens_changes_nothing(
    retro: Toy, tokens, valid, passages
):  # fmt: skip
    shown = hidden_in_part(passages)
    others = np.where(shown.valid, shown.tokens, (shown.tokens + 1) % TOY.vocab)
    np.testing.assert_array_equal(
        retro.logits(tokens, valid, shown._replace(tokens=others)),
        retro.logits(tokens, valid, shown),
    )


def test_padding_by_a_whole_chunk_changes_nothing(retro: Toy, tokens, passages):
    short = Passages(passages.tokens[:, 1:], passages.valid[:, 1:])
    expected = retro.logits(tokens[:, M:], np.ones((3, T - M), bool), short)
    marks, shown = np.ones((3, T), bool), np.array(passages.valid)
    marks[:, :M] = False
    shown[:, 0] = False
    found = retro.logits(tokens, marks, passages._replace(valid=shown))[:, M:]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_cross_attention_depends_on_the_distance_to_a_neighbour_token(retro: Toy):
    """Encoded rows moved by one place: the same content, and only another distance."""
    cross = retro.model().cross[0]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, M, TOY.width), np.float32)
    e = rng.standard_normal((1, 1, 2, R, 14), np.float32)
    full = jax.jit(lambda e: cross.full(x, e, np.ones((1, 1, 2, R), bool))[0])
    here, moved = np.asarray(full(e)), np.asarray(full(np.roll(e, 1, axis=3)))
    assert np.abs(here[:, M - 1] - moved[:, M - 1]).max() > 1e-3
    swapped = np.asarray(full(e[:, :, ::-1]))
    np.testing.assert_allclose(here, swapped, rtol=0, atol=1e-5)


def test_passages_for_another_number_of_chunks_are_refused(retro: Toy, tokens):
    with pytest.raises(ValueError, match="3 chunks of 4 each, but the passages are for 2 chunks"):
        retro.logits(tokens, None, random_passages(TOY, 3, 2))


def test_a_preset_without_retrieval_is_refused():
    with pytest.raises(ValueError, match="'gopher-44m' has no retrieval; use Gopher"):
        Retro(preset("gopher-44m"), rngs=nnx.Rngs(0))


def test_bfloat16_weights_give_a_bfloat16_stream_and_float32_logits(retro: Toy, passages):
    narrow = {k: jax.ShapeDtypeStruct(a.shape, jnp.bfloat16) for k, a in retro.arrays.items()}
    ids = jnp.zeros((3, T), jnp.int32)

    def run(weights):
        model = retro.model(weights)
        return model.hidden(ids, None, passages)[0], model(ids, None, passages)

    stream, logits = jax.eval_shape(run, narrow)
    assert (stream.dtype, logits.dtype) == (jnp.bfloat16, jnp.float32)
