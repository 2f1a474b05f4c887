"""Queries -> neighbours.

The paper takes the nearest keys. By default the nearest keys and the best lexical matches are
candidates together, ranked by nearness and by how much of the query's informative words they
hold: that overlap is what a small model can use (Doostmohammadi et al., arXiv 2305.16243).
1,190 questions of the SQuAD development set over their 240 passages: the answer stands in the first
neighbour for 91 %, in the first two for 94 %; with nearest keys alone for 77 % and 90 %.
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from retrieval.database import Database
from retrieval.protocol import Embedder, Neighbour
from retrieval.words import informative, stem, stems

CANDIDATES = 50  # from each of the two searches
WORDS = 64  # informative words of a query that are looked up
LONGEST = 10_000  # code points of a query that are looked at


@dataclass(frozen=True)
class Found:
    """What a search came upon: the nearest keys, nearest first; the best lexical matches of
    `words` with their BM25, best first; and the neighbours chosen from both, best first."""

    dense: tuple[Neighbour, ...] = ()
    lexical: tuple[tuple[Neighbour, float], ...] = ()
    shown: tuple[Neighbour, ...] = ()
    words: tuple[str, ...] = ()


class Retriever:
    """Finds passages; a `retrieval.protocol.Retrieve`."""

    def __init__(self, database: Database, embedder: Embedder, *, dense_only: bool = False):
        """`dense_only` is the paper: the k nearest keys, in order. The embedder must be the one
        that the database was opened with."""
        if embedder.fingerprint != database.manifest.embedder:
            raise ValueError(
                f"the retriever got embedder {embedder.fingerprint}, but the database in "
                f"{database.directory} was made with {database.manifest.embedder}"
            )
        self._database, self._embedder, self._dense_only = database, embedder, dense_only

    def __call__(self, query: str, k: int) -> Sequence[Neighbour]:
        """Up to k neighbours, best first. An empty query or database has none."""
        return self._find(query, k, lexical=not self._dense_only).shown

    def search(self, query: str, k: int) -> Found:
        """The same, with the candidates that the k neighbours were chosen from. Where only the
        nearest keys count, the best lexical matches are found all the same."""
        return self._find(query, k, lexical=True)

    def _find(self, query: str, k: int, *, lexical: bool) -> Found:
        query = query[:LONGEST]
        if k < 1 or not query.strip() or not len(self._database.index):
            return Found()
        key = self._embedder([query])  # [1 W]
        seen = {word: self._database.frequency(word) for word in informative(query)[:WORDS]}
        weights = self._weights(seen)
        n = max(k, CANDIDATES) if lexical else k
        nearest = self._nearest(key, n)
        # words in more than half of the chunks have no weight in BM25, but cost most
        rare = [word for word in seen if 2 * seen[word] <= len(self._database.index)]
        words = tuple(rare or seen) if lexical else ()
        matches = self._database.match(words, n)
        ids = list(dict.fromkeys([*nearest, *matches]))
        found = self._database.neighbours(ids)
        ids = [id for id in ids if id in found]
        candidates = {
            id: replace(found[id], distance=distance, overlap=share(weights, stems(found[id].text)))
            for id, distance in zip(ids, self._distances(key, ids), strict=True)
        }
        dense = tuple(candidates[id] for id in nearest if id in candidates)
        if self._dense_only:
            shown = dense[:k]
        else:
            shown = tuple(apart(rank(list(candidates.values()), weights), k))
        hits = tuple((candidates[id], score) for id, score in matches.items() if id in candidates)
        return Found(dense, hits, shown, words)

    def _nearest(self, key: np.ndarray, k: int) -> list[int]:
        _, ids = self._database.index.search(key, k)
        return [id for id in ids[0].tolist() if id >= 0]

    def _distances(self, key: np.ndarray, ids: list[int]) -> list[float]:
        """Squared L2, also for passages that were found by their words."""
        keys = self._database.index.keys(np.array(ids, np.int64))  # [n W]
        return [float(d) for d in ((keys - key) ** 2).sum(1)]

    def _weights(self, seen: Mapping[str, int]) -> dict[str, float]:
        """{word: chunks with it} -> {stem: inverse document frequency}"""
        total = len(self._database.index)
        weights: dict[str, float] = {}
        for word, frequency in seen.items():
            weight = math.log((total + 1) / (frequency + 0.5))
            weights[stem(word)] = max(weight, weights.get(stem(word), 0.1))
        return weights


def rank(candidates: Sequence[Neighbour], weights: Mapping[str, float]) -> list[Neighbour]:
    """Best first: the share of the query's words in title, N and F, less the distance in units
    of the candidates' mean. Of the mixtures tried on reading questions, this one did best."""
    distances = [n.distance or 0.0 for n in candidates]
    mean = sum(distances) / len(distances) if any(distances) else 1.0

    def score(n: Neighbour) -> float:
        held = stems(n.title) | stems(n.text) | stems(n.continuation)
        return share(weights, held) - (n.distance or 0.0) / mean

    return sorted(candidates, key=lambda n: (-score(n), n.chunk_id))


def share(weights: Mapping[str, float], held: Set[str]) -> float:
    """The weight of the words that are held, out of all; 0 to 1."""
    total = sum(weights.values())
    return sum(w for word, w in weights.items() if word in held) / total if total else 0.0


def apart(ranked: Sequence[Neighbour], k: int) -> list[Neighbour]:
    """The best k that show different places: the continuation of one is not another."""
    chosen: list[Neighbour] = []
    for n in ranked:
        if len(chosen) == k:
            break
        if not any(
            n.document_id == other.document_id and abs(n.position - other.position) < 2
            for other in chosen
        ):
            chosen.append(n)
    return chosen
