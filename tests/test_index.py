"""retrieval.index: one contract for Faiss and for brute force."""

import queue
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.index import ExactIndex, FlatIndex

W = 8
both = pytest.mark.parametrize("make", [FlatIndex, ExactIndex])


def some_keys(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, W), dtype=np.float32)


@both
def test_the_nearest_come_first_with_squared_distances(make):
    index = make(W)
    keys = some_keys(30)
    index.add(keys, np.arange(30) * 7)
    distances, ids = index.search(keys[3:5] + 0.01, 4)
    assert ids[:, 0].tolist() == [21, 28]
    np.testing.assert_allclose(distances[:, 0], W * 0.01**2, rtol=1e-2)
    assert (np.diff(distances) >= 0).all()


@both
def test_where_fewer_exist_the_id_is_minus_one_and_the_distance_infinite(make):
    index = make(W)
    index.add(some_keys(2), np.array([5, 9]))
    distances, ids = index.search(some_keys(1, 1), 4)
    assert sorted(ids[0, :2].tolist()) == [5, 9]
    assert ids[0, 2:].tolist() == [-1, -1]
    assert np.isinf(distances[0, 2:]).all()


@both
def test_an_empty_index_and_empty_searches_answer(make):
    index = make(W)
    assert index.search(some_keys(1), 2)[1].tolist() == [[-1, -1]]
    assert index.search(some_keys(0), 2)[0].shape == (0, 2)
    assert index.search(some_keys(3), 0)[0].shape == (3, 0)


@both
def test_what_is_removed_is_not_found_and_may_come_again(make):
    index = make(W)
    keys = some_keys(5)
    index.add(keys, np.arange(5))
    index.remove(np.array([2, 4, 99]))
    assert len(index) == 3
    assert sorted(index.search(keys[2:3], 5)[1][0].tolist()) == [-1, -1, 0, 1, 3]
    index.add(keys[2:3], np.array([2]))
    assert index.search(keys[2:3], 1)[1].tolist() == [[2]]
    np.testing.assert_array_equal(index.keys(np.array([3, 2])), keys[[3, 2]])


@both
@pytest.mark.parametrize(
    ("keys", "ids"),
    [
        (some_keys(2)[:, :5], [1, 2]),
        (some_keys(2), [1]),
        (some_keys(2), [1, 1]),
        (some_keys(2), [0, 1]),
        (some_keys(2), [-1, 1]),
        (np.full((1, W), np.nan, np.float32), [1]),
    ],
    ids=["width", "count", "twice", "already there", "negative", "not a number"],
)
def test_keys_and_ids_that_do_not_fit_are_refused_and_change_nothing(make, keys, ids):
    index = make(W)
    index.add(some_keys(1), np.array([0]))
    with pytest.raises(ValueError):
        index.add(keys, np.array(ids))
    assert len(index) == 1


@both
def test_the_key_of_an_unknown_id_is_an_error(make):
    with pytest.raises(KeyError):
        make(W).keys(np.array([3]))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=40), st.integers(1, 12))
@settings(deadline=None)
def test_faiss_equals_brute_force_through_any_additions_and_removals(steps, k):
    flat, exact = FlatIndex(W), ExactIndex(W)
    for i, (adds, id) in enumerate(steps):
        for index in (flat, exact):
            if adds and id not in index.ids:
                index.add(some_keys(1, i), np.array([id]))
            elif not adds:
                index.remove(np.array([id]))
    queries = some_keys(3, 99)
    found, truth = flat.search(queries, k), exact.search(queries, k)
    np.testing.assert_array_equal(found[1], truth[1])
    np.testing.assert_allclose(found[0], truth[0], rtol=1e-4)


def test_an_index_comes_back_from_its_file(tmp_path):
    index = FlatIndex(W)
    index.add(some_keys(9), np.arange(9) + 100)
    index.save(tmp_path / "ïndex.faiss")
    again = FlatIndex.load(tmp_path / "ïndex.faiss")
    again.remove(np.array([100]))
    again.add(some_keys(1, 5), np.array([100]))
    assert (len(again), again.width) == (9, W)
    np.testing.assert_array_equal(again.keys(np.array([104])), index.keys(np.array([104])))


def test_a_file_that_is_not_an_index_is_refused(tmp_path):
    (tmp_path / "junk").write_bytes(b"not an index at all")
    with pytest.raises(ValueError, match="is not a Faiss index"):
        FlatIndex.load(tmp_path / "junk")
    with pytest.raises(ValueError, match="is not a Faiss index"):
        FlatIndex.load(tmp_path / "missing")


def test_a_place_that_cannot_be_written_is_an_oserror(tmp_path):
    with pytest.raises(OSError, match="could not be written"):
        FlatIndex(W).save(tmp_path / "no" / "such" / "folder")


def test_faiss_and_jax_run_in_one_process_from_several_threads():
    import jax
    import jax.numpy as jnp

    index = FlatIndex(64)
    index.add(np.eye(64, dtype=np.float32), np.arange(64))
    square = jax.jit(lambda x: x @ x)
    results = queue.SimpleQueue[bool]()

    def search():
        found = [index.search(np.ones((40, 64), np.float32), 5)[0] for _ in range(50)]
        results.put(bool(np.all(np.array(found) == 63)))

    def multiply():
        products = [square(jnp.ones((300, 300))) for _ in range(20)]
        results.put(bool(np.all(np.array(products) == 300)))

    for work in (search, multiply, search, multiply):
        threading.Thread(target=work, daemon=True).start()
    assert all(results.get(timeout=60) for _ in range(4))
