"""Grounded examples: a passage, a question, and an answer that can be read off the passage.

From records that hold them, and made from plain documents: a sentence of a passage is the
answer, and the question is put together from words of that sentence. The second kind is endless
and copy-heavy, which makes copying emerge early (gopher-retro notes: Doostmohammadi 2025).
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.training.corpus import Record

UNANSWERED = "The passages do not say."


@dataclass(frozen=True)
class Example:
    """`turns` are (question, answer) pairs over one passage; `answered` is False where the
    passage does not hold the answer."""

    passage: str
    turns: tuple[tuple[str, str], ...]
    answered: bool = True


_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]+|\d[\d,.]*\d|\d")
_COMMON = frozenset(
    word
    for line in (
        "the a an of and to in is are was were be been by for with on at as from that this these",
        "those it its they their which who whom whose or but not have has had he she his her him",
        "we you i there than then so such can could may might will would into over under also",
        "more most other some any all many each one two about between through during after before",
        "when where while if because however both very only same often used called known",
    )
    for word in line.split()
)
_LEADS = (
    "What about", "Tell me about", "What do you know about", "Tell me", "What is said about",
    "Can you tell me about", "Explain", "I would like to know about", "How about",
)  # fmt: skip
_ASKING = (
    "What", "How", "Why", "When", "Where", "Who", "Which", "What is", "What does", "How does",
    "Why does", "Where is", "How is", "Why is", "Who was", "When was", "What are", "Why are",
    "How many", "How do", "Do you know",
)  # fmt: skip


def split_sentences(text: str) -> list[str]:
    return [s.strip() for s in _SENTENCE.split(text.replace("\n", " ")) if s.strip()]


def ask(sentence: str, title: str, rng: random.Random) -> str | None:
    """A question whose words point at the sentence, or None where it has too few."""
    words = [w for w in _WORD.findall(sentence) if w.lower() not in _COMMON]
    if len(words) < 3:
        return None
    if rng.random() < 0.5:  # a run of the sentence's words, as in a real question
        count = rng.randint(2, 4)
        at = rng.randrange(max(1, len(words) - count + 1))
        picked = words[at : at + count]
    else:
        chosen = sorted(rng.sample(range(len(words)), min(len(words), rng.randint(1, 3))))
        picked = [words[i] for i in chosen]
    if title and rng.random() < 0.7 and title.lower() not in " ".join(picked).lower():
        picked.insert(rng.choice((0, len(picked))), title.split(" (")[0])
    picked = [w if rng.random() < 0.5 else w.lower() for w in picked]
    lead = rng.choice(_ASKING if rng.random() < 0.7 else _LEADS)
    joiner = " and " if lead in _LEADS and rng.random() < 0.3 else " "
    if lead.startswith(("What", "How", "Why")) and rng.random() < 0.4:
        picked.insert(0, rng.choice(("the", "a", "is the", "do", "are the")))
    question = f"{lead} {joiner.join(picked)}"
    if rng.random() < 0.1:
        question = question.lower()
    return question + ("?" if rng.random() < 0.85 else rng.choice(("", ".")))


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
        answers = [s for s in kept if 6 <= len(s.split()) <= 40 and s[-1] in ".!?"]
        if len(kept) < 2 or not answers:
            continue
        answer = rng.choice(answers)
        question = ask(answer, title, rng)
        if question:
            yield Example(passage, ((question, answer),))


def _cut(passage: str, answer: str, limit: int = 700) -> str:
    """A long passage -> the part of it, whole sentences, that shares most with the answer."""
    if len(passage) <= limit:
        return passage
    sentences = split_sentences(passage)
    wanted = {w.lower() for w in _WORD.findall(answer)} - _COMMON
    scores = [len(wanted & {w.lower() for w in _WORD.findall(s)}) for s in sentences]
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
    said = {w.lower() for w in _WORD.findall(example.passage)}
    words = {w.lower() for w in _WORD.findall(example.turns[0][1])} - _COMMON
    return len(words & said) / max(1, len(words))


def as_text(example: Example) -> str:
    """The example as plain text, for the base model: passage, then dialogue."""
    lines = (f"USER: {q}\nGOPHER: {a}" for q, a in example.turns)
    return example.passage + "\n\n" + "\n".join(lines)
