"""Where RETROfitting starts: a cross-attention that already copies.

From a random start the loss rests on a plateau for thousands of steps, because finding a
neighbour's token, carrying it and naming it pay only together. So all three are put in place by
hand, as a circuit that continues what a neighbour says (the induction heads of Olsson et al.,
arXiv 2209.11895), and training goes on from there:

- encoder: the first layer adds each token's predecessor, rotated out of the way;
- finding: queries read the current token off the frozen base by a linear probe, keys hold the
  predecessor, so that a token finds the places where it was written before;
- carrying and naming: values and outputs are one rotation and its inverse, so what stands at
  such a place is added to the stream as its own embedding, which the tied read-out names.
"""

from collections.abc import Mapping

import numpy as np
from flax import nnx

from engine.checkpoint import graph_of, nest
from engine.presets import Preset

FIND, NAME = 4.0, 2.0  # scales of the query-key and the value-output maps
QUIET = 0.1  # how much of their random start the other maps of the encoder keep

Array = np.ndarray


def copying_start(
    p: Preset, arrays: Mapping[str, Array], tokens: Array, seed: int
) -> dict[str, Array]:
    """The arrays of a RETRO whose base is trained and whose rest is fresh, set to copy.

    `tokens` [B T] are text for the probes. Needs an encoder as wide as the decoder, heads that add
    up to that width, and a shared embedding; else nothing is changed.
    """
    s, D = p.retrieval, p.width
    out: dict[str, Array] = {k: np.asarray(v, np.float32) for k, v in arrays.items()}
    widths = (p.heads * p.head_dim, s.heads * s.head_dim, s.width) if s else ()
    if s is None or not s.shared_embedding or set(widths) != {D}:
        return out
    rng = np.random.default_rng(seed)
    table = out["decoder.embedding.table"]
    scale = float(np.sqrt((table**2).mean()))

    for name in out:
        quiet = name.endswith(("o.kernel", "down.kernel")) and name.startswith("encoder.")
        out[name] = out[name] * QUIET if quiet else out[name]
    before = _rotation(D, rng)
    first = "encoder.blocks.0.attention"
    carry = _rotation(D, rng)
    out[f"{first}.v.kernel"], out[f"{first}.o.kernel"] = carry, scale * carry.T @ before
    out[f"{first}.q.kernel"] = out[f"{first}.q.kernel"] * QUIET
    _look_back(out, first, s.heads, s.head_dim, D)

    for n, probe in enumerate(_probes(p, out, tokens)):
        name = f"cross.{n}.attention"
        find, name_ = _rotation(D, rng), _rotation(D, rng)
        out[f"{name}.q.kernel"] = FIND * probe @ find
        out[f"{name}.k.kernel"] = before.T @ find
        out[f"{name}.v.kernel"], out[f"{name}.o.kernel"] = name_, NAME * name_.T
    return {k: np.ascontiguousarray(v, np.float32) for k, v in out.items()}


def _rotation(size: int, rng: np.random.Generator) -> Array:
    return np.linalg.qr(rng.normal(size=(size, size)))[0].astype(np.float32)


def _look_back(out: dict[str, Array], name: str, heads: int, size: int, width: int) -> None:
    """Sets every head of a self-attention to look one token back, by position alone.

    A head's position keys are the `size`/2 quickest sines and cosines of the distance, its
    position bias their values at distance 1: the product is largest there.
    """
    half = size // 2
    kernel = np.zeros((width, heads, size), np.float32)
    for i in range(half):
        kernel[i, :, i] = kernel[width // 2 + i, :, half + i] = 1.0
    frequency = 10_000.0 ** (-2 * np.arange(half) / width)
    at_one = np.concatenate([np.sin(frequency), np.cos(frequency)])
    out[f"{name}.r.kernel"] = kernel.reshape(width, heads * size)
    sharp = 2 * size**0.5  # undoes the division by the root of the head's size, and more
    out[f"{name}.position_bias"] = np.tile(sharp * at_one, (heads, 1)).astype(np.float32)


def _probes(p: Preset, arrays: Mapping[str, Array], tokens: Array) -> list[Array]:
    """For each cross-attention a map [D D] from the normed stream to the token's normed embedding,
    by ridge regression on text."""
    assert p.retrieval is not None
    model = nnx.merge(graph_of(p), nest(arrays))
    streams: dict[int, Array] = {}

    def keep(i, x):
        streams[i] = np.asarray(x).reshape(-1, p.width)
        return x

    model.decoder.hidden(tokens, None, keep)
    embedded = arrays["decoder.embedding.table"][tokens.reshape(-1)]
    wanted = embedded / np.sqrt((embedded**2).mean(1, keepdims=True))
    probes = []
    for layer in p.retrieval.layers:
        x = streams[layer - 1]
        x = x / np.sqrt((x**2).mean(1, keepdims=True))
        ridge = x.T @ x + 1e-3 * len(x) * np.eye(p.width) * 0.01
        probes.append(np.linalg.solve(ridge, x.T @ wanted).astype(np.float32))
    return probes
