"""The blocks of an exact search: the same as without them, also where keys are equally near."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from engine.training.nearest import GROUP, best_of, searcher


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_best_of_groups_are_the_best_of_all_and_of_equal_ones_the_first(k: int):
    rng = np.random.default_rng(k)
    near = rng.integers(0, 12, (50, 8 * GROUP)).astype(np.float32)  # with many ties
    near[rng.random(near.shape) < 0.2] = -np.inf
    near[3] = -np.inf
    for found, wanted in zip(best_of(jnp.asarray(near), k), jax.lax.top_k(near, k), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_size_of_blocks_changes_nothing():
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(300, 16)).astype(np.float16)
    keys[200:] = keys[:100]  # equally near ones in other blocks
    documents, about = np.arange(300) // 3, (np.arange(300) // 3)[:, None]
    results = [
        searcher(keys, documents, 3, most, compared)(keys[:40], about[:40])
        for most, compared in ((40, 300), (64, 4 * GROUP), (40, 7 * GROUP))
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
