"""The nearest keys of other documents: exact, by blocked matrix products, on whatever JAX runs on.

Axes: Q queries, N chunks of a block, W width of a key, J documents about a query, k neighbours.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

GROUP = 32  # chunks of which the best one says whether they are looked at singly
NONE = -1


def searcher(
    keys: np.ndarray, documents: np.ndarray, k: int, most: int, compared: int
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """(keys of at most `most` queries [Q W], documents about them [Q J]) -> nearest chunks
    int32 [Q k], of equally near ones the first; `compared` is N."""
    n, width = keys.shape
    size = min(compared, n)
    more = -n % size
    names, numbers = np.unique(documents, return_inverse=True)  # int64 numbers -> small ones
    blocks = jnp.asarray(np.pad(keys, ((0, more), (0, 0))).reshape(-1, size, width))
    owners = jnp.asarray(
        np.pad(numbers, (0, more), constant_values=-2).astype(np.int32).reshape(-1, size)
    )

    @jax.jit
    def nearest(queries: jax.Array, about: jax.Array) -> jax.Array:
        def step(best, block):
            number, rows, owned = block
            squares = jnp.square(rows.astype(jnp.float32)).sum(-1)
            near = 2 * _products(queries, rows) - squares  # minus the squared distance, shifted
            barred = (about[:, :, None] == owned).any(1) | (owned == -2)
            near, at = best_of(jnp.where(barred, -jnp.inf, near), min(k, size))
            both = jnp.concatenate([best[0], near], 1)
            ids = jnp.concatenate([best[1], at.astype(jnp.int32) + number * size], 1)
            both, order = jax.lax.top_k(both, k)
            return (both, jnp.take_along_axis(ids, order, 1)), None

        Q = len(queries)
        start = (jnp.full((Q, k), -jnp.inf), jnp.full((Q, k), NONE, jnp.int32))
        (near, ids), _ = jax.lax.scan(step, start, (jnp.arange(len(blocks)), blocks, owners))
        return jnp.where(jnp.isfinite(near), ids, NONE)

    def search(queries: np.ndarray, about: np.ndarray) -> np.ndarray:
        at = np.searchsorted(names, about).clip(max=len(names) - 1)
        known = np.where(names[at] == about, at, -1).astype(np.int32)
        short = most - len(queries)  # one shape, compiled once
        padded = np.pad(queries, ((0, short), (0, 0))), np.pad(known, ((0, short), (0, 0)))
        return np.asarray(nearest(*padded), np.int32)[: len(queries)]

    return search


def _products(queries: jax.Array, rows: jax.Array) -> jax.Array:
    """float16 [Q W], [N W] -> float32 [Q N]. A product of two float16 is exact in float32, where
    accelerators add them up; CPUs multiply float32 faster."""
    if jax.default_backend() == "cpu":
        queries, rows = queries.astype(jnp.float32), rows.astype(jnp.float32)
    return jnp.matmul(queries, rows.T, precision="highest", preferred_element_type=jnp.float32)


def best_of(near: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """The k largest of each row [Q N] and their places, of equal ones the first, as top_k does.

    Sorting long rows is what takes longest on an accelerator. The k largest lie in the k groups
    with the largest maxima, so only those are sorted.
    """
    Q, N = near.shape
    if N % GROUP or k * GROUP > N:
        return jax.lax.top_k(near, k)
    groups = near.reshape(Q, N // GROUP, GROUP)
    chosen = jnp.sort(jax.lax.top_k(groups.max(-1), k)[1])  # in order, for equal ones
    inside = jnp.take_along_axis(groups, chosen[:, :, None], 1).reshape(Q, k * GROUP)
    best, at = jax.lax.top_k(inside, k)
    return best, jnp.take_along_axis(chosen, at // GROUP, 1) * GROUP + at % GROUP
