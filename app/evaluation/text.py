"""Bits per byte of plain text, without retrieval: windows that do not overlap."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from flax import nnx

from engine.checkpoint import Arrays, graph_of
from engine.presets import Preset
from engine.tokenizer import EOS, Tokenizer
from engine.training.step import Batch, compile_loss


def bits_per_byte(
    p: Preset, arrays: Arrays, tokenizer: Tokenizer, texts: Iterable[str], *, tokens: int = 256
) -> dict[str, Any]:
    """Windows of `tokens` over the texts, each predicted from its own start."""
    graph: nnx.GraphDef = graph_of(p)
    loss = compile_loss(graph)
    nats, size, count = 0.0, 0, 0
    for text in texts:
        ids = [EOS, *tokenizer.encode(text)]
        size += len(text.encode())
        for start in range(0, len(ids) - 1, tokens):
            window = np.full((1, tokens + 1), EOS, np.int32)
            piece = ids[start : start + tokens + 1]
            window[0, : len(piece)] = piece
            weights = (np.arange(tokens) < len(piece) - 1).astype(np.float32)[None]
            found = loss(arrays, Batch(window[:, :-1], window[:, 1:], weights))
            nats, count = nats + float(found.nats), count + len(piece) - 1
    if not count:
        raise ValueError("there is no text to measure")
    return {
        "bits_per_byte": round(nats / math.log(2) / size, 4),
        "nats_per_token": round(nats / count, 4),
        "tokens": count,
        "bytes": size,
    }
