"""Exact and near-duplicates, and the test-set filter."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.training.duplicates import (
    BANDS,
    ORDERS,
    SIMILAR,
    N,
    band_keys,
    digest,
    exact_duplicates,
    group,
    hash_ngrams,
    near_duplicates,
    plain_words,
    signature,
    similarity,
)
from engine.training.overlap import hold_out

RNG = random.Random(5)
VOCABULARY = ["".join(RNG.choices("abcdefghij", k=6)) for _ in range(3000)]


def drawn(count: int, rng: random.Random) -> list[str]:
    return rng.choices(VOCABULARY, k=count)


def digests(*texts: str) -> np.ndarray:
    return np.frombuffer(b"".join(digest([t]) for t in texts), np.uint8).reshape(-1, 16)


def dropped(*texts: str) -> dict[int, tuple[int, float]]:
    marks = np.array([signature(hash_ngrams(plain_words(t))) for t in texts])
    groups = [rows for band in range(BANDS) for rows in group(band_keys(marks, band))]
    return near_duplicates(marks, digests(*texts), groups)


@given(st.lists(st.sampled_from("abcd"), max_size=12), st.randoms())
def test_exact_duplicates_leave_the_same_texts_in_any_order(texts: list[str], rng: random.Random):
    def stay(texts: list[str]) -> list[str]:
        first = exact_duplicates(digests(*texts))
        return [t for i, t in enumerate(texts) if first[i] == i]

    shuffled = rng.sample(texts, len(texts))
    assert sorted(stay(texts)) == sorted(stay(shuffled)) == sorted(set(texts))
    assert stay(stay(texts)) == stay(texts)


def test_a_digest_knows_where_parts_end():
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["\ud800"]) != digest([""])  # half a character, which JSON may hold


@pytest.mark.parametrize("shared", [0.0, 0.2, 0.5, 0.8, 0.9, 1.0])
def test_minhash_estimates_the_true_jaccard_similarity(shared: float):
    rng = np.random.default_rng(int(shared * 10))
    errors = []
    for _ in range(20):
        both = rng.integers(0, 2**64, 2000, np.uint64)
        cut = int(2000 * shared)
        rest = (2000 - cut) // 2
        a, b = both[: cut + rest], np.concatenate([both[:cut], both[cut + rest :]])
        true = len(np.intersect1d(a, b)) / len(np.union1d(a, b))
        errors.append(float(similarity(signature(a), signature(b))) - true)
    assert abs(np.mean(errors)) < 0.025
    assert np.max(np.abs(errors)) < 4 * np.sqrt(0.25 / ORDERS)


def test_a_signature_is_of_a_set():
    ngrams = np.arange(700, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    shuffled = np.random.default_rng(0).permutation(np.concatenate([ngrams, ngrams[:99]]))
    np.testing.assert_array_equal(signature(ngrams), signature(shuffled))


def test_hashes_of_words_are_the_same_in_every_process():
    words = [f"w{i}" for i in range(N)]
    assert hash_ngrams(words).tolist() == [10612344222695295514]


def test_ngrams_ignore_case_punctuation_and_white_space():
    a = plain_words("The harbour -- dug in 1411 --\nis (still) in use!")
    assert a == plain_words("the HARBOUR, dug in 1411, is still in use")
    assert len(hash_ngrams(a * 3)) == len(a) * 3 - N + 1
    assert len(hash_ngrams(a[: N - 1])) == 0


def test_a_planted_near_duplicate_is_found_and_an_unrelated_text_is_not():
    rng = random.Random(1)
    words = drawn(900, rng)
    changed = [*words[:450], "changed", *words[451:]]
    found = dropped(" ".join(words), " ".join(drawn(900, rng)), " ".join(changed))
    assert len(found) == 1
    (row, (twin, similar)) = next(iter(found.items()))
    assert {row, twin} == {0, 2}
    assert similar > SIMILAR


def test_texts_of_lower_similarity_stay():
    words = drawn(900, random.Random(2))
    other = [*words[:500], *drawn(400, random.Random(3))]
    assert dropped(" ".join(words), " ".join(other)) == {}


def test_which_near_duplicates_go_depends_on_the_texts_alone():
    rng = random.Random(4)
    texts = []
    for _ in range(6):
        words = drawn(400, rng)
        for _ in range(rng.randint(1, 4)):
            words = [w if rng.random() > 0.003 else "new" for w in words]
            texts.append(" ".join(words))

    def stay(texts: list[str]) -> set[str]:
        gone = dropped(*texts)
        return {t for i, t in enumerate(texts) if i not in gone}

    left = stay(texts)
    assert 6 <= len(left) < len(texts)
    for _ in range(5):
        assert stay(rng.sample(texts, len(texts))) == left
    assert stay(sorted(left)) == left


def test_each_text_that_goes_is_similar_to_one_that_stays():
    words = drawn(500, random.Random(6))
    texts = [" ".join([*words[: 500 - 2 * i], *drawn(2 * i, random.Random(i))]) for i in range(20)]
    gone = dropped(*texts)
    assert gone
    for row, (twin, similar) in gone.items():
        assert twin not in gone and twin != row
        assert similar > SIMILAR


def test_a_planted_13_gram_of_a_test_file_is_found_where_it_stands():
    rng = random.Random(7)
    tested = drawn(60, rng)
    held_out = hold_out([(0, " ".join(drawn(60, rng))), (1, " ".join(tested))])
    text = [*drawn(100, rng), *tested[20 : 20 + N], *drawn(100, rng)]
    assert held_out.find(hash_ngrams(text)) == (100, 1)
    text = [*drawn(100, rng), *tested[20 : 20 + N - 1], *drawn(100, rng)]
    assert held_out.find(hash_ngrams(text)) is None


def test_a_planted_13_gram_is_found_in_other_dress():
    tested = "It was the year 1411, the year in which the people of Weir dug a harbour."
    held_out = hold_out([(0, tested)])
    assert held_out.find(hash_ngrams(plain_words(f"({tested.upper().replace(' ', '  ')})")))


def test_short_test_texts_are_counted_and_not_looked_for():
    held_out = hold_out([(0, "Who dug it?"), (0, "")])
    assert held_out.short == 2
    assert held_out.find(hash_ngrams(drawn(50, random.Random(8)))) is None
    assert hold_out([]).find(hash_ngrams(drawn(50, random.Random(8)))) is None
