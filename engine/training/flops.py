"""How many floating-point operations a batch takes, by formula, and what devices could do.

A product of [A B] and [B C] counts 2ABC. Model operations alone: what rematerialisation computes
again is not counted, nor are softmax, norms and the optimiser. Attention is counted whole, as it is
computed, not halved for the mask.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.presets import Preset, Retrieval

# Dense bfloat16 operations a second, from the vendors' data sheets; what a device calls itself.
PEAKS = {
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,  # what a v5p calls itself
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
}


def share_of_peak(flops: float, device: str, devices: int) -> float | str:
    """Operations a second as a share of the devices' bfloat16 peak, or "unknown"."""
    peak = next((peak for name, peak in PEAKS.items() if device.startswith(name)), None)
    return "unknown" if peak is None else float(f"{flops / (peak * devices):.4g}")


@dataclass(frozen=True)
class Products:
    """Operations of a forward pass: with weights, and between activations (attention)."""

    weights: float = 0.0
    activations: float = 0.0

    def __add__(self, other: "Products") -> "Products":
        return Products(self.weights + other.weights, self.activations + other.activations)

    @property
    def forward(self) -> float:
        return self.weights + self.activations

    @property
    def trained(self) -> float:
        """Forward, and backward to weights and inputs."""
        return 3 * self.forward

    @property
    def passed(self) -> float:
        """Forward, and backward to the inputs alone, as the weights are frozen."""
        return 2 * self.weights + 3 * self.activations


def batch_flops(p: Preset, batch: Any, *, frozen_base: bool = False) -> float:
    """The operations of one training step on a batch (see engine/training/step.py)."""
    B, T = int(np.prod(batch.tokens.shape[:-1])), batch.tokens.shape[-1]
    inner = p.heads * p.head_dim
    attention = _attention(B * T, B * T, T, T, p.width, p.width, inner)
    mlp = Products(4.0 * B * T * p.width * p.ffw)
    read = Products(2.0 * B * batch.targets.shape[-1] * p.width * p.vocab)
    layers = [attention + mlp] * p.layers
    s = p.retrieval
    if s is None or batch.passages is None:
        return sum(layers, read).trained
    L, K, R = batch.passages.tokens.shape[-3:]
    new = _encoder(p, s, B * L, K, R) + _crosses(p, s, B * L, K, R)
    if not frozen_base:
        return (sum(layers, read) + new).trained
    first = min(s.layers)  # up to its self-attention nothing waits for a gradient
    below = sum(layers[: first - 1], attention)
    above = sum(layers[first:], mlp + read)
    return below.forward + above.passed + new.trained


def _encoder(p: Preset, s: Retrieval, chunks: int, K: int, R: int) -> Products:
    rows, inner = chunks * K * R, s.heads * s.head_dim
    itself = _attention(rows, rows, R, 2 * R - 1, s.width, s.width, inner)
    chunk = _attention(
        rows, chunks * p.chunk, p.chunk, R + p.chunk - 1, s.width, p.width, inner
    )  # fmt: skip
    mlp = Products(4.0 * rows * s.width * s.ffw)
    return sum([itself + mlp] * s.depth + [chunk] * len(s.cross), Products())


def _crosses(p: Preset, s: Retrieval, chunks: int, K: int, R: int) -> Products:
    rows, M = chunks * K * R, p.chunk
    one = _attention(chunks * M, rows, K * R, M + R - 1, p.width, s.width, p.heads * p.head_dim)
    return sum([one] * len(s.layers), Products())


def _attention(
    queries: int, sources: int, keys: int, distances: int, width: int, source: int, inner: int
) -> Products:
    """Relative attention of `queries` positions to `keys` each, out of `sources` that are
    projected to keys and values; each query is multiplied with all `distances`."""
    projections = 4.0 * queries * width * inner + 4.0 * sources * source * inner
    table = 2.0 * distances * width * inner
    scores = 2.0 * queries * (2 * keys + distances) * inner
    return Products(projections + table, scores)
