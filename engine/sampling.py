"""Choosing the next token from logits. Axes: B batch, V vocabulary."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from engine.protocol import Sampling

ALTERNATIVES = 5  # how many of the likeliest tokens are reported with each choice


class Draw(NamedTuple):
    """How one token of each sequence is drawn; traced, so that a slider never recompiles."""

    temperature: jax.Array  # [B] float32, 0 is greedy
    top_k: jax.Array  # [B] int32, 0 keeps all
    top_p: jax.Array  # [B] float32, 1 keeps all
    seed: jax.Array  # [B] uint32
    number: jax.Array  # [B] int32, how many tokens were drawn before


class Choice(NamedTuple):
    """The drawn token and what the model thought of it, before temperature and cuts."""

    token: jax.Array  # [B] int32
    logprob: jax.Array  # [B] float32, nats
    top: jax.Array  # [B ALTERNATIVES] int32
    top_logprobs: jax.Array  # [B ALTERNATIVES] float32


def draw_of(s: Sampling, number: int) -> Draw:
    """The draw of one request's token `number`, as a batch of one."""
    return Draw(
        jnp.array([s.temperature], jnp.float32),
        jnp.array([s.top_k], jnp.int32),
        jnp.array([s.top_p], jnp.float32),
        jnp.array([s.seed], jnp.uint32),
        jnp.array([number], jnp.int32),
    )


def sample(logits: jax.Array, draw: Draw) -> Choice:
    """logits float32 [B V] -> one token a sequence.

    Top-k, then the nucleus: the fewest likeliest tokens whose probability at this temperature
    reaches top_p, always at least one. The same seed, number and logits give the same token in
    any batch.
    """
    logprobs = jax.nn.log_softmax(logits)
    scaled = logits / jnp.maximum(draw.temperature, 1e-4)[:, None]
    order = jnp.argsort(-scaled, axis=-1)  # likeliest first
    ranked = jnp.take_along_axis(scaled, order, -1)
    V = logits.shape[-1]
    limit = jnp.where(draw.top_k > 0, draw.top_k, V)[:, None]
    ranked = jnp.where(jnp.arange(V) < limit, ranked, -jnp.inf)
    probabilities = jax.nn.softmax(ranked, -1)
    before = jnp.cumsum(probabilities, -1) - probabilities
    ranked = jnp.where((before < draw.top_p[:, None]) | (jnp.arange(V) == 0), ranked, -jnp.inf)

    def pick(seed: jax.Array, number: jax.Array, row: jax.Array) -> jax.Array:
        return jax.random.categorical(jax.random.fold_in(jax.random.key(seed), number), row)

    rank = jax.vmap(pick)(draw.seed, draw.number, ranked)
    rank = jnp.where(draw.temperature > 0, rank, 0)
    token = jnp.take_along_axis(order, rank[:, None], -1)[:, 0]
    top = order[:, :ALTERNATIVES]
    return Choice(
        token.astype(jnp.int32),
        jnp.take_along_axis(logprobs, token[:, None], -1)[:, 0],
        top.astype(jnp.int32),
        jnp.take_along_axis(logprobs, top, -1),
    )
