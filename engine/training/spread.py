"""An embedding whose rare tokens can be told apart again.

While a small model learns which tokens are rare, their embeddings grow along one direction, which
the read-out needs to make them improbable (Gao et al., arXiv 1907.12009, call it degeneration).
After a normalisation a rare token is then hardly anything but that direction: names and numbers
look alike to the encoder of neighbours, and cannot be copied.

The direction is shrunk in the table and grown in the stream, so that what the base predicts stays
nearly what it was: every matrix that writes to the stream grows it, every one that reads the stream
shrinks it. What changes is what the first layers read of rare tokens, and the length of the stream
where it is normalised; the last normalisation is scaled to make up for that.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from engine.checkpoint import graph_of, nest
from engine.presets import Preset

Array = np.ndarray

TABLE, LAST = "decoder.embedding.table", "decoder.norm.scale"


def shared_part(table: Array) -> float:
    """The mean cosine of two different rows of a table [V D], without their signs' help."""
    rows = table / np.linalg.norm(table, axis=1, keepdims=True)
    V, total = len(rows), float(np.square(rows.sum(0)).sum())
    return (total - V) / (V * (V - 1))


def spread_embedding(
    p: Preset, arrays: Mapping[str, Array], share: float, tokens: Array
) -> dict[str, Array]:
    """The arrays of a RETRO with what its embeddings have in common shrunk to `share` of it.

    `tokens` [B T] are text that the length of the stream is measured on. 1 changes nothing.
    """
    out = {k: np.asarray(v, np.float64) for k, v in arrays.items()}
    scale = out[LAST]
    read_out = out[TABLE] * scale  # what the normed stream is multiplied with
    common = read_out.mean(0)
    common /= np.linalg.norm(common)
    shared = np.outer(common, common)
    out[TABLE] = read_out @ (np.eye(p.width) - (1 - share) * shared) / scale
    grow = (np.eye(p.width) + (1 / share - 1) * shared) * scale / scale[:, None]  # of the stream
    shrink = np.linalg.inv(grow)

    for name in out:
        in_decoder = name.startswith(("decoder.blocks.", "cross."))
        if in_decoder and name.endswith(("attention.o.kernel", "mlp.down.kernel")):
            out[name] = out[name] @ grow.T
    for kernel, norm in _reads(p, out):
        out[kernel] = (shrink.T * out[norm] / out[norm][:, None]) @ out[kernel]
    out[LAST] = scale * _growth(p, arrays, tokens, grow)
    return {k: np.ascontiguousarray(v, np.float32) for k, v in out.items()}


def _reads(p: Preset, arrays: Mapping[str, Array]) -> list[tuple[str, str]]:
    """Every matrix that reads the decoder's stream after its first layer's attention, with the
    scale of the normalisation in front of it. That one reads embeddings alone, which have changed.
    """
    found = []
    for i in range(p.layers):
        block = f"decoder.blocks.{i}"
        found += [(f"{block}.attention.{w}.kernel", f"{block}.norm1.scale") for w in "qkv" if i]
        found.append((f"{block}.mlp.up.kernel", f"{block}.norm2.scale"))
    for name in arrays:
        block = name.removesuffix(".norm_chunk.scale")
        if block != name:
            found += [(f"{block}.cross.{w}.kernel", name) for w in "kv"]
        elif name.startswith("cross.") and name.endswith(".norm.scale"):
            found.append((name.replace("norm.scale", "attention.q.kernel"), name))
    return found


def _growth(p: Preset, arrays: Mapping[str, Array], tokens: Array, grow: Array) -> float:
    """How much longer the stream becomes in front of the last normalisation."""
    model = nnx.merge(graph_of(p), nest({k: jnp.asarray(v) for k, v in arrays.items()}))
    scale = np.asarray(arrays[LAST])
    hidden = jax.jit(lambda tokens: model.decoder.hidden(tokens)[0])
    stream = np.asarray(hidden(tokens)).reshape(-1, p.width) / scale
    return float(np.mean(np.linalg.norm(stream @ grow.T, axis=1) / np.linalg.norm(stream, axis=1)))
