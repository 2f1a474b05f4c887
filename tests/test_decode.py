"""Cached decoding equals the full pass, token by token and across chunk boundaries."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

from engine.decode import Decoding, compile_decoding, feed, freeze
from engine.retro import Passages
from tests.toys import TOY, Toy, random_passages, random_tokens

M, SLOTS = TOY.chunk, 16
T, L = 14, 3  # decoded to its end: chunks 0, 1 and 2 are whole, and two tokens of chunk 3
PROMPTS = ((0, 0), (1, 0), (1, 2), (2, 5), (3, M))  # whole chunks; padding left of one sequence


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    return random_tokens(TOY, 2, T)


@pytest.fixture(scope="module")
def passages() -> Passages:
    """Other neighbours for every chunk; some tokens, a whole neighbour and a chunk masked."""
    shown = random_passages(TOY, 2, L)
    valid = np.array(shown.valid)
    valid[0, 0, 1, 4:] = False
    valid[0, 2, 0] = False
    valid[1, 1] = False
    return shown._replace(valid=valid)


@pytest.fixture(scope="module")
def retro_decoding() -> Decoding:
    return compile_decoding(TOY, SLOTS)


@pytest.fixture(scope="module")
def gopher_decoding(gopher: Toy) -> Decoding:
    return compile_decoding(gopher.preset, SLOTS)


def part(passages: Passages | None, chunks: slice) -> Passages | None:
    if passages is None:
        return None
    return Passages(passages.tokens[:, chunks], passages.valid[:, chunks])


def decoded(
    decoding: Decoding, model: Toy, tokens: np.ndarray, valid: np.ndarray,
    passages: Passages | None, whole: int,
) -> Iterator[tuple[int, Any]]:  # fmt: skip
    """Prefills `whole` chunks, feeds the rest one by one; -> each position and its logits [B V]."""
    weights = freeze(model.arrays)  # type: ignore
    tables, start = decoding.tables(weights), whole * M
    if whole:
        logits, cache = decoding.prefill(
            weights, tokens[:, :start], valid[:, :start], part(passages, slice(whole))
        )
        yield start - 1, logits
    else:
        cache = decoding.empty(len(tokens))
    for at in range(start, tokens.shape[1]):
        u, last = divmod(at, M)
        shown = part(passages, slice(u, u + 1)) if last == M - 1 else None
        logits, cache = decoding.step(weights, tables, cache, tokens[:, at], shown)
        yield at, logits


def marks(pad: int) -> np.ndarray:
    valid = np.ones((2, T), bool)
    valid[1, :pad] = False
    return valid


@pytest.mark.parametrize(("whole", "pad"), PROMPTS)
def test_retro_decodes_what_the_full_pass_gives(
    retro: Toy, retro_decoding: Decoding, tokens, passages, whole: int, pad: int
):
    valid, shown = marks(pad), passages
    if pad >= M:  # a chunk of padding has no neighbours
        shown = passages._replace(valid=passages.valid & (np.arange(2) < 1)[:, None, None, None])
    expected = retro.logits(tokens, valid, shown)
    seen = []
    for at, logits in decoded(retro_decoding, retro, tokens, valid, shown, whole):
        np.testing.assert_allclose(logits, expected[:, at], rtol=0, atol=1e-5)
        seen.append(at)
    assert seen == list(range(max(0, whole * M - 1), T))


@pytest.mark.parametrize(("whole", "pad"), PROMPTS)
def test_gopher_decodes_what_the_full_pass_gives(
    gopher: Toy, gopher_decoding: Decoding, tokens, whole: int, pad: int
):
    valid = marks(pad)
    expected = gopher.logits(tokens, valid)
    for at, logits in decoded(gopher_decoding, gopher, tokens, valid, None, whole):
        np.testing.assert_allclose(logits, expected[:, at], rtol=0, atol=1e-5)


@pytest.mark.parametrize("whole", (0, 2))
def test_retro_without_valid_neighbours_decodes_as_its_decoder(
    retro: Toy, gopher: Toy, retro_decoding: Decoding, tokens, passages, whole: int
):
    none = passages._replace(valid=np.zeros_like(passages.valid))
    expected = gopher.logits(tokens, marks(0))
    for at, logits in decoded(retro_decoding, retro, tokens, marks(0), none, whole):
        np.testing.assert_allclose(logits, expected[:, at], rtol=0, atol=1e-5)


def test_a_prompt_may_be_prefilled_without_neighbours(
    retro: Toy, gopher: Toy, retro_decoding: Decoding, tokens
):  # fmt: skip
    steps = decoded(retro_decoding, retro, tokens[:, : 2 * M + 2], marks(0), None, 2)
    expected = gopher.logits(tokens, marks(0))
    for at, logits in steps:
        np.testing.assert_allclose(logits, expected[:, at], rtol=0, atol=1e-5)


def test_neighbours_shown_while_decoding_reach_their_last_token_and_nothing_earlier(
    retro: Toy, retro_decoding: Decoding, tokens, passages
):
    others = np.array(passages.tokens)
    others[:, 1] = random_tokens(TOY, 2, 2, TOY.retrieval.neighbour_tokens, seed=8)  # type: ignore
    valid = np.ones_like(passages.valid)
    before, after = (
        dict(decoded(retro_decoding, retro, tokens, marks(0), Passages(ids, valid), 1))
        for ids in (passages.tokens, others)
    )
    changed = [at for at in before if np.abs(before[at] - after[at]).max() > 1e-4]
    assert changed == list(range(2 * M - 1, T))


def test_a_step_compiles_once_with_and_once_without_neighbours(
    retro: Toy, retro_decoding: Decoding, tokens, passages
):  # fmt: skip
    for whole in (0, 1):
        for _ in decoded(retro_decoding, retro, tokens, marks(0), passages, whole):
            pass
    assert retro_decoding.step._cache_size() == 2  # type: ignore


def test_tokens_of_an_attending_chunk_may_be_fed_together(
    retro: Toy, retro_decoding: Decoding, tokens, passages
):
    """Blocks that begin at the places 1, 0 and 0, as long as they may be or shorter."""
    weights, valid = freeze(retro.arrays), marks(3)  # type: ignore
    expected = retro.logits(tokens, valid, passages)

    @jax.jit
    def block(arrays, tables, cache, tokens, shown):
        model = retro.model(arrays)
        x, attention, cache = feed(model, tables, cache, tokens, shown)
        return model.read(x), attention, cache

    tables = retro_decoding.tables(weights)
    first = part(passages, slice(1))
    _, cache = retro_decoding.prefill(weights, tokens[:, :M], valid[:, :M], first)
    at, neighbours = M, np.any(passages.valid, -1)
    for size in (M - 1, M, M - 1):
        u = (at + 1) // M - 1
        shown = part(passages, slice(u, u + 1)) if (at + 1) % M == 0 else None
        logits, attention, cache = block(
            retro.arrays, tables, cache, tokens[:, at : at + size], shown
        )
        np.testing.assert_allclose(logits, expected[:, at : at + size], rtol=0, atol=1e-5)
        seen = np.repeat(neighbours[:, u : u + 1], size, axis=1)  # [B Q K]
        np.testing.assert_allclose(attention.sum(-1), np.any(seen, -1), atol=1e-5)
        assert not np.asarray(attention)[~seen].any()
        at += size
    assert at == T


@pytest.mark.parametrize("length", (1, M - 1, M))
def test_a_chunk_is_extended_under_each_choice_of_neighbours(
    retro: Toy, retro_decoding: Decoding, tokens, length: int
):
    """Against the full pass; what is past `length` is padding."""
    weights, R = freeze(retro.arrays), TOY.retrieval.neighbour_tokens  # type: ignore
    row, some = tokens[:1], random_passages(TOY, 1, 1, k=3, seed=5)
    valid = np.array(some.valid)
    valid[0, 0, 2, 3:] = False
    tables = retro_decoding.tables(weights)
    before = random_passages(TOY, 1, 2, seed=6)
    seen = np.ones((1, T), bool)
    _, cache = retro_decoding.prefill(weights, row[:, : 2 * M], seen[:, : 2 * M], before)
    picks = np.array([[0, 1], [2, -1], [-1, -1], [1, 0]], np.int32)
    padded = np.full((1, M + 1), 7, np.int32)
    padded[0, : length + 1] = row[0, 2 * M - 1 : 2 * M + length]
    logprobs, attention, _ = retro_decoding.extend(
        weights, tables, cache._replace(at=cache.at - 1), padded[:, :-1], padded[:, 1:],
        np.int32(length), Passages(some.tokens, valid), picks,
    )  # fmt: skip
    for choice, found, shares in zip(picks, logprobs, attention, strict=True):
        shown, marked = np.zeros((1, L, 2, R), np.int32), np.zeros((1, L, 2, R), bool)
        shown[0, 0], marked[0, 0] = before.tokens[0, 0], True
        shown[0, 1], marked[0, 1] = some.tokens[0, 0, choice], valid[0, 0, choice]
        marked[0, 1] &= (choice >= 0)[:, None]
        logits = retro.logits(row, seen, Passages(shown, marked))
        expected = np.asarray(jax.nn.log_softmax(logits))[0, 2 * M - 1 : 2 * M + length - 1]
        wanted = expected[np.arange(length), row[0, 2 * M : 2 * M + length]]
        np.testing.assert_allclose(found[:length], wanted, rtol=0, atol=1e-5)
        assert float(shares.sum()) == pytest.approx(float((choice >= 0).any()), abs=1e-5)
        assert (shares[choice < 0] == 0).all()
    same = np.abs(logprobs[0] - logprobs[3])[:length].max()  # order plays no part
    assert same < 1e-5 < np.abs(logprobs[0] - logprobs[2])[:length].max()
