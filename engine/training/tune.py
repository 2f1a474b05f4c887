"""Tuning on grounded questions, laid out exactly as the chat lays out a turn.

The prompt ends a chunk, the answer starts the next one and is all that the loss counts. Most
examples show the passage as a neighbour, some put it into the prompt as well (RETRO++). Where
only unrelated passages are shown, the answer says so. Small talk, which has no passage, is shown
any.

The first token of an answer decides which sentence of which passage it copies. It is one token in
thirty, so it weighs more than its share.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.layout import lay_out
from engine.protocol import Segment
from engine.retro import Passages
from engine.tokenizer import EOS, PAD
from engine.training.grounded import UNANSWERED, Example
from engine.training.step import Batch
from engine.training.swaps import draw_swaps

Encode = Callable[[str], Sequence[int]]
FIRST = 4.0  # weight of an answer's first token
SAME, BESIDE = 0.2, 0.6  # passages beside the answer's: from the same one; from its document
WritePrompt = Callable[[str, str], str]  # (message, passage or "") -> text up to the reply


@dataclass(frozen=True)
class Shape:
    """`batch` examples a step with `k` passages each, `prompts` chunks of prompt, and answers of up
    to `answer` tokens with their end."""

    batch: int
    prompts: int
    k: int
    answer: int
    in_context: bool = False


class GroundedBatches:
    """A batch is a pure function of the step's number.

    `unrelated` is the share of questions that are shown another one's passages alone, and `missing`
    of those that are shown none: both are answered by saying so. In half of the others `swaps` of
    the `vocab` tokens are exchanged, see swaps.py.
    """

    def __init__(
        self, examples: Sequence[Example], encode: Encode, write_prompt: WritePrompt, *,
        shape: Shape, chunk: int, seed: int, unrelated: float = 0.04, missing: float = 0.04,
        swaps: float = 0.0, vocab: int = 0,
    ):  # fmt: skip
        self._examples, self._encode, self._write = examples, encode, write_prompt
        self._shape, self._chunk, self._seed = shape, chunk, seed
        self._unrelated, self._missing = unrelated, missing
        self._swaps, self._vocab = swaps, vocab
        self._kept = {EOS, PAD, *encode(write_prompt("", ""))}  # the tags are never exchanged

    def __call__(self, step: int) -> Batch:
        rng = random.Random(self._seed * 1_000_003 + step)
        rows: list[Any] = []
        while len(rows) < self._shape.batch:
            row = self._row(rng, self._shape)
            if row is not None:
                rows.append(row)
        arrays = [np.stack(column) for column in zip(*rows, strict=True)]
        tokens, targets, weights, valid, found, marks, sources = arrays
        return Batch(tokens, targets, weights, valid, Passages(found, marks), sources)

    def _row(self, rng: random.Random, shape: Shape) -> tuple[np.ndarray, ...] | None:
        """One example's arrays, or None if it does not fit the shape."""
        M, k = self._chunk, shape.k
        example = rng.choice(self._examples)
        question, answer = example.turns[0]
        draw = rng.random()
        unrelated = draw < self._unrelated and bool(example.passage)
        missing = not unrelated and draw < self._unrelated + self._missing and not shape.in_context
        source = rng.choice(self._examples) if unrelated else example
        shown = source.passage
        answered = not unrelated and not missing and example.answered
        if example.passage and not answered:
            answer = UNANSWERED
        text = list(self._encode(shown))
        answer_at = self._find(text, answer)
        context = self._trim(shown, answer, 2 * M - 16) if shape.in_context else ""
        prompt = lay_out(
            [Segment(self._write(question, context), ends_chunk=True)], self._encode, M
        )
        size = shape.prompts * M
        gap = size - len(prompt.tokens)
        if gap < 0:
            return None
        reply = [*self._encode(" " + answer), EOS]
        if len(reply) > shape.answer:
            return None
        T = size + shape.answer - 1  # less than a chunk: no neighbours are wasted on what follows
        tokens, valid = np.full(T, PAD, np.int32), np.zeros(T, bool)
        tokens[gap:size], valid[gap:size] = prompt.tokens, prompt.valid
        inside = reply[:-1]
        tokens[size : size + len(inside)], valid[size : size + len(inside)] = inside, True
        targets, weights = np.full(shape.answer, PAD, np.int32), np.zeros(shape.answer, np.float32)
        targets[: len(reply)], weights[: len(reply)], weights[0] = reply, 1.0, FIRST
        sources = np.full(shape.answer, -1, np.int32)
        found = np.full((shape.prompts, k, 2 * M), PAD, np.int32)
        marks = np.zeros((shape.prompts, k, 2 * M), bool)
        if not missing:
            spot = (0, len(text)) if answer_at is None else (answer_at, answer_at + len(reply) - 1)
            views = [self._window(text, spot, rng)] if text else []
            while len(views) < k:
                beside = self._beside(source, text, rng)
                views.append(self._window(beside, (0, len(beside)), rng))
            order = rng.sample(range(k), k)
            for j, (_, ids) in zip(order, views, strict=True):
                found[-1, j, : len(ids)], marks[-1, j, : len(ids)] = ids, True
            if answered and answer_at is not None:
                start, shown = views[0]
                for i, token in enumerate(reply):
                    at = answer_at - start + i  # the first is another token at a passage's start
                    if 0 <= at < len(shown) and (shown[at] == token or i == 0):
                        sources[i] = order[0] * 2 * M + at
        if self._swaps and example.passage and answered and rng.random() < 0.5:
            generator = np.random.default_rng(rng.getrandbits(64))
            exchange = draw_swaps(generator, self._vocab, self._swaps, self._kept)
            tokens, targets, found = exchange[tokens], exchange[targets], exchange[found]
        return tokens, targets, weights, valid, found, marks, sources

    def _beside(self, example: Example, text: list[int], rng: random.Random) -> list[int]:
        """A passage to be shown beside that of the example, which is `text`."""
        draw = rng.random()
        if text and draw < SAME:
            return text
        near = example.beside if draw < SAME + BESIDE else ""
        return list(self._encode(near or rng.choice(self._examples).passage))

    def _find(self, text: list[int], answer: str) -> int | None:
        """The token of the passage that the answer starts at, -1 where the passage starts with all
        but the first; None where the answer does not stand in it."""
        wanted = list(self._encode(" " + answer))
        lead = int(len(wanted) > 4)  # the ends may be divided into tokens in another way
        core = wanted[lead : len(wanted) - lead]
        for at in range(len(text) - len(core) + 1):
            if text[at : at + len(core)] == core:
                return at - lead
        return None

    def _window(
        self, text: list[int], spot: tuple[int, int], rng: random.Random
    ) -> tuple[int, list[int]]:
        """Up to two chunks of a passage, cut at random, that hold as much of the spot as fits, and
        where they begin."""
        R = 2 * self._chunk
        first, last = spot
        low, high = max(0, last + 1 - R), max(0, min(first - 1, len(text) - self._chunk))
        start = rng.randint(min(low, high), max(low, high))
        return start, text[start : start + R]

    def _trim(self, passage: str, answer: str, limit: int) -> str:
        """The part of a passage that fits into the prompt: what surrounds the answer."""
        if len(self._encode(passage)) <= limit:
            return passage
        at = max(0, passage.find(answer))
        start = passage.rfind(". ", 0, max(0, at - 60)) + 2 if at > 200 else 0
        text = passage[start:]
        while len(self._encode(text)) > limit:
            cut = text.rfind(". ", 0, len(text) - 2)
            text = text[: cut + 1] if cut > 0 else text[: len(text) * 3 // 4]
        return text
