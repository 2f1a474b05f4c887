"""Answering from passages: replies to grounded questions, with and without what they need.

Every question is asked four ways. The passages are pinned, so that search plays no part:
"neighbours" shows the question's own passage, "in context" also puts it into the prompt,
"random" shows another question's passage, "none" shows nothing.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.evaluation.bootstrap import ratio, share
from app.evaluation.curves import told
from app.evaluation.held import NothingToMeasure
from app.evaluation.parts import Part
from engine.protocol import Engine, Reply, Request, Sampling, Segment
from engine.training.corpus import read_records
from engine.training.grounded import UNANSWERED, Example, example_of
from prompts.dialogue import STOP, exchange
from retrieval.chunks import split
from retrieval.protocol import Chunk, Document, EncodeOffsets, Neighbour

WAYS = ("neighbours", "in context", "random", "none")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Answer:
    """One reply and how it was got. `f1` is word F1 with the reference; `copied` the share of the
    reply's words inside runs of five or more words that stand in the example's own passage."""

    way: str
    question: str
    reference: str
    reply: str
    answered: bool
    f1: float
    copied: float

    @property
    def declined(self) -> bool:
        return declines(self.reply)


def declines(reply: str) -> bool:
    """Whether a reply is, or holds, that the passages do not say."""
    return UNANSWERED.rstrip(".").casefold() in reply.casefold()


def ask_all(
    engine: Engine, encode: EncodeOffsets, examples: Sequence[Example], max_tokens: int = 64
) -> Iterator[Answer]:
    """Greedy replies to every example in every way."""
    for number, example in enumerate(examples):
        own = passages_of(example.passage, encode)
        # half-way round, because neighbouring records often ask about one passage
        other = passages_of(examples[number - len(examples) // 2].passage, encode)
        question, reference = example.turns[0]
        for way in WAYS:
            context = example.passage[:480].rpartition(". ")[0] if way == "in context" else ""
            shown = {"random": other, "none": ()}.get(way, own)
            request = Request(
                prompt=(Segment(exchange(question, context and context + "."), ends_chunk=True),),
                query=question,
                sampling=Sampling(temperature=0, max_tokens=max_tokens),
                stop=STOP,
                retrieve=False,
                pinned={0: shown},
            )
            reply = Reply.of(engine.generate(request)).text
            yield Answer(
                way, question, reference, reply, example.answered,
                word_f1(reply, reference), copied_share(reply, example.passage),
            )  # fmt: skip


def passages_of(text: str, encode: EncodeOffsets, k: int = 2) -> tuple[Neighbour, ...]:
    """A text's first k pairs of chunks as neighbours, as if they had been found."""
    chunks: Sequence[Chunk] = split(Document("", "", text), encode)
    pairs = [(chunks[i], chunks[i + 1 : i + 2]) for i in range(0, len(chunks), 2)][:k]
    return tuple(
        Neighbour(
            -1, -1, "", "", n.position, n.start, n.end, n.text, f[0].text if f else "",
            n.tokens, f[0].tokens if f else (),
        )
        for n, f in pairs
    )  # fmt: skip


def word_f1(said: str, wanted: str) -> float:
    """Harmonic mean of precision and recall of words, case-folded."""
    a, b = (Counter(_WORD.findall(t.casefold())) for t in (said, wanted))
    common = sum((a & b).values())
    return 2 * common / (a.total() + b.total()) if common else 0.0


def copied_share(said: str, passage: str, run: int = 5) -> float:
    """The share of words of `said` in runs of at least `run` words that `passage` has too."""
    words, held = (_WORD.findall(t.casefold()) for t in (said, passage))
    runs = {tuple(held[i : i + run]) for i in range(len(held) - run + 1)}
    inside: set[int] = set()
    for i in range(len(words) - run + 1):
        if tuple(words[i : i + run]) in runs:
            inside |= set(range(i, i + run))
    return len(inside) / len(words) if words else 0.0


def summarise(answers: Sequence[Answer]) -> list[dict[str, float | str]]:
    """A row a way: counts, mean F1 and copied share of the answerable, and how often the reply
    was that the passages do not say, for answerable and unanswerable questions."""
    rows: list[dict[str, float | str]] = []
    for way in WAYS:
        some = [a for a in answers if a.way == way]
        yes, no = [a for a in some if a.answered], [a for a in some if not a.answered]
        rows.append(
            {
                "way": way,
                "answerable": len(yes),
                "f1": _mean([a.f1 for a in yes]),
                "copied": _mean([a.copied for a in yes]),
                "declined": _mean([a.declined for a in yes]),
                "unanswerable": len(no),
                "rightly declined": _mean([a.declined for a in no]),
            }
        )
    return rows


def answers_part(
    engine: Engine, encode: EncodeOffsets, examples: Sequence[Example], seed: int
) -> Part:
    """A row an example: its replies in every way."""

    def rows() -> Iterator[tuple[Answer, ...]]:
        replies = ask_all(engine, encode, examples)
        yield from zip(*[replies] * len(WAYS), strict=True)

    def summarise(rows: Sequence[Sequence[Answer]]) -> dict[str, Any]:
        return {"rows": [intervals(some, seed) for some in zip(*rows, strict=True)]}

    return Part("answers", len(examples), rows, summarise)


def intervals(answers: Sequence[Answer], seed: int) -> dict[str, Any]:
    """Of the answers in one way."""
    yes, no = ([a for a in answers if a.answered == answered] for answered in (True, False))

    def mean(values: Sequence[float]) -> dict[str, Any] | None:
        return told(ratio(values, [1.0] * len(values), seed))

    return {
        "way": answers[0].way,
        "f1": mean([a.f1 for a in yes]),
        "copied": mean([a.copied for a in yes]),
        "declined": told(share([a.declined for a in yes])),
        "rightly_declined": told(share([a.declined for a in no])),
    }


def read_examples(path: Path, limit: int | None = None) -> list[Example]:
    """The grounded questions among the first `limit` records of a file.

    Raises NothingToMeasure and CorpusError.
    """
    records = list(read_records(path))[:limit]
    found = [example for r in records if (example := example_of(r)) is not None]
    if not found:
        raise NothingToMeasure(
            f'{path} holds no questions with "context", "question" and "answers"'
        )
    return found


def _mean(values: Sequence[float | bool]) -> float:
    return round(sum(values) / len(values), 3) if values else 0.0
