"""The layers of Gopher and RETRO: projections, RMSNorm, Transformer-XL relative attention, MLP.

Axes: B batch, T tokens (queries Q, keys K), D width, N heads, H head width, W distances.
Arithmetic runs in the type of the weights; norms and softmax in float32.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from engine.quant import look_up, multiply, read_out

MASKED = -1e9  # finite, so that a row with nothing to attend to stays finite

Part = Callable[[Callable[..., Any]], Callable[..., Any]]  # wraps a part of a layer


def whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """Leaves a part of a layer as it is: what it computes is kept for the backward pass."""
    return function


class Linear(nnx.Module):
    """x [... I] -> [... O]; no bias."""

    def __init__(self, size_in: int, size_out: int, *, scale: float = 0.02, rngs: nnx.Rngs):
        self.kernel = nnx.Param(scale * jax.random.normal(rngs.params(), (size_in, size_out)))

    def __call__(self, x: jax.Array) -> jax.Array:
        return multiply(x, self.kernel.get_value())


class Embedding(nnx.Module):
    """Token ids [... T] -> [... T D]."""

    def __init__(self, vocab: int, width: int, *, rngs: nnx.Rngs):
        self.table = nnx.Param(0.02 * jax.random.normal(rngs.params(), (vocab, width)))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        return look_up(self.table.get_value(), tokens)

    def read(self, x: jax.Array) -> jax.Array:
        """The tied read-out: x [... D] -> logits float32 [... V]"""
        return read_out(x, self.table.get_value()).astype(jnp.float32)


class RMSNorm(nnx.Module):
    """x / sqrt(mean(x^2) + eps) * scale."""

    def __init__(self, width: int, eps: float):
        self.scale = nnx.Param(jnp.ones(width))
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32)
        rms = jax.lax.rsqrt(jnp.mean(jnp.square(wide), -1, keepdims=True) + self.eps)
        return (wide * rms).astype(x.dtype) * self.scale[...]


class MLP(nnx.Module):
    """Two matrices with a GELU between."""

    def __init__(self, width: int, ffw: int, *, out_scale: float, rngs: nnx.Rngs):
        self.up = Linear(width, ffw, rngs=rngs)
        self.down = Linear(ffw, width, scale=out_scale, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(jax.nn.gelu(self.up(x)))


def sinusoids(distances: jax.Array | np.ndarray, width: int) -> jax.Array:
    """phi(d), sines then cosines: distances [W] -> float32 [W D] (Dai et al. 2019, section 3.3)."""
    frequency = 10_000.0 ** (-2 * np.arange(width // 2) / width)
    angle = jnp.asarray(distances, jnp.float32)[:, None] * jnp.asarray(frequency, jnp.float32)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def distances(queries: int, keys: int, offset: int = 0) -> np.ndarray:
    """All distances i - j + offset of a block, largest first: int [queries + keys - 1]."""
    return np.arange(queries - 1 + offset, offset - keys, -1)


def relative_scores(q: jax.Array, r: jax.Array, keys: int) -> jax.Array:
    """q [... Q N H], r [W N H] in the order of `distances` -> q_i . r_(i-j) [... N Q K].

    The relative shift of Transformer-XL (appendix B): one product with every distance, then each
    row is read one place further left than the row above it, by a reshape instead of a gather.
    With fewer than Q+K-1 distances the smallest are left out; scores that need them are garbage
    and must be masked (a causal block needs only the Q that are not negative).
    """
    Q, W = q.shape[-3], r.shape[0]
    r = jnp.pad(r, ((0, 1), (0, 0), (0, 0)))  # makes the row stride W after the shift
    b = jnp.einsum("...QNH,WNH->...NQW", q, r)
    flat = b.reshape(*b.shape[:-2], Q * (W + 1))[..., Q - 1 : Q - 1 + Q * W]
    return flat.reshape(*b.shape[:-2], Q, W)[..., :keys]


class RelativeAttention(nnx.Module):
    """Attention with content and position terms (Dai et al. 2019, section 3.3):

    score(i, j) = [(q_i + u) . k_j + (q_i + v) . W_R phi(distance)] / sqrt(H)

    Queries come from a stream of `width`, keys and values from one of `source` (the same for
    self-attention). Keys carry no position, so a cache of them never has to be re-indexed.
    """

    def __init__(
        self, width: int, source: int, heads: int, head_dim: int, *,
        out_scale: float, rngs: nnx.Rngs,
    ):  # fmt: skip
        inner = heads * head_dim
        self.q = Linear(width, inner, rngs=rngs)
        self.k = Linear(source, inner, rngs=rngs)
        self.v = Linear(source, inner, rngs=rngs)
        self.r = Linear(width, inner, rngs=rngs)
        self.o = Linear(inner, width, scale=out_scale, rngs=rngs)
        self.content_bias = nnx.Param(jnp.zeros((heads, head_dim)))  # u
        self.position_bias = nnx.Param(jnp.zeros((heads, head_dim)))  # v
        self.width, self.heads, self.head_dim = width, heads, head_dim

    def _split(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:-1], self.heads, self.head_dim)

    def keys_values(self, source: jax.Array) -> tuple[jax.Array, jax.Array]:
        """source [... K D] -> keys, values [... K N H]"""
        return self._split(self.k(source)), self._split(self.v(source))

    def position_keys(self, distances: jax.Array | np.ndarray) -> jax.Array:
        """distances [W] -> W_R phi(d) [W N H]"""
        phi = sinusoids(distances, self.width).astype(self.content_bias.dtype)
        return self._split(self.r(phi))

    def __call__(
        self,
        x: jax.Array,
        k: jax.Array,
        v: jax.Array,
        r: jax.Array,
        mask: jax.Array,
        repeats: int = 1,
    ) -> jax.Array:
        """What x [... Q D] reads from v [... K N H], see `weights` -> [... Q D]

        A query whose mask is empty gets exactly 0.
        """
        return self.read(self.weights(x, k, r, mask, repeats), v)

    def weights(
        self, x: jax.Array, k: jax.Array, r: jax.Array, mask: jax.Array, repeats: int = 1
    ) -> jax.Array:
        """x [... Q D], k [... K N H], r [W N H], mask [... Q K] bool -> [... N Q K]

        r holds the position keys of `distances(Q, K)`, see `relative_scores`. With `repeats` the
        keys are that many sources one after the other, each at the same distances. A query's
        weights add up to 1, or are all 0 where its mask is empty.
        """
        q = self._split(self.q(x))
        content = jnp.einsum("...QNH,...KNH->...NQK", q + self.content_bias[...], k)
        position = relative_scores(q + self.position_bias[...], r, k.shape[-3] // repeats)
        if repeats > 1:
            position = jnp.concatenate([position] * repeats, axis=-1)
        scores = (content + position).astype(jnp.float32) * self.head_dim**-0.5
        seen = mask[..., None, :, :]
        weights = jax.nn.softmax(jnp.where(seen, scores, MASKED), axis=-1)
        return jnp.where(seen.any(-1, keepdims=True), weights, 0.0).astype(k.dtype)

    def read(self, weights: jax.Array, v: jax.Array) -> jax.Array:
        """weights [... N Q K], v [... K N H] -> [... Q D]"""
        y = jnp.einsum("...NQK,...KNH->...QNH", weights, v)
        return self.o(y.reshape(*y.shape[:-2], self.heads * self.head_dim))
