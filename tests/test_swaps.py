"""Words exchanged for others, alike in a text and in its neighbours."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.training.neighbours import retrofit_batch
from engine.training.swaps import FIRST, draw_swaps

VOCAB, M = 2000, 16


@given(st.integers(0, 2**32), st.floats(0, 1), st.sets(st.integers(0, VOCAB - 1), max_size=9))
def test_tokens_change_places_and_some_are_kept(seed, share, kept):
    swaps = draw_swaps(np.random.default_rng(seed), VOCAB, share, kept)
    assert sorted(swaps) == list(range(VOCAB))
    assert (swaps[:FIRST] == np.arange(FIRST)).all()
    assert all(swaps[token] == token for token in kept)
    assert (swaps != np.arange(VOCAB)).sum() <= share * VOCAB


def test_a_vocabulary_of_common_pieces_alone_stays():
    assert (draw_swaps(np.random.default_rng(0), 300, 1.0) == np.arange(300)).all()


def test_text_and_neighbours_are_exchanged_alike():
    stream = np.random.default_rng(1).integers(0, VOCAB, 5000).astype(np.uint16)

    def all_tokens(step: int, swaps: float) -> list[int]:
        batch = retrofit_batch(
            stream, step, batch=1, chunks=2, chunk=M, k=1, seed=0, swaps=swaps, vocab=VOCAB
        )
        assert batch.passages is not None
        parts = batch.tokens, batch.targets, batch.passages.tokens
        return [token for part in parts for token in part.ravel().tolist()]

    changed = 0
    for step in range(20):
        before, after = all_tokens(step, 0.0), all_tokens(step, 0.5)
        pairs = set(zip(before, after, strict=True))
        assert len(pairs) == len(set(before)) == len(set(after))  # one for one
        changed += before != after
    assert 4 < changed < 16
