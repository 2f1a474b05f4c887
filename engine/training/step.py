"""The loss and one optimiser step (Gopher, section 3.2; RETROfit: RETRO, section 4.2).

Weights are flat dicts of float32 masters; the forward pass runs in `compute` precision. What is
frozen is not differentiated, so RETROfitting leaves the base bit-identical and costs less. Softmax,
norms and the loss are float32 in any precision (see engine/layers.py and `cross_entropy`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from engine.checkpoint import Arrays, nest
from engine.gopher import Gopher
from engine.layers import whole
from engine.retro import Chunks, Passages
from engine.sharding import constrain, master_sharding, state_shardings, weight_sharding

TIED = ("embedding.table", "decoder.embedding.table")  # [V D], of a Gopher and of a RETRO


class Batch(NamedTuple):
    """What one step learns from. Targets belong to the last t of T positions; `weights` is 0
    where one does not count."""

    tokens: Any  # [B T] int32
    targets: Any  # [B t] int32
    weights: Any  # [B t] float32
    valid: Any = None  # [B T] bool, False at padding; None: no padding
    passages: Passages | None = None
    sources: Any = None  # [B t] int32, where a target stands in its K*R neighbour tokens; -1: not


Batches = Callable[[int], Batch]  # by the step's number


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train. Rates follow the Gopher paper: warm-up from 1e-7, then a
    cosine to a tenth."""

    steps: int
    rate: float
    warmup: int
    clip: float = 1.0
    decay: float = 0.1
    accumulate: int = 1  # micro-batches a step
    compute: str = "float32"
    rematerialise: bool = False  # keep the stream between parts of layers, not their insides
    pointing: float = 0.0  # weight of reading a target's source beside that of predicting it


class Losses(NamedTuple):
    """Sums over a batch, in nats times weights (pointing: times their squares); and the weights."""

    nats: jax.Array  # of predicting the targets
    pointing: jax.Array  # of reading them where they stand, 0 without sources
    weight: jax.Array


def cross_entropy(model: Any, batch: Batch, slices: int = 1, rematerialise: bool = False) -> Losses:
    """The losses of a batch.

    The logits of one of `slices` parts of the batch exist at a time. With `rematerialise` the
    insides of each part of a layer are computed again in the backward pass.
    """
    part = jax.checkpoint if rematerialise else whole
    if isinstance(model, Gopher):
        x, pointing = model.hidden(batch.tokens, batch.valid, part=part)[0], jnp.float32(0)
        read = model.embedding.read
    else:
        x, _, chunks = model.hidden(batch.tokens, batch.valid, batch.passages, part)
        pointing = pointing_loss(chunks, batch, model.chunk)
        read = model.decoder.embedding.read

    x = x[:, -batch.targets.shape[1] :]

    def total(h: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(read(h), targets)
        return jnp.sum(losses * weights)

    weight = jnp.sum(batch.weights)
    if slices == 1:
        return Losses(total(x, batch.targets, batch.weights), pointing, weight)

    def add(before: jax.Array, piece: tuple) -> tuple[jax.Array, None]:
        return before + jax.checkpoint(total)(*piece), None

    # every slices-th sequence, so that where the batch is divided over devices each slice is too
    split = [
        a.reshape(-1, slices, *a.shape[1:]).swapaxes(0, 1)
        for a in (x, batch.targets, batch.weights)
    ]
    return Losses(jax.lax.scan(add, jnp.float32(0), tuple(split))[0], pointing, weight)


def pointing_loss(chunks: Chunks | None, batch: Batch, chunk: int) -> jax.Array:
    """Summed surprise, in nats times squared weights, of the last cross-attention at where the
    targets stand in the neighbours: a mean over its heads, as one alone cannot carry a whole token.
    Squared, since going on is soon learned, and where to begin would be lost among it.

    A target that is to be copied says what to predict, but not where to look for it: that is
    found by chance, slowly, and told here (guided attention: Liu et al., arXiv 1609.04186).
    """
    if batch.sources is None or chunks is None or chunks.attention is None:
        return jnp.float32(0)
    B, L, N, M, S = chunks.attention.shape
    T, t = batch.tokens.shape[1], batch.targets.shape[1]
    rows = chunks.attention.swapaxes(2, 3).reshape(B, L * M, N, S).astype(jnp.float32)
    rows = jnp.pad(rows, ((0, 0), (chunk - 1, 0), (0, 0), (0, 0)))[:, T - t : T]
    at = jnp.maximum(batch.sources, 0)[..., None, None]
    share = jnp.take_along_axis(rows, at, axis=-1)[..., 0]  # [B t N]
    surprise = -jnp.log(share + 1e-6).mean(-1)
    return jnp.sum(surprise * batch.weights**2 * (batch.sources >= 0))


def optimiser(plan: Plan) -> optax.GradientTransformation:
    """AdamW with beta 0.9, 0.95, clipped by global norm; only matrices decay.

    A shift of all embeddings alike changes no probability, but adds up over thousands of steps
    until rare tokens look the same to whatever reads them. So updates of the table are centred.
    """
    rate = optax.warmup_cosine_decay_schedule(
        1e-7, plan.rate, min(plan.warmup, plan.steps - 1), plan.steps, plan.rate / 10
    )

    def matrices(arrays: Arrays) -> dict[str, bool]:
        return {k: k.endswith(("kernel", "table")) for k in arrays}

    def centre(updates: Any, _: Any) -> dict[str, Any]:
        return {k: u - u.mean(0) if k in TIED else u for k, u in updates.items()}

    return optax.chain(
        optax.clip_by_global_norm(plan.clip),
        optax.adamw(rate, 0.9, 0.95, weight_decay=plan.decay, mask=matrices),
        optax.stateless(centre),
    )


Step = Callable[[Arrays, Arrays, Any, Batch], tuple[Arrays, Any, dict[str, jax.Array]]]


@cache  # a run that goes on in the same process need not compile again
def compile_step(
    graph: nnx.GraphDef, plan: Plan, slices: int = 1, mesh: Mesh | None = None
) -> Step:
    """(trained, frozen, optimiser state, batch) -> (trained, state, {"loss", "norm"}), and
    "pointing" where the plan weighs it and the batch has sources.

    With plan.accumulate > 1 every array of the batch has a leading axis of micro-batches. On a
    `mesh` of several devices masters, state and batch come and go as engine/sharding.py lays them
    out; weights are cast first and then gathered from the masters, so that less is sent.
    """
    tx = optimiser(plan)
    dtype = jnp.dtype(plan.compute)
    spread = mesh if mesh is not None and mesh.size > 1 else None

    def loss(trained: Arrays, frozen: Arrays, batch: Batch) -> tuple[jax.Array, Losses]:
        cast = {k: v.astype(dtype) for k, v in {**frozen, **trained}.items()}
        if spread is not None:
            cast = constrain(cast, spread, weight_sharding)
        found = cross_entropy(nnx.merge(graph, nest(cast)), batch, slices, plan.rematerialise)
        return found.nats + plan.pointing * found.pointing, found

    def gradients(trained: Arrays, frozen: Arrays, batch: Batch):
        return jax.value_and_grad(loss, has_aux=True)(trained, frozen, batch)

    def step(trained: Arrays, frozen: Arrays, state: Any, batch: Batch):
        if plan.accumulate == 1:
            (_, found), grads = gradients(trained, frozen, batch)
        else:
            zero = jax.tree.map(jnp.zeros_like, trained)

            def add(carry, micro: Batch):
                (_, found), grads = gradients(trained, frozen, micro)
                return jax.tree.map(jnp.add, carry, (found, grads)), None

            start = (Losses(*[jnp.float32(0)] * 3), zero)
            (found, grads), _ = jax.lax.scan(add, start, batch)
        weight = jnp.maximum(found.weight, 1.0)
        grads = jax.tree.map(lambda g: g / weight, grads)
        updates, state = tx.update(grads, state, trained)
        metrics = {"loss": found.nats / weight, "norm": optax.tree.norm(grads)}
        if plan.pointing and batch.sources is not None:
            metrics["pointing"] = found.pointing / weight
        moved: Any = optax.apply_updates(trained, updates)
        if spread is not None:
            moved = constrain(moved, spread, master_sharding)
            state = jax.lax.with_sharding_constraint(state, state_shardings(spread, state))
        return moved, state, metrics

    return jax.jit(step, donate_argnums=(0, 2))


@cache
def compile_loss(graph: nnx.GraphDef, slices: int = 1) -> Callable[[Arrays, Batch], Losses]:
    """(arrays, batch) -> losses; for evaluation."""
    return jax.jit(
        lambda arrays, batch: cross_entropy(nnx.merge(graph, nest(arrays)), batch, slices)
    )
