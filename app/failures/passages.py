"""What the passages shown for a reply contain, so that words and numbers can be looked up."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.failures.names import MONTHS, others
from app.failures.numbers import MAGNITUDES, ORDINALS, WORDS, Quantity, quantities
from app.failures.protocol import NotApplicable
from app.failures.reading import Sentence
from app.records import Turn
from retrieval.words import COMMON, stem, words

STEM = 6  # letters: longer words that begin alike are taken for forms of one word
_SPELLINGS = (("isa", "iza"), ("ise", "ize"), ("ising", "izing"), ("our", "or"), ("tre", "ter"),
              ("ae", "e"), ("oe", "e"), ("lling", "ling"), ("lled", "led"))  # fmt: skip
_NUMBERS = frozenset([*WORDS, *ORDINALS, *MAGNITUDES, "half", "percent", "century", "centuries"])
_LONG_NAME = re.compile(r"\b[A-ZÀ-Þ][^\W\d_]{4,}")
_CAPITALISED = re.compile(r"(?:[A-Z][\w’'-]*)(?:\s+(?:of|the|and|for|de|in)?\s*[A-Z][\w’'-]*)+")


@lru_cache(maxsize=50_000)
def key(word: str) -> str:
    """What stands for all forms of a word in small letters, British or American."""
    for british, american in _SPELLINGS:
        word = word.replace(british, american)
    return stem(word)


def keys(text: str) -> list[str]:
    return [key(word) for word in words(text)]


@lru_cache(maxsize=1024)
def content(text: str) -> tuple[str, ...]:
    """The keys of the words that say what a sentence is about, each once; numbers are left out."""
    return tuple(
        dict.fromkeys(
            key(word)
            for word in words(text)
            if word not in COMMON and word not in _NUMBERS and not word[0].isdigit()
        )
    )


@dataclass(frozen=True)
class Passage:
    """A text that was shown. Its title counts as its own, as a reader sees it beside."""

    title: str
    keys: frozenset[str]
    beginnings: frozenset[str]  # of its longer words
    values: frozenset[float]
    initials: frozenset[str]  # UN for United Nations
    starts: frozenset[
        str
    ]  # of its capitalised words: the 4 letters that Norway and Norwegian share

    def has(self, word: str) -> bool:
        return word in self.keys or (len(word) >= STEM and word[:STEM] in self.beginnings)


@lru_cache(maxsize=2048)  # the same passages come up again and again
def read(title: str, text: str) -> Passage:
    whole = f"{title}\n{text}"
    found = frozenset(keys(whole))
    beginnings = frozenset(word[:STEM] for word in found if len(word) >= STEM)
    values = {value for q in quantities(whole) for value in q.values}
    values |= {float(number) for month, number in MONTHS.items() if month in found}
    initials = {"".join(re.findall(r"\b[A-Z]", m.group())) for m in _CAPITALISED.finditer(whole)}
    starts = {m.group()[:4].casefold() for m in _LONG_NAME.finditer(whole)}
    return Passage(
        title, found, beginnings, frozenset(values), frozenset(initials), frozenset(starts)
    )


class Shown:
    """All that had been shown up to some place in a reply, the person's message included."""

    def __init__(self, message: Passage):
        self.message = message
        self.passages: list[Passage] = []
        self._holders: dict[str, dict[str, None]] = {}  # titles of the passages with a key
        self._keys = set(message.keys)
        self._beginnings = set(message.beginnings)
        self._starts = set(message.starts)
        self._initials = set(message.initials)
        self._values: set[float] = set()

    def add(self, passage: Passage) -> None:
        if not any(passage is other for other in self.passages):  # `read` gives the same again
            self.passages.append(passage)
            self._keys |= passage.keys
            self._beginnings |= passage.beginnings
            self._starts |= passage.starts
            self._initials |= passage.initials
            self._values |= passage.values
            for word in (*passage.keys, *passage.beginnings):
                self._holders.setdefault(word, {})[passage.title] = None

    def has(self, word: str) -> bool:
        return word in self._keys or (len(word) >= STEM and word[:STEM] in self._beginnings)

    def titles_with(self, word: str) -> Iterator[str]:
        """Titles of the passages that have a word; one may come twice."""
        yield from self._holders.get(word, ())
        if len(word) >= STEM:
            yield from self._holders.get(word[:STEM], ())

    def has_name(self, word: str) -> bool:
        """The name, its adjective or country, the month's number, or the words it abbreviates."""
        forms = [key(form) for part in words(word) for form in (part, *others(part))]
        if any(self.has(form) for form in forms):
            return True
        start = word[:4].casefold()
        if len(word) >= 5 and start in self._starts:
            return True
        month = MONTHS.get(word.casefold())
        if month is not None and self.has_value(month):
            return True
        capitals = word.replace(".", "").removesuffix("s")
        return capitals.isupper() and any(i.endswith(capitals) for i in self._initials)

    def has_value(self, value: float) -> bool:
        return value in self._values or value in self.message.values

    def values(self) -> list[float]:
        """Every number in the passages, in order of size."""
        return sorted(self._values)


def followed(turn: Turn, sentences: Sequence[Sentence]) -> Iterator[tuple[Sentence, Shown]]:
    """Each sentence with what had been shown by its end; the same Shown grows on the way.

    Sentences before anything was shown are left out. Raises NotApplicable where nothing was.
    """
    chunks = turn.reply.chunks
    if not turn.passage and not any(chunk.neighbours for chunk in chunks):
        raise NotApplicable("no passage was shown for this reply")
    shown = Shown(read("", turn.message))
    if turn.passage:
        shown.add(read("", turn.passage))
    position = 0
    for sentence in sentences:
        while position < len(chunks) and (chunks[position].start < sentence.end or position == 0):
            for n in chunks[position].neighbours:
                shown.add(read(n.title, n.text + n.continuation))
            position += 1
        if shown.passages:
            yield sentence, shown


def supports(shown: Shown, q: Quantity, before: str, after: str) -> bool:
    """Whether a number stands there, or the years or the number that it rounds."""
    if all(shown.has_value(value) for value in q.values):
        return True
    (value, *rest) = q.values
    if rest:
        return False
    known = [*shown.values(), *shown.message.values]
    if q.form == "ordinal" and re.match(r"[\s-]+centur", after):
        return any(value == (year - 1) // 100 + 1 for year in known if 1 <= year < 2200)
    if q.form == "decade":
        span = 100 if value % 100 == 0 else 10
        return any(value <= year < value + span for year in known)
    if _ROUNDED.search(before) and _digits(value) <= 2:
        return any(abs(value - other) <= 0.1 * abs(other) for other in known)
    return False


_ROUNDED = re.compile(
    r"\b(?:about|around|nearly|almost|roughly|approximately|some|over|than|least|to|under|circa"
    r"|just)\s+[$€£]?$",
    re.IGNORECASE,
)


def _digits(value: float) -> int:
    """Significant digits: 2 for 4,200."""
    return len(f"{value:.12g}".replace(".", "").replace("e+", "").strip("0"))
