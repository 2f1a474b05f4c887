"""Small models with random weights, for comparing the engine with tests/oracle.py."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from flax import nnx

from engine.checkpoint import graph_of, nest, shapes_of
from engine.decode import Logits, PlainSlots
from engine.presets import Preset, Retrieval, preset
from engine.retro import Passages
from engine.sampling import Choice, Draw
from engine.tokenizer import EOS
from retrieval.protocol import Neighbour

# Odd sizes, so that no two axes can be taken for each other: heads * head_dim is not the width, a
# neighbour is not two chunks, and the encoder resembles the decoder in nothing. The epsilon is
# large enough to show when it is left out.
TOY = replace(
    preset("tiny"), name="toy", layers=3, width=20, heads=3, head_dim=6, ffw=36, vocab=61,
    context=16, chunk=4, norm_eps=1e-2,
    retrieval=Retrieval(
        (2, 3), width=14, heads=2, head_dim=5, ffw=26, depth=2, cross=(1,), neighbour_tokens=6
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Toy:
    """A model to test: its weights by name, and its compiled full pass.

    logits(tokens [B T], valid [B T] or None, passages or None) -> [B T V]
    """

    preset: Preset
    arrays: dict[str, np.ndarray] = field(repr=False)
    logits: Callable[..., np.ndarray]

    def model(self, arrays: Any = None) -> Any:
        """The Flax model, with other arrays in the place of its own if given."""
        return nnx.merge(graph_of(self.preset), nest(self.arrays if arrays is None else arrays))


def random_arrays(p: Preset, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that leave nothing at its neutral value and give logits of order 1."""
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        noise = rng.standard_normal(shape)
        if name.endswith(".scale"):
            noise = 1 + 0.3 * noise
        elif name.endswith(".table"):
            noise = noise * shape[1] ** -0.5
        elif name.endswith(".kernel"):
            noise = noise * shape[0] ** -0.5
        return noise.astype(np.float32)

    return {name: draw(name, a.shape) for name, a in shapes_of(p).items()}


def toy(p: Preset, arrays: dict[str, np.ndarray] | None = None) -> Toy:
    arrays = random_arrays(p) if arrays is None else arrays
    graph = graph_of(p)

    @jax.jit
    def logits(weights: Any, *inputs: Any) -> jax.Array:
        return nnx.merge(graph, weights)(*inputs)

    return Toy(p, arrays, lambda *inputs: np.asarray(logits(nest(arrays), *inputs)))


def decoder_of(retro: Toy) -> Toy:
    """The Gopher inside a RETRO."""
    inside = {
        name.removeprefix("decoder."): array
        for name, array in retro.arrays.items()
        if name.startswith("decoder.")
    }
    return toy(replace(retro.preset, name="toy-decoder", retrieval=None), inside)


class Endless(PlainSlots):
    """Never ends a reply by chance: eos is the least likely token."""

    def choose(self, logits: Logits, draws: Draw) -> Choice:
        return super().choose(logits.at[:, EOS].set(-1e9), draws)


def random_tokens(p: Preset, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, p.vocab, shape, dtype=np.int32)


def random_passages(p: Preset, batch: int, chunks: int, k: int = 2, seed: int = 1) -> Passages:
    """Neighbours for every chunk, all of their tokens valid."""
    assert p.retrieval is not None
    shape = (batch, chunks, k, p.retrieval.neighbour_tokens)
    return Passages(random_tokens(p, *shape, seed=seed), np.ones(shape, bool))  # type: ignore


def neighbour(seed: int, length: int | None = None) -> Neighbour:
    """A passage and its continuation for the preset "tiny", of its length in tokens or another."""
    p = preset("tiny")
    assert p.retrieval is not None
    count = p.retrieval.neighbour_tokens
    ids = np.random.default_rng(seed).integers(4, p.vocab, length or count).tolist()
    half = count // 2
    return Neighbour(
        seed, seed, f"Title {seed}", "toy", 0, 0, 5, "text", "more", tuple(ids[:half]),
        tuple(ids[half:]), 0.5,
    )  # fmt: skip
