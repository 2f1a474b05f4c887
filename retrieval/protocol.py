"""What retrieval deals in: documents, chunks, neighbours, and the two seams around them.

Standard library and NumPy only, so that the engine and the application can import it freely.
Offsets are Unicode code points into `Document.text`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

CHUNK = 64  # tokens in a chunk (RETRO, section 2.1)


@dataclass(frozen=True)
class Document:
    """A text to retrieve from. `source` says where it came from: a path or a name."""

    title: str
    source: str
    text: str
    topic: str = ""


@dataclass(frozen=True)
class Chunk:
    """Up to `CHUNK` consecutive tokens of a document.

    `position` counts the document's chunks from 0; `start` and `end` are code points.
    """

    position: int
    start: int
    end: int
    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Neighbour:
    """A passage as the model is shown it: a chunk N and its continuation F in the same document.

    `distance` is the squared L2 distance between the keys of the query and of N (RETRO,
    section 2.1); None where the passage was not found by its key (lexical hit, pinned text).
    """

    chunk_id: int
    document_id: int
    title: str
    source: str
    position: int
    start: int
    end: int
    text: str
    continuation: str
    tokens: tuple[int, ...]
    continuation_tokens: tuple[int, ...]
    distance: float | None = None
    overlap: float = 0.0  # share of the query's informative words that N contains, 0 to 1


class Embedder(Protocol):
    """Turns texts into keys. Queries and passages must go through the same embedder."""

    width: int
    fingerprint: str

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """texts -> float32 [n width]"""
        ...


class Index(Protocol):
    """Nearest keys by squared L2 distance."""

    def add(self, keys: np.ndarray, ids: np.ndarray) -> None:
        """keys float32 [n W], ids int64 [n]"""
        ...

    def search(self, keys: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """keys float32 [n W] -> distances float32 [n k], ids int64 [n k] (-1 where fewer exist)"""
        ...


# A tokenizer's view of a text: (token id, start, end) per token. A token that holds only a part
# of a character has start == end, so a chunk may not end behind it.
EncodeOffsets = Callable[[str], Sequence[tuple[int, int, int]]]

# What the engine calls at a chunk boundary: (query text, how many) -> neighbours, best first.
Retrieve = Callable[[str, int], Sequence[Neighbour]]
