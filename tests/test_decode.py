"""Cached decoding equals the full pass, token by token and across chunk boundaries."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

from engine.decode import Decoding, PlainSlots, compile_decoding, empty, feed, freeze
from engine.protocol import Sampling
from engine.retro import Passages
from engine.slots import Block, Draw, Step
from tests.toys import TOY, Toy, random_passages, random_tokens

M, SLOTS = TOY.chunk, 16 + TOY.chunk  # a block at the end is filled up
T, L = 14, 3  # decoded to its end: chunks 0, 1 and 2 are whole, and two tokens of chunk 3
PROMPTS = ((0, 0), (1, 0), (1, 2), (2, 5), (3, M))  # blocks; padding left of one sequence


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
    return compile_decoding(TOY)


@pytest.fixture(scope="module")
def gopher_decoding(gopher: Toy) -> Decoding:
    return compile_decoding(gopher.preset)


def part(passages: Passages | None, chunks: slice) -> Passages | None:
    if passages is None:
        return None
    return Passages(passages.tokens[:, chunks], passages.valid[:, chunks])


def decoded(
    decoding: Decoding, model: Toy, tokens: np.ndarray, valid: np.ndarray,
    passages: Passages | None, blocks: int,
) -> Iterator[tuple[int, Any]]:  # fmt: skip
    """Reads so many blocks, then feeds the rest one by one; -> each position, its logits [B V].

    A block ends before the last token of a chunk; without passages every chunk has none.
    """
    weights = freeze(model.arrays)  # type: ignore
    tables, cache = decoding.tables(weights, SLOTS), empty(model.preset, SLOTS, batch=len(tokens))
    at = 0
    for number in range(T):
        stop = (at + 1) // M * M + M - 1 if number < blocks else at + 1
        count, size = stop - at, M if number < blocks else 1
        fed, seen = (np.zeros((len(tokens), size), a.dtype) for a in (tokens, valid))
        fed[:, :count], seen[:, :count] = tokens[:, at:stop], valid[:, at:stop]
        u, last = divmod(at, M)
        shown = part(passages, slice(u, u + 1)) if last == M - 1 else None
        hide = at == 0 or (last == M - 1 and shown is None)
        logits, cache = decoding.read(
            weights, tables, cache, fed, seen, np.int32(count), np.bool_(hide), shown
        )
        yield stop - 1, logits
        at = stop
        if at >= tokens.shape[1]:
            break


def marks(pad: int) -> np.ndarray:
    valid = np.ones((2, T), bool)
    valid[1, :pad] = False
    return valid


@pytest.mark.parametrize(("blocks", "pad"), PROMPTS)
def test_retro_decodes_what_the_full_pass_gives(
    retro: Toy, retro_decoding: Decoding, tokens, passages, blocks: int, pad: int
):
    valid, shown = marks(pad), passages
    if pad >= M:  # a chunk of padding has no neighbours
        shown = passages._replace(valid=passages.valid & (np.arange(2) < 1)[:, None, None, None])
    expected = retro.logits(tokens, valid, shown)
    seen = []
    for at, logits in decoded(retro_decoding, retro, tokens, valid, shown, blocks):
        np.testing.assert_allclose(logits, expected[:, at], rtol=0, atol=1e-5)
        seen.append(at)
    ends = [(n + 1) * M - 2 for n in range(blocks)]
    assert seen == [*ends, *range(ends[-1] + 1 if ends else 0, T)]


@pytest.mark.parametrize(("blocks", "pad"), PROMPTS)
def test_gopher_decodes_what_the_full_pass_gives(
    gopher: Toy, gopher_decoding: Decoding, tokens, blocks: int, pad: int
):
    valid = marks(pad)
    expected = gopher.logits(tokens, valid)
    for at, logits in decoded(gopher_decoding, gopher, tokens, valid, None, blocks):
        np.testing.assert_allclose(logits, expected[:, at], rtol=0, atol=1e-5)


@pytest.mark.parametrize("blocks", (0, 2))
@pytest.mark.parametrize("given", (False, True))
def test_retro_without_valid_neighbours_decodes_as_its_decoder(
    retro: Toy, gopher: Toy, retro_decoding: Decoding, tokens, passages, blocks: int, given: bool
):
    none = passages._replace(valid=np.zeros_like(passages.valid)) if given else None
    expected = gopher.logits(tokens, marks(0))
    for at, logits in decoded(retro_decoding, retro, tokens, marks(0), none, blocks):
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


def test_reading_compiles_for_a_block_and_a_token_with_and_without_neighbours(
    retro: Toy, retro_decoding: Decoding, tokens, passages
):
    read = retro_decoding.read
    read.clear_cache()  # type: ignore
    for blocks in (0, 1, 3):
        for shown in (passages, None):
            for _ in decoded(retro_decoding, retro, tokens, marks(0), shown, blocks):
                pass
    assert read._cache_size() <= 4  # type: ignore


def test_tokens_of_an_attending_chunk_may_be_fed_together(
    retro: Toy, retro_decoding: Decoding, tokens, passages
):
    """Blocks that begin at the places 1, 0, 0 and 0, as long as they may be or shorter."""
    weights, valid = freeze(retro.arrays), marks(3)  # type: ignore
    expected = retro.logits(tokens, valid, passages)

    @jax.jit
    def block(arrays, tables, cache, tokens, shown, marks):
        model = retro.model(arrays)
        x, attention, cache = feed(model, tables, cache, tokens, shown, marks=marks)
        return model.read(x), attention, cache

    tables = retro_decoding.tables(weights, TOY.context)
    cache = retro_decoding.cut(empty(TOY, TOY.context, batch=2), 0, TOY.context)
    at, neighbours = 0, np.any(passages.valid, -1)
    for size in (M - 1, M, M, M - 1):
        u, inside = (at + 1) // M - 1, slice(at, at + size)
        shown = part(passages, slice(u, u + 1)) if u >= 0 else None
        logits, attention, cache = block(
            retro.arrays, tables, cache, tokens[:, inside], shown, valid[:, inside]
        )
        np.testing.assert_allclose(logits, expected[:, inside], rtol=0, atol=1e-5)
        seen = np.repeat(neighbours[:, [u]] & (u >= 0), size, axis=1)  # [B Q K]
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
    tables = retro_decoding.tables(weights, TOY.context)
    before = random_passages(TOY, 1, 1, seed=6)
    seen, cache = np.ones((1, T), bool), empty(TOY, SLOTS)
    for at, size, shown in ((0, M - 1, None), (M - 1, M, before)):
        _, cache = retro_decoding.read(
            weights, retro_decoding.tables(weights, SLOTS), cache, row[:, at : at + size],
            seen[:, at : at + size], np.int32(size), np.bool_(not at), shown,
        )  # fmt: skip
    cache = retro_decoding.cut(cache, 2 * M - 1, TOY.context)
    picks = np.array([[0, 1], [2, -1], [-1, -1], [1, 0]], np.int32)
    padded = np.full((1, M + 1), 7, np.int32)
    padded[0, : length + 1] = row[0, 2 * M - 1 : 2 * M + length]
    extended = retro_decoding.extend(
        weights, tables, cache, padded[:, :-1], padded[:, 1:],
        np.int32(length), Passages(some.tokens, valid), picks,
    )  # fmt: skip
    logprobs, attention = np.asarray(extended.logprobs), np.asarray(extended.attention)
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


def test_a_block_that_does_not_fit_is_refused(retro: Toy):
    slots, tokens, valid = PlainSlots(TOY, retro.arrays), np.zeros(16, np.int32), np.ones(16, bool)
    for at, count in ((0, M + 1), (TOY.context - 1, 2), (0, 0)):
        with pytest.raises(ValueError, match=f"block of {count} tokens from {at} on .* 1 to {M} "):
            slots.read(0, Block(at, tokens[:count], valid[:count]))


def test_warming_up_compiles_all_that_reading_and_stepping_need(retro: Toy):
    slots = PlainSlots(TOY, retro.arrays)
    read = compile_decoding(TOY).read
    read.clear_cache()  # type: ignore
    slots.warm_up()
    compiled = read._cache_size()  # type: ignore
    greedy, one = Draw(Sampling(temperature=0), 0), np.ones(1, np.int32)
    slots.read(0, Block(0, np.ones(M - 1, np.int32), np.ones(M - 1, bool)), greedy)
    slots.read(0, Block(M - 1, one, one > 0, ()), greedy)
    slots.step([Step(0, M, 5, greedy)])
    assert read._cache_size() == compiled == 3  # type: ignore
