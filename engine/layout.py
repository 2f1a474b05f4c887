"""Where a prompt's tokens lie on the chunk grid.

A segment that ends a chunk is padded in front, between turns: what follows it, a reply, starts
on a chunk boundary, so that its first chunk is conditioned on the neighbours of the question
(RETRO, section 4.3, pads at the far left instead). Earlier chunks never move when a turn is added.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.protocol import Segment
from engine.retro import Passages
from engine.tokenizer import PAD
from retrieval.protocol import Neighbour


@dataclass(frozen=True)
class Layout:
    """Prompt tokens with padding marked; `shown[u]` are the neighbours of prompt chunk u."""

    tokens: np.ndarray  # [T] int32
    valid: np.ndarray  # [T] bool
    shown: Mapping[int, tuple[Neighbour, ...]]


def lay_out(
    segments: Sequence[Segment], encode: Callable[[str], Sequence[int]], chunk: int
) -> Layout:
    """Lays segments one after the other.

    Raises ValueError where neighbours are given for a segment that starts off the grid.
    """
    tokens: list[int] = []
    valid: list[bool] = []
    shown: dict[int, tuple[Neighbour, ...]] = {}
    for segment in segments:
        ids = list(encode(segment.text) if segment.tokens is None else segment.tokens)
        if segment.ends_chunk:
            gap = -(len(tokens) + len(ids)) % chunk
            tokens += [PAD] * gap
            valid += [False] * gap
        if segment.shown:
            first, off = divmod(len(tokens), chunk)
            if off or not first:
                raise ValueError(
                    f"neighbours are given for a segment that starts at token {len(tokens)}; "
                    f"it must start at a positive multiple of {chunk}"
                )
            shown |= {first - 1 + j: found for j, found in enumerate(segment.shown)}
        tokens += ids
        valid += [True] * len(ids)
    return Layout(np.array(tokens, np.int32), np.array(valid, bool), shown)


def passages_of(
    shown: Mapping[int, Sequence[Neighbour]], chunks: int, k: int, reach: int
) -> Passages:
    """Neighbours of chunks 0..chunks-1 as arrays [1 L K R]: N in the first half, F in the second.

    At most k a chunk are taken; what is longer than its half is cut, what is missing is invalid.
    """
    half = reach // 2
    tokens = np.full((1, chunks, k, reach), PAD, np.int32)
    valid = np.zeros((1, chunks, k, reach), bool)
    for u, neighbours in shown.items():
        for j, neighbour in enumerate(neighbours[:k]):
            for start, part in ((0, neighbour.tokens), (half, neighbour.continuation_tokens)):
                ids = part[:half]
                tokens[0, u, j, start : start + len(ids)] = ids
                valid[0, u, j, start : start + len(ids)] = True
    return Passages(tokens, valid)
