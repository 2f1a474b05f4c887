"""Where two replies to the same message differ: by tokens, and by words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from engine.protocol import Reply

Span = tuple[int, int]  # code points [start, end)
_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # written without spaces: a sign is a word
_MANY = 4_000  # words, beyond which frequent ones are not looked at closely
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


@dataclass(frozen=True)
class Difference:
    """The first token that differs, and the words of each text that the other has not.

    `token` is an index into the tokens of both, None where all are the same; `at_a` and `at_b`
    are the code points at which it begins in each text. Spans reach from word to word.
    """

    token: int | None
    at_a: int | None
    at_b: int | None
    spans_a: tuple[Span, ...]
    spans_b: tuple[Span, ...]


def difference(a: Reply, b: Reply) -> Difference:
    """Compares two replies by token ids and by words, which are what spaces part."""
    ids_a, ids_b = [t.id for t in a.tokens], [t.id for t in b.tokens]
    same = alike(ids_a, ids_b)
    token = None if same == len(ids_a) == len(ids_b) else same
    at_a, at_b = (
        None if token is None else sum(len(t.text) for t in reply.tokens[:token])
        for reply in (a, b)
    )
    return Difference(token, at_a, at_b, *word_spans(a.text, b.text))


def alike(a: Sequence[object], b: Sequence[object]) -> int:
    """How many items two sequences have in common at their start."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


def word_spans(a: str, b: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The words of each text that are not also, in this order, in the other."""
    words_a, words_b = list(_WORD.finditer(a)), list(_WORD.finditer(b))
    texts_a, texts_b = [w.group() for w in words_a], [w.group() for w in words_b]
    head = alike(texts_a, texts_b)
    tail = alike(texts_a[head:][::-1], texts_b[head:][::-1])
    inner_a, inner_b = texts_a[head : len(texts_a) - tail], texts_b[head : len(texts_b) - tail]
    spans_a: list[Span] = []
    spans_b: list[Span] = []
    for tag, a0, a1, b0, b1 in SequenceMatcher(
        None, inner_a, inner_b, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            continue
        for words, spans, first, last in ((words_a, spans_a, a0, a1), (words_b, spans_b, b0, b1)):
            if first < last:
                spans.append((words[head + first].start(), words[head + last - 1].end()))
    return tuple(spans_a), tuple(spans_b)
