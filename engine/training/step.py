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
from engine.retro import Passages
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


def cross_entropy(
    model: Any, batch: Batch, slices: int = 1, rematerialise: bool = False
) -> tuple[jax.Array, jax.Array]:
    """Summed loss in nats and the summed weights of a batch.

    The logits of one of `slices` parts of the batch exist at a time. With `rematerialise` the
    insides of each part of a layer are computed again in the backward pass.
    """
    part = jax.checkpoint if rematerialise else whole
    if isinstance(model, Gopher):
        x = model.hidden(batch.tokens, batch.valid, part=part)[0]
        read = model.embedding.read
    else:
        x = model.hidden(batch.tokens, batch.valid, batch.passages, part)[0]
        read = model.decoder.embedding.read

    x = x[:, -batch.targets.shape[1] :]

    def total(h: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(read(h), targets)
        return jnp.sum(losses * weights)

    if slices == 1:
        return total(x, batch.targets, batch.weights), jnp.sum(batch.weights)

    def add(before: jax.Array, piece: tuple) -> tuple[jax.Array, None]:
        return before + jax.checkpoint(total)(*piece), None

    # every slices-th sequence, so that where the batch is divided over devices each slice is too
    split = [
        a.reshape(-1, slices, *a.shape[1:]).swapaxes(0, 1)
        for a in (x, batch.targets, batch.weights)
    ]
    return jax.lax.scan(add, jnp.float32(0), tuple(split))[0], jnp.sum(batch.weights)


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
    """(trained, frozen, optimiser state, batch) -> (trained, state, {"loss", "norm"}).

    With plan.accumulate > 1 every array of the batch has a leading axis of micro-batches. On a
    `mesh` of several devices masters, state and batch come and go as engine/sharding.py lays them
    out; weights are cast first and then gathered from the masters, so that less is sent.
    """
    tx = optimiser(plan)
    dtype = jnp.dtype(plan.compute)
    spread = mesh if mesh is not None and mesh.size > 1 else None

    def loss(trained: Arrays, frozen: Arrays, batch: Batch) -> tuple[jax.Array, jax.Array]:
        cast = {k: v.astype(dtype) for k, v in {**frozen, **trained}.items()}
        if spread is not None:
            cast = constrain(cast, spread, weight_sharding)
        return cross_entropy(nnx.merge(graph, nest(cast)), batch, slices, plan.rematerialise)

    def gradients(trained: Arrays, frozen: Arrays, batch: Batch):
        return jax.value_and_grad(loss, has_aux=True)(trained, frozen, batch)

    def step(trained: Arrays, frozen: Arrays, state: Any, batch: Batch):
        if plan.accumulate == 1:
            (total, weight), grads = gradients(trained, frozen, batch)
        else:
            zero = jax.tree.map(jnp.zeros_like, trained)

            def add(carry, micro: Batch):
                (total, weight), grads = gradients(trained, frozen, micro)
                return jax.tree.map(jnp.add, carry, (total, weight, grads)), None

            start = (jnp.float32(0), jnp.float32(0), zero)
            (total, weight, grads), _ = jax.lax.scan(add, start, batch)
        weight = jnp.maximum(weight, 1.0)
        grads = jax.tree.map(lambda g: g / weight, grads)
        updates, state = tx.update(grads, state, trained)
        metrics = {"loss": total / weight, "norm": optax.tree.norm(grads)}
        moved: Any = optax.apply_updates(trained, updates)
        if spread is not None:
            moved = constrain(moved, spread, master_sharding)
            state = jax.lax.with_sharding_constraint(state, state_shardings(spread, state))
        return moved, state, metrics

    return jax.jit(step, donate_argnums=(0, 2))


@cache
def compile_loss(graph: nnx.GraphDef, slices: int = 1) -> Callable[[Arrays, Batch], tuple]:
    """(arrays, batch) -> summed nats, summed weights; for evaluation."""
    return jax.jit(
        lambda arrays, batch: cross_entropy(nnx.merge(graph, nest(arrays)), batch, slices)
    )
