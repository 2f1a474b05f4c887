"""Cached decoding equals the full pass, token by token and across chunk boundaries."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engine.decode import Decoding, compile_decoding, freeze
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
