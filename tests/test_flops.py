"""The formula for a step's operations against the compiler's count, and the devices' peaks."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from engine.checkpoint import graph_of, shapes_of
from engine.presets import Preset, preset
from engine.retro import Passages
from engine.training.batches import in_parts
from engine.training.flops import batch_flops, share_of_peak
from engine.training.step import Batch, Plan, compile_step, optimiser

WIDE = preset("retro-44m")
assert WIDE.retrieval
RETRO = replace(WIDE, layers=2, vocab=4000, retrieval=replace(WIDE.retrieval, layers=(1, 2)))
GOPHER = replace(RETRO, retrieval=None)
B, T, K = 2, 256, 2


def batch(p: Preset, targets: int = T) -> Batch:
    shape = jax.ShapeDtypeStruct
    passages = None
    if p.retrieval is not None:
        size = (B, T // p.chunk, K, p.retrieval.neighbour_tokens)
        passages = Passages(shape(size, np.int32), shape(size, bool))
    counted = shape((B, targets), np.int32), shape((B, targets), np.float32)
    return Batch(shape((B, T), np.int32), *counted, None, passages)


def counted(p: Preset, given: Batch, frozen_base: bool) -> float:
    """What XLA's cost analysis counts, norms, softmax and the optimiser included."""
    shapes, plan = shapes_of(p), Plan(9, 1e-3, 1)
    frozen = {k: v for k, v in shapes.items() if frozen_base and k.startswith("decoder.")}
    trained = {k: v for k, v in shapes.items() if k not in frozen}
    state = jax.eval_shape(optimiser(plan).init, trained)
    lowered = compile_step(graph_of(p), plan).lower(trained, frozen, state, given)  # type: ignore[attr-defined]
    return lowered.cost_analysis()["flops"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("p", "targets", "frozen"), [(GOPHER, 64, False), (RETRO, T, False), (RETRO, T, True)],
    ids=["gopher", "retro", "retrofit"],
)  # fmt: skip
def test_the_formula_agrees_with_the_compiler(p, targets, frozen):
    given = batch(p, targets)
    expected = counted(p, given, frozen)
    assert batch_flops(p, given, frozen_base=frozen) == pytest.approx(expected, rel=0.03)


def test_micro_batches_count_as_one_batch():
    whole = Batch(np.zeros((4, T)), np.zeros((4, T)), np.zeros((4, T)))
    parts = in_parts(whole, 2)
    assert parts.tokens.shape == (2, 2, T)
    assert batch_flops(GOPHER, parts) == batch_flops(GOPHER, whole)


def test_the_share_is_of_the_bfloat16_peak_of_all_devices():
    assert share_of_peak(989e12, "NVIDIA H200", 4) == 0.25
    assert share_of_peak(756e12, "NVIDIA H100 PCIe", 1) == 1.0
    assert share_of_peak(98.9e12, "NVIDIA H100 80GB HBM3", 1) == 0.1
    assert share_of_peak(197e12, "TPU v5 lite", 8) == 0.125
    assert share_of_peak(459e12, "TPU v5p", 1) == share_of_peak(918e12, "TPU v6 lite", 1) == 1.0
    assert share_of_peak(1e12, "cpu", 1) == "unknown"
