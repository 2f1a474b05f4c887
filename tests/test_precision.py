"""Training in bfloat16 and with rematerialisation: what is computed in which type, and that both
learn what float32 and kept activations learn."""

import re
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from engine.checkpoint import build, flatten, graph_of, nest, shapes_of
from engine.presets import preset
from engine.training.batches import plain_batch
from engine.training.neighbours import retrofit_batch
from engine.training.step import Batch, Plan, compile_step, cross_entropy, optimiser

SMALL = preset("tiny")
assert SMALL.retrieval
TINY = replace(SMALL, layers=1, retrieval=replace(SMALL.retrieval, layers=(1,), depth=1))
GOPHER = replace(TINY, retrieval=None)
STREAM = np.random.default_rng(0).integers(4, 40, 4000).astype(np.uint16)


def batch(step: int) -> Batch:
    return retrofit_batch(STREAM, step, batch=2, chunks=3, chunk=TINY.chunk, k=2, seed=0)


def arrays() -> dict[str, jax.Array]:
    return flatten(nnx.state(build(TINY, 0), nnx.Param))


def text_of_step(compute: str) -> str:
    plan = Plan(9, 1e-3, 1, compute=compute)
    shapes = shapes_of(TINY)
    state = jax.eval_shape(optimiser(plan).init, shapes)
    return compile_step(graph_of(TINY), plan).lower(shapes, {}, state, batch(0)).as_text()  # type: ignore[attr-defined]


def operands(text: str, operation: str) -> set[str]:
    """The element types that go into an operation of a lowered text."""
    found = set()
    for line in text.splitlines():
        if operation in line:
            inputs = line.rpartition(" : ")[2].partition("->")[0]
            found |= set(re.findall(r"tensor<(?:\d+x)*(\w+)>", inputs))
    return found


@pytest.mark.parametrize(("compute", "expected"), [("bfloat16", "bf16"), ("float32", "f32")])
def test_products_run_in_the_chosen_type_and_softmax_in_float32(compute, expected):
    text = text_of_step(compute)
    assert operands(text, "stablehlo.dot_general") == {expected}
    assert operands(text, "stablehlo.exponential ") == {"f32"}  # of attention and of the loss
    assert operands(text, "stablehlo.log ") == {"f32"}


def losses(compute: str) -> list[float]:
    plan = Plan(30, 1e-2, 4, compute=compute)
    trained = flatten(nnx.state(build(GOPHER, 0), nnx.Param))
    state: Any = optimiser(plan).init(trained)
    step = compile_step(graph_of(GOPHER), plan)
    found = []
    for number in range(30):
        given = plain_batch(STREAM, number, batch=2, length=3 * GOPHER.chunk, seed=0)
        trained, state, metrics = step(trained, {}, state, given)
        found.append(float(metrics["loss"]))
    assert all(v.dtype == jnp.float32 for v in jax.tree.leaves((trained, state[1][0].mu)))
    return found


def test_bfloat16_learns_as_float32_does():
    wide, narrow = losses("float32"), losses("bfloat16")
    assert narrow[0] == pytest.approx(wide[0], rel=2e-3)
    assert wide[-1] < 0.75 * wide[0]
    assert narrow[-1] == pytest.approx(wide[-1], rel=0.03)


def gradients(rematerialise: bool):
    graph, given = graph_of(TINY), batch(0)

    def loss(arrays):
        found = cross_entropy(nnx.merge(graph, nest(arrays)), given, 1, rematerialise)
        return found.nats / found.weight

    return jax.jit(jax.value_and_grad(loss))


@pytest.mark.slow
def test_rematerialisation_leaves_loss_and_gradients_as_they_are():
    (a, kept), (b, again) = (gradients(flag)(arrays()) for flag in (False, True))
    assert float(a) == pytest.approx(float(b), rel=1e-6)
    for name in kept:
        np.testing.assert_allclose(kept[name], again[name], atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_rematerialisation_keeps_a_quarter_between_forward_and_backward():
    """Counted as what the forward pass hands over: the compiler for the CPU keeps it all the same,
    those for GPU and TPU do not."""
    graph, given, shapes = graph_of(TINY), batch(0), shapes_of(TINY)

    def handed_over(rematerialise: bool) -> int:
        def loss(arrays):
            return cross_entropy(nnx.merge(graph, nest(arrays)), given, 1, rematerialise).nats

        backward = jax.eval_shape(lambda arrays: jax.vjp(loss, arrays)[1], shapes)
        weights = sum(a.size * a.dtype.itemsize for a in shapes.values())
        return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(backward)) - weights

    assert handed_over(True) < 0.25 * handed_over(False)
