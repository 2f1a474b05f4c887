"""Grounded examples: a passage, a question, and an answer that can be read off the passage.

From records that hold them, and made from plain documents: a sentence of a passage is the
answer, and the question is made of that sentence (questions.py). The second kind is endless and
copy-heavy, which makes copying emerge early (Doostmohammadi and Kuhlmann, arXiv 2505.14309).
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from engine.training.corpus import Record
from engine.training.questions import COMMON, WORD, ask, questions_about

UNANSWERED = "The passages do not say."
BY_RULE = 0.7  # of made questions: asked by rule where a sentence allows it, else of its words


@dataclass(frozen=True)
class Example:
    """`turns` are (question, answer) pairs over one passage; `answered` is False where the
    passage does not hold the answer. `beside` is another passage of the same document, or ""."""

    passage: str
    turns: tuple[tuple[str, str], ...]
    answered: bool = True
    beside: str = ""


_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def split_sentences(text: str) -> list[str]:
    return [s.strip() for s in _SENTENCE.split(text.replace("\n", " ")) if s.strip()]


def made_examples(document: Record, rng: random.Random, count: int) -> Iterator[Example]:
    """Up to `count` examples from a document {"title", "text"}."""
    paragraphs = [p.strip() for p in document["text"].split("\n\n") if len(p.split()) >= 30]
    title = document.get("title", "")
    for _ in range(count):
        if not paragraphs:
            return
        at = rng.randrange(len(paragraphs))
        sentences = split_sentences(" ".join(paragraphs[at : at + 2]))
        first = rng.randrange(max(1, len(sentences) - 3))
        passage, kept = "", []
        for sentence in sentences[first:]:
            if len(passage) + len(sentence) > 700:
                break
            passage = f"{passage} {sentence}".strip()
            kept.append(sentence)
        fit = [s for s in kept if 6 <= len(s.split()) <= 40 and s[-1] in ".!?" and "  " not in s]
        if len(kept) < 2 or not fit:
            continue
        asked = {s: found for s in fit if (found := questions_about(s, title))}
        if asked and rng.random() < BY_RULE:
            answer = rng.choice(list(asked))
            question = rng.choice(asked[answer])
        else:
            answer = rng.choice(fit)
            question = ask(answer, title, rng)
        if question:
            others = paragraphs[:at] + paragraphs[at + 2 :]
            beside = rng.choice(others)[:700] if others else ""
            yield Example(passage, ((question, answer),), beside=beside)


def _cut(passage: str, answer: str, limit: int = 700) -> str:
    """A long passage -> the part of it, whole sentences, that shares most with the answer."""
    if len(passage) <= limit:
        return passage
    sentences = split_sentences(passage)
    wanted = _informative(answer)
    scores = [len(wanted & _informative(s)) for s in sentences]
    at = scores.index(max(scores))
    low = high = at
    size = len(sentences[at])
    while True:
        grown = [i for i in (low - 1, high + 1) if 0 <= i < len(sentences)]
        grown = [i for i in grown if size + len(sentences[i]) < limit]
        if not grown:
            return " ".join(sentences[low : high + 1])[:limit]
        step = max(grown, key=lambda i: scores[i])
        size += len(sentences[step]) + 1
        low, high = min(low, step), max(high, step)


def example_of(record: Record) -> Example | None:
    """The example that a question or grounded-dialogue record holds, or None."""
    passage = record.get("context", "")
    if "question" in record and passage and record.get("answers"):
        question, answer = record["question"], record["answers"][0].strip()
        turns = ((question, answer[:1].upper() + answer[1:]),)
    elif "turns" in record and passage:
        texts = [t["text"] for t in record["turns"]]
        turns = tuple(zip(texts[::2], texts[1::2], strict=False))
    else:
        return None
    if not turns or not all(q.strip() and a.strip() for q, a in turns):
        return None
    answered = record.get("kind") != "unanswerable"
    return Example(_cut(passage, " ".join(a for _, a in turns)), turns, answered)


def share_said(example: Example) -> float:
    """The share of the first answer's informative words that stand in the passage."""
    words = _informative(example.turns[0][1])
    return len(words & _informative(example.passage)) / max(1, len(words))


def in_sentences(example: Example) -> Example | None:
    """The example with the first answer as the sentence of the passage that says most of it, or
    None where no sentence says most. What is not answered stays as it is."""
    if not example.answered:
        return example
    question, answer = example.turns[0]
    wanted, asked = _informative(answer), _informative(question)

    def says(sentence: str) -> tuple[bool, int, int]:
        words = _informative(sentence)
        verbatim = answer.rstrip(".").casefold() in sentence.casefold()
        return verbatim, len(words & wanted), len(words & asked)

    best = max(split_sentences(example.passage), key=says)
    verbatim, common, _ = says(best)
    if not verbatim and common < 0.6 * max(1, len(wanted)):
        return None
    return replace(example, turns=((question, best), *example.turns[1:]))


def _informative(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(text)} - COMMON


def as_text(example: Example) -> str:
    """The example as plain text, for the base model: passage, then dialogue."""
    lines = (f"USER: {q}\nGOPHER: {a}" for q, a in example.turns)
    return example.passage + "\n\n" + "\n".join(lines)
