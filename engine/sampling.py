"""Choosing the next token from logits. Axes: B batch, V vocabulary."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from engine import slots

ALTERNATIVES = 5  # how many of the likeliest tokens are reported with each choice
LIKELIEST = 256  # tokens that a draw looks at first; hardly ever needs more
_SLACK = 1e-4  # far beyond how much two float32 sums of a whole row of probabilities differ


class Draw(NamedTuple):
    """How one token of each sequence is drawn; traced, so that a slider never recompiles."""

    temperature: jax.Array | np.ndarray  # [B] float32, 0 is greedy
    top_k: jax.Array | np.ndarray  # [B] int32, 0 keeps all
    top_p: jax.Array | np.ndarray  # [B] float32, 1 keeps all
    seed: jax.Array | np.ndarray  # [B] uint32
    number: jax.Array | np.ndarray  # [B] int32, how many tokens were drawn before


class Choice(NamedTuple):
    """The drawn token and what the model thought of it, before temperature and cuts."""

    token: jax.Array  # [B] int32
    logprob: jax.Array  # [B] float32, nats
    top: jax.Array  # [B ALTERNATIVES] int32
    top_logprobs: jax.Array  # [B ALTERNATIVES] float32


def draws_of(draws: Sequence[slots.Draw], rows: int) -> Draw:
    """Draws as the first of so many rows; the others are never drawn."""

    def column(dtype: type, values: Sequence[float]) -> np.ndarray:
        filled = np.ones(rows, dtype)
        filled[: len(draws)] = values
        return filled

    return Draw(
        column(np.float32, [d.sampling.temperature for d in draws]),
        column(np.int32, [d.sampling.top_k for d in draws]),
        column(np.float32, [d.sampling.top_p for d in draws]),
        column(np.uint32, [d.sampling.seed for d in draws]),
        column(np.int32, [d.number for d in draws]),
    )


def drawn_of(choice: Choice, count: int) -> list[slots.Drawn]:
    """The first `count` rows of a choice, on the host."""
    token, logprob, top, top_logprobs = (a.tolist() for a in jax.device_get(choice))
    return [
        slots.Drawn(token[i], logprob[i], tuple(zip(top[i], top_logprobs[i], strict=True)))
        for i in range(count)
    ]


def sample(logits: jax.Array, draw: Draw) -> Choice:
    """`sample_rows` for all rows [B V]."""
    return sample_rows(logits, draw, logits.shape[0])


class Ranked(NamedTuple):
    """The likeliest tokens of a row of logits, and what its probabilities add up to.

    One row, or B of them with an axis in front.
    """

    values: jax.Array  # [K] logits over the temperature, largest first
    ids: jax.Array  # [K]
    largest: jax.Array  # [] of the logits
    log_total: jax.Array  # [] log sum exp(logit - largest)
    total: jax.Array  # [] sum exp((logit - largest) / temperature)


def sample_rows(
    logits: jax.Array, draw: Draw, count: jax.Array | int, ranked: Ranked | None = None
) -> Choice:
    """logits float32 [B V] -> one token for each of the first `count` [] rows, 0 in the others.

    Top-k, then the nucleus: the fewest likeliest tokens whose probability at this temperature
    reaches top_p, always at least one. The same seed, number and logits give the same token in
    any batch: one row after the other, so that its bits do not depend on the batch, and a row that
    needs little takes little. `ranked` may bring what else is computed here.
    """
    B, V = logits.shape
    tops = min(ALTERNATIVES, V)
    empty = Choice(
        jnp.zeros(B, jnp.int32), jnp.zeros(B, jnp.float32),
        jnp.zeros((B, tops), jnp.int32), jnp.zeros((B, tops), jnp.float32),
    )  # fmt: skip

    def put(i: jax.Array, done: Choice) -> Choice:
        one = Draw(*(jnp.asarray(a)[i] for a in draw))
        best = rank(logits[i], one) if ranked is None else Ranked(*(a[i] for a in ranked))
        row = _sample_row(logits[i], best, one)
        return Choice(*(a.at[i].set(new) for a, new in zip(done, row, strict=True)))

    return jax.lax.fori_loop(0, count, put, empty)


def _temper(logits: jax.Array, draw: Draw) -> jax.Array:
    return logits / jnp.maximum(draw.temperature, 1e-4)


def rank(logits: jax.Array, draw: Draw) -> Ranked:
    """logits [V], and a draw of scalars"""
    scaled = _temper(logits, draw)
    # the barrier keeps XLA from reading parts of a whole sort in its place
    top = jax.lax.top_k(scaled, min(LIKELIEST, logits.shape[0]))
    values, ids = jax.lax.optimization_barrier(top)
    largest = logits.max()
    log_total = jnp.log(jnp.exp(logits - largest).sum())
    return Ranked(values, ids, largest, log_total, jnp.exp(scaled - values[0]).sum())


def _sample_row(logits: jax.Array, best: Ranked, draw: Draw) -> Choice:
    """logits [V], and a draw of scalars"""
    rank, certain = _among_likeliest(logits.shape[0], best, draw)
    token = jax.lax.cond(
        certain | (draw.temperature <= 0),
        lambda: best.ids[jnp.where(draw.temperature > 0, rank, 0)],
        lambda: _among_all(_temper(logits, draw), draw),
    ).astype(jnp.int32)
    top = best.ids[:ALTERNATIVES].astype(jnp.int32)
    logprobs = [logits[i] - best.largest - best.log_total for i in (token, top)]
    return Choice(token, logprobs[0], top, logprobs[1])


def _among_likeliest(V: int, best: Ranked, draw: Draw) -> tuple[jax.Array, jax.Array]:
    """The rank that `_among_all` draws, and whether that is certain from the likeliest alone.

    The sums differ in their last bits, so the nucleus may end a rank earlier or later than there.
    It is drawn from the largest that is possible; a winner inside the smallest wins in all.
    """
    K = best.values.shape[0]
    limit = _limit(draw, V)
    kept = jnp.where(jnp.arange(K) < limit, best.values, -jnp.inf)
    among = jnp.where(limit <= K, jnp.exp(kept - kept[0]).sum(), best.total)
    probabilities = jnp.exp(kept - kept[0]) / among
    before = jnp.cumsum(probabilities) - probabilities
    least = (before < draw.top_p - _SLACK) | (jnp.arange(K) == 0)
    most = (before < draw.top_p + _SLACK) | (jnp.arange(K) == 0)
    rank = jnp.argmax(_gumbel(draw, K) + jnp.where(most, kept, -jnp.inf))
    nucleus = ~most[-1] & (limit >= V)  # with a top_k between, it is not known what adds up to 1
    return rank, least[rank] & (nucleus | (limit <= K))


def _among_all(scaled: jax.Array, draw: Draw) -> jax.Array:
    """The token drawn, by sorting all of them."""
    V = scaled.shape[0]
    order = jnp.argsort(-scaled)  # likeliest first
    ranked = jnp.where(jnp.arange(V) < _limit(draw, V), scaled[order], -jnp.inf)
    probabilities = jax.nn.softmax(ranked)
    before = jnp.cumsum(probabilities) - probabilities
    kept = (before < draw.top_p) | (jnp.arange(V) == 0)
    return order[jnp.argmax(_gumbel(draw, V) + jnp.where(kept, ranked, -jnp.inf))]


def _limit(draw: Draw, most: int) -> jax.Array:
    return jnp.where(draw.top_k > 0, draw.top_k, most)


def _gumbel(draw: Draw, count: int) -> jax.Array:
    """[count]; the first of them are the same for any count."""
    key = jax.random.fold_in(jax.random.key(draw.seed), draw.number)
    return jax.random.gumbel(key, (count,))
