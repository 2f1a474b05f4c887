"""Reads a finished reply again: how likely each token was, under other neighbours too.

A chunk is read in one batch of choices of its neighbours after everything before it as it was.
Its first token is predicted by the last token before it, so that is where its block begins.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from engine.decode import Extended, compile_decoding
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
Run = Callable[[Callable[[], Any]], Any]  # does some work while the model is nobody else's


class Scorer:
    """Scores chunks with one model. Not for several threads at once."""

    def __init__(self, preset: Preset, weights: Any):
        self._preset, self._weights = preset, weights
        self._decoding = compile_decoding(preset)
        self._tables: dict[int, Tables] = {}  # by slots; together less than twice the largest

    def slots(self, tokens: int, most: int) -> int:
        """How many slots a cache is given for so many tokens."""
        size = _LEAST_SLOTS * self._preset.chunk
        while size < tokens:
            size *= 2
        return min(size, most)

    def score(
        self, cache: Cache, last: int, chunks: Iterable[Chunk], run: Run, alternatives: bool = False
    ) -> Iterator[ChunkScores]:
        """Scores the chunks of a reply, each after those before it as they were shown.

        The cache holds what is before `last`, the token before the reply. What `run` is given
        reads one batch.
        """
        for tokens, choices in chunks:
            scores: list[Score] = []
            first: Extended | None = None
            for start in range(0, len(choices), ROWS):
                batch, asked = choices[start : start + ROWS], alternatives and first is None
                found, extended = run(partial(self.read, cache, last, tokens, batch, asked))
                scores += found
                first = first or extended
            assert first is not None  # every chunk is read as it was shown
            yield ChunkScores(scores[0], tuple(scores[1:]), _top_of(first, len(tokens)))
            last, cache = tokens[-1], first.cache

    def read(
        self, cache: Cache, last: int, tokens: Sequence[int], choices: Sequence[Choice],
        alternatives: bool = False,
    ) -> tuple[list[Score], Extended]:  # fmt: skip
        """Scores the tokens of a chunk under up to `ROWS` choices of its neighbours.

        `last` is the token before them.
        """
        M, slots = self._preset.chunk, cache.valid.shape[1]
        if slots not in self._tables:
            self._tables[slots] = self._decoding.tables(self._weights, slots)
        line = np.full((1, M + 1), PAD, np.int32)
        line[0, : len(tokens) + 1] = [last, *tokens]
        passages, picks = self._passages(choices)
        extended = self._decoding.extend(
            self._weights, self._tables[slots], cache, line[:, :-1], line[:, 1:],
            np.int32(len(tokens)), passages, picks, alternatives=alternatives,
        )  # fmt: skip
        # a model without retrieval reads one row, which is the same for every choice
        rows = range(len(choices)) if picks is not None else [0] * len(choices)
        logprobs, attention = jax.device_get((extended.logprobs, extended.attention))
        scores = [
            Score(
                tuple(logprobs[row, : len(tokens)].tolist()),
                tuple(attention[row, : len(choice)].tolist()),
            )
            for row, choice in zip(rows, choices, strict=True)
        ]
        return scores, extended

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


def _top_of(extended: Extended, count: int) -> tuple[tuple[tuple[int, float], ...], ...]:
    """The likeliest tokens at the first `count` places."""
    if extended.top is None:
        return ()
    ids, logprobs = (a.tolist() for a in jax.device_get(extended.top))
    return tuple(tuple(zip(ids[i], logprobs[i], strict=True)) for i in range(count))


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
