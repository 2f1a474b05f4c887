"""A slow forward pass of Gopher and RETRO in float64, the measure of engine/gopher.py and retro.py.

Written from the papers' definitions (arXiv 2112.11446, 3.1; 1901.02860, 3.3; 2112.04426, 2.2-2.4)
one token and one pair at a time: every distance is looked up, nothing is shifted or reshaped, and
a token p finds its neighbours by index: those of chunk (p+1)//M - 1, at place (p+1)%M.
Axes: T tokens, L chunks, M tokens a chunk, K neighbours, R tokens a neighbour, V vocabulary.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.presets import Preset, Retrieval

Vector = np.ndarray
Arrays = Mapping[str, np.ndarray]
Seen = list[tuple[Vector, int]]  # what one query attends to: a source row and its distance
Between = Callable[[int, list[Vector]], None]  # may change the rows after layer i's attention


class Weights:
    """Arrays whose names start with a prefix, in float64."""

    def __init__(self, arrays: Mapping[str, Any], prefix: str = ""):
        self._arrays, self._prefix = arrays, prefix

    def __getitem__(self, name: str) -> np.ndarray:
        return np.asarray(self._arrays[self._prefix + name], np.float64)

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._arrays

    def at(self, name: str) -> "Weights":
        return Weights(self._arrays, f"{self._prefix}{name}.")


def rms_norm(x: Vector, w: Weights, eps: float) -> Vector:
    mean_square = sum(float(value) ** 2 for value in x) / len(x)
    return x / math.sqrt(mean_square + eps) * w["scale"]


def mlp(x: Vector, w: Weights) -> Vector:
    wide = x @ w["up.kernel"]
    for i, a in enumerate(wide):  # the tanh form of GELU
        wide[i] = 0.5 * a * (1 + math.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3)))
    return wide @ w["down.kernel"]


def phi(distance: int, width: int) -> Vector:
    """The encoding of a distance: all sines, then all cosines."""
    angles = [distance * 10_000.0 ** (-2 * t / width) for t in range(width // 2)]
    return np.array([math.sin(a) for a in angles] + [math.cos(a) for a in angles])


def attend(x: Vector, seen: Seen, w: Weights, heads: int, head_dim: int) -> Vector:
    """One query over the rows it sees; 0 if it sees none."""
    out = np.zeros(heads * head_dim)
    if not seen:
        return np.zeros(len(x))
    query = x @ w["q.kernel"]
    keys = [row @ w["k.kernel"] for row, _ in seen]
    values = [row @ w["v.kernel"] for row, _ in seen]
    places = [phi(distance, len(x)) @ w["r.kernel"] for _, distance in seen]
    for n in range(heads):
        head = slice(n * head_dim, (n + 1) * head_dim)
        content, position = query[head] + w["content_bias"][n], query[head] + w["position_bias"][n]
        scores = [
            (content @ key[head] + position @ place[head]) / math.sqrt(head_dim)
            for key, place in zip(keys, places, strict=True)
        ]
        powers = [math.exp(score - max(scores)) for score in scores]
        for power, value in zip(powers, values, strict=True):
            out[head] += power / sum(powers) * value[head]
    return out @ w["o.kernel"]


def decode(
    w: Weights, p: Preset, tokens: Sequence[int], valid: Sequence[bool], between: Between
) -> np.ndarray:
    """The decoder: token ids [T] -> logits [T V]."""
    table = w["embedding.table"]
    rows = [table[token] for token in tokens]
    for layer in range(p.layers):
        block = w.at(f"blocks.{layer}")
        normed = [rms_norm(x, block.at("norm1"), p.norm_eps) for x in rows]
        for i, y in enumerate(normed):
            seen = [(normed[j], i - j) for j in range(i + 1) if valid[j]]
            rows[i] = rows[i] + attend(y, seen, block.at("attention"), p.heads, p.head_dim)
        between(layer, rows)
        for i, x in enumerate(rows):
            rows[i] = x + mlp(rms_norm(x, block.at("norm2"), p.norm_eps), block.at("mlp"))
    return np.array([rms_norm(x, w.at("norm"), p.norm_eps) @ table.T for x in rows])


def encode(
    w: Weights, p: Preset, s: Retrieval, rows: list[Vector], valid: Sequence[bool],
    chunk: Sequence[Vector], chunk_valid: Sequence[bool],
) -> list[Vector]:  # fmt: skip
    """One neighbour's embedded rows [R], read beside the chunk's stream [M] -> encoded rows [R]."""
    for depth in range(s.depth):
        block = w.at(f"blocks.{depth}")
        normed = [rms_norm(e, block.at("norm1"), p.norm_eps) for e in rows]
        seen_by = [
            [(normed[j], i - j) for j in range(len(rows)) if valid[j]] for i in range(len(rows))
        ]
        rows = [
            e + attend(y, seen, block.at("attention"), s.heads, s.head_dim)
            for e, y, seen in zip(rows, normed, seen_by, strict=True)
        ]
        if depth + 1 in s.cross:
            context = [rms_norm(h, block.at("norm_chunk"), p.norm_eps) for h in chunk]
            for i, e in enumerate(rows):
                seen = [(context[j], i - j) for j in range(len(context)) if chunk_valid[j]]
                y = rms_norm(e, block.at("norm_cross"), p.norm_eps)
                rows[i] = e + attend(y, seen, block.at("cross"), s.heads, s.head_dim)
        rows = [e + mlp(rms_norm(e, block.at("norm2"), p.norm_eps), block.at("mlp")) for e in rows]
    return [rms_norm(e, w.at("norm"), p.norm_eps) for e in rows]


def gopher(
    arrays: Arrays, p: Preset, tokens: Sequence[int], valid: Sequence[bool] | None = None
) -> np.ndarray:
    """Token ids [T] -> logits float64 [T V]."""
    marks = [True] * len(tokens) if valid is None else valid
    return decode(Weights(arrays), p, tokens, marks, lambda layer, rows: None)


def retro(
    arrays: Arrays, p: Preset, tokens: Sequence[int], valid: Sequence[bool] | None = None,
    neighbours: np.ndarray | None = None, neighbours_valid: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Token ids [T] and neighbours of the whole chunks, [L K R] each -> logits float64 [T V]."""
    s, M, w = p.retrieval, p.chunk, Weights(arrays)
    assert s is not None
    marks = [True] * len(tokens) if valid is None else valid
    embedding = (w if "encoder.embedding.table" in w else w.at("decoder")).at(
        "encoder.embedding" if "encoder.embedding.table" in w else "embedding"
    )
    encoded: dict[int, Seen] = {}  # for each chunk: its neighbours' visible rows and their places

    def read(layer: int, rows: list[Vector]) -> None:
        if neighbours is None or neighbours_valid is None or layer + 1 not in s.layers:
            return
        if layer + 1 == min(s.layers):
            for u in range(len(rows) // M):
                inside = slice(u * M, (u + 1) * M)
                encoded[u] = []
                for ids, shown in zip(neighbours[u], neighbours_valid[u], strict=True):
                    e = [embedding["table"][i] for i in ids]
                    e = encode(w.at("encoder"), p, s, e, shown, rows[inside], marks[inside])
                    encoded[u] += [(row, j) for j, row in enumerate(e) if shown[j]]
        cross = w.at(f"cross.{s.layers.index(layer + 1)}")
        for at, x in enumerate(rows):
            u, i = (at + 1) // M - 1, (at + 1) % M
            seen = [(row, i - j + (M - 1)) for row, j in encoded.get(u, [])]
            y = rms_norm(x, cross.at("norm"), p.norm_eps)
            rows[at] = x + attend(y, seen, cross.at("attention"), p.heads, p.head_dim)

    return decode(w.at("decoder"), p, tokens, marks, read)
