"""Reads a finished reply again: how likely each token was, under other neighbours too.

A chunk is read in one batch of choices of its neighbours after everything before it as it was.
Its first token is predicted by the last token before it, so that is where its block begins.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from engine.decode import Decoding
from engine.layout import passages_of
from engine.presets import Preset
from engine.protocol import ChunkScores, Score, Scoring
from engine.retro import Cache, Passages, Tables
from engine.tokenizer import PAD
from retrieval.protocol import Neighbour

ROWS = 8  # choices read at once; bounds the memory
_LEAST_SLOTS = 4  # chunks; then twice as many, and so on, so that few lengths are compiled for

Choice = Sequence[Neighbour]
Chunk = tuple[tuple[int, ...], tuple[Choice, ...]]  # its tokens, and what it is read under
Hold = Callable[[], AbstractContextManager]  # keeps the model from others


class Scorer:
    """Scores chunks with one model. Not for several threads at once."""

    def __init__(self, preset: Preset, decoding: Decoding, weights: Any, tables: Tables):
        self._preset, self._decoding = preset, decoding
        self._weights, self._tables = weights, tables

    def start(self, cache: Cache, reply: int) -> Cache:
        """The cache of a prompt, ready for a reply of so many tokens.

        It is cut to the slots that are needed, and its last token is taken back: that belongs to
        the first block.
        """
        size, context = _LEAST_SLOTS * self._preset.chunk, self._preset.context
        while size < int(cache.at) + reply:
            size *= 2
        slots = min(size, context)
        layers = tuple((k[:, :slots], v[:, :slots]) for k, v in cache.layers)
        return cache._replace(layers=layers, valid=cache.valid[:, :slots], at=cache.at - 1)

    def score(
        self, cache: Cache, last: int, chunks: Iterable[Chunk], hold: Hold
    ) -> Iterator[ChunkScores]:
        """Scores the chunks of a reply, each after those before it as they were shown.

        `last` is the token before the reply. The model is held for one batch at a time.
        """
        for tokens, choices in chunks:
            scores: list[Score] = []
            caches: list[Cache] = []
            for start in range(0, len(choices), ROWS):
                with hold():
                    read, after = self.read(cache, last, tokens, choices[start : start + ROWS])
                scores += read
                caches.append(after)
            yield ChunkScores(scores[0], tuple(scores[1:]))
            last, cache = tokens[-1], caches[0]  # where the chunk was read as it was shown

    def read(
        self, cache: Cache, last: int, tokens: Sequence[int], choices: Sequence[Choice]
    ) -> tuple[list[Score], Cache]:
        """Scores the tokens of a chunk under up to `ROWS` choices of its neighbours.

        `last` is the token before them. Returns the scores, and the cache after the chunk was
        read under the first choice.
        """
        M = self._preset.chunk
        line = np.full((1, M + 1), PAD, np.int32)
        line[0, : len(tokens) + 1] = [last, *tokens]
        passages, picks = self._passages(choices)
        logprobs, attention, cache = self._decoding.extend(
            self._weights, self._tables, cache, line[:, :-1], line[:, 1:],
            np.int32(len(tokens)), passages, picks,
        )  # fmt: skip
        # a model without retrieval reads one row, which is the same for every choice
        rows = range(len(choices)) if picks is not None else [0] * len(choices)
        logprobs, attention = np.asarray(logprobs), np.asarray(attention)
        scores = [
            Score(
                tuple(logprobs[row, : len(tokens)].tolist()),
                tuple(attention[row, : len(choice)].tolist()),
            )
            for row, choice in zip(rows, choices, strict=True)
        ]
        return scores, cache

    def _passages(
        self, choices: Sequence[Choice]
    ) -> tuple[Passages, np.ndarray] | tuple[None, None]:
        """The different neighbours among the choices, and which of them each choice has.

        Both are filled up to a size that is compiled for.
        """
        r = self._preset.retrieval
        if r is None:
            return None, None
        most = max(map(len, choices))
        if most > r.neighbours:
            raise ValueError(
                f"a chunk cannot be read with {most} neighbours; this model takes {r.neighbours}"
            )
        alone = len(choices) == 1
        sizes = (1, r.neighbours) if alone else (r.neighbours + 4, ROWS * r.neighbours)
        numbers: dict[tuple, int] = {}
        different: list[Neighbour] = []
        picks = np.full((1 if alone else ROWS, r.neighbours), -1, np.int32)
        for row, choice in enumerate(choices):
            for rank, neighbour in enumerate(choice):
                content = (neighbour.tokens, neighbour.continuation_tokens)
                if content not in numbers:
                    numbers[content] = len(different)
                    different.append(neighbour)
                picks[row, rank] = numbers[content]
        size = next(s for s in sizes if len(different) <= s)
        return passages_of({0: different}, 1, size, r.neighbour_tokens), picks


def chunks_of(scoring: Scoring, M: int) -> Iterator[Chunk]:
    """The reply chunks, each to be read as it was shown first."""
    count = -(-len(scoring.tokens) // M)
    trials = scoring.trials or ((),) * count
    if not count == len(scoring.shown) == len(trials):
        raise ValueError(
            f"{len(scoring.tokens)} tokens make {count} chunks of {M}, but neighbours are given "
            f"for {len(scoring.shown)} chunks and trials for {len(trials)}"
        )
    for j in range(count):
        yield scoring.tokens[j * M : (j + 1) * M], (scoring.shown[j], *trials[j])
