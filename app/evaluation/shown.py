"""What a held-out document is shown while it is read: the ways that are compared.

Passages of chunk j are found with the text of chunk j - 1, so the first has none in any way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from app.evaluation.held import Held
from app.evaluation.overlap import NEAREST, overlap
from retrieval.database import Database
from retrieval.index import FlatIndex
from retrieval.protocol import Embedder, Neighbour
from retrieval.retriever import Found, Retriever

OFF, ON, RANDOM = "off", "on", "random"
HALVINGS = 4  # of the database: 5 sizes
CONTROLS = 4  # random passages, each tried alone in the place of a chunk's

Passages = tuple[Neighbour, ...]
Way = tuple[Passages, ...]  # what is shown for each chunk of a document


def with_k(k: int) -> str:
    return f"k={k}"


def with_size(size: int) -> str:
    return f"size={size}"


@dataclass(frozen=True)
class Shown:
    """The passages of a document's chunks in each way, and each chunk's overlap with the database.
    `controls` are random passages of documents of which none is shown."""

    ways: Mapping[str, Way]
    overlaps: tuple[float, ...]
    controls: Passages


class Search:
    """Finds what documents are shown, in one database with one retriever.

    `sizes` are nested: a smaller database is the beginning of a random order of the chunks of the
    larger. In those only the nearest keys count, as in the paper.
    """

    def __init__(
        self, database: Database, embedder: Embedder, *, k: int, seed: int, dense_only: bool = False
    ):
        self._embedder = Remembering(embedder)
        self._retriever = Retriever(database, self._embedder, dense_only=dense_only)
        self._database, self._k, self._seed = database, k, seed
        ids = np.sort(database.index.ids)
        order = np.random.default_rng(seed).permutation(ids)
        self.sizes = tuple(sorted({len(ids) >> n for n in range(HALVINGS + 1)} - {0}))
        self._indexes: dict[int, FlatIndex] = {}
        for size in self.sizes:
            index = self._indexes[size] = FlatIndex(database.index.width)
            index.add(database.index.keys(order[:size]), order[:size])

    @property
    def k(self) -> int:
        return self._k

    def retrieve(self, query: str) -> Passages:
        """What the page would show for this query."""
        return tuple(self._retriever(query, self._k))

    def of(self, held: Held, number: int, *, figures: bool, without: str = "") -> Shown:
        """`number` is the document's, for the seed of what is random; with `figures` the ways that
        the figures need are there too: fewer passages, smaller databases. Documents of the title
        `without` are shown in none of the other ways."""
        hidden = self._titled.get(without, {})
        texts = [piece.text for piece in held.pieces]
        self._embedder.learn(texts)
        found = [self._find(text, hidden) for text in texts]
        full = late([f.shown for f in found])
        ways = {with_k(k): tuple(p[:k] for p in full) for k in range(1, self._k + 1)}
        ways = ways if figures else {with_k(self._k): full}
        if figures:
            for size, index in self._indexes.items():
                ways[with_size(size)] = late(self._nearest(index, texts))
        drawn = self._draw(len(texts) * self._k + CONTROLS, number, ways, hidden)
        controls, others = drawn[:CONTROLS], drawn[CONTROLS:] or drawn
        some = [
            tuple(others[(j * self._k + i) % len(others)] for i in range(self._k))
            for j in range(len(texts))
        ] if others else [()] * len(texts)  # fmt: skip
        ways = {OFF: ((),) * len(texts), RANDOM: late(some), **ways}
        overlaps = tuple(
            overlap(piece.tokens, [n.tokens + n.continuation_tokens for n in f.dense[:NEAREST]])
            for piece, f in zip(held.pieces, found, strict=True)
        )
        return Shown(ways, overlaps, controls)

    @cached_property
    def _titled(self) -> dict[str, dict[int, int]]:
        """Title -> ids of its documents -> how many chunks each has."""
        found: dict[str, dict[int, int]] = {}
        for entry in self._database.documents():
            found.setdefault(entry.title, {})[entry.id] = entry.chunks
        return found

    def _find(self, text: str, hidden: Mapping[int, int]) -> Found:
        """What is found beside the hidden documents; so many more passages are asked for as they
        have, since all of those may come first."""
        found = self._retriever.search(text, self._k + sum(hidden.values()))
        return replace(
            found,
            dense=tuple(n for n in found.dense if n.document_id not in hidden),
            shown=tuple(n for n in found.shown if n.document_id not in hidden)[: self._k],
        )

    def _nearest(self, index: FlatIndex, texts: Sequence[str]) -> list[Passages]:
        _, ids = index.search(self._embedder(texts), self._k)
        found = self._database.neighbours(ids[ids >= 0].tolist())
        return [tuple(found[id] for id in row if id in found) for row in ids.tolist()]

    def _draw(
        self, count: int, number: int, ways: Mapping[str, Way], hidden: Mapping[int, int]
    ) -> Passages:
        """Up to `count` random passages of documents that are neither shown in a way nor hidden."""
        shown = {n.document_id for way in ways.values() for passages in way for n in passages}
        shown |= set(hidden)
        drawn = self._database.draw(4 * count, self._seed * 100_003 + number)
        return tuple(n for n in drawn if n.document_id not in shown)[:count]


def late(found: Sequence[Passages]) -> Way:
    """Passages found with each chunk -> passages shown for each: one chunk later."""
    return ((), *found[:-1])


class Remembering:
    """An embedder that keeps the keys of the last texts that it was told to learn."""

    def __init__(self, embedder: Embedder):
        self._embedder, self._keys = embedder, {}
        self.width, self.fingerprint = embedder.width, embedder.fingerprint

    def learn(self, texts: Sequence[str]) -> None:
        self._keys = dict(zip(texts, self._embedder(texts), strict=True))

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        if all(text in self._keys for text in texts):
            return np.array([self._keys[text] for text in texts], np.float32)
        return self._embedder(texts)
