"""A reply as a reader takes it: its sentences without code, and what the message asked for."""

import re
from dataclasses import dataclass
from functools import lru_cache

from retrieval.words import COMMON

FENCE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]{1,200}`")
_BREAK = re.compile(r"""[.!?…]+["'”’»)\]]{0,4}(?=\s|$)|[。！？]+["”’」』]{0,4}|\n""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|st|prof|jr|sr|vs|no|nos|fig|vol|ed|ca|approx|cf|op|pp?|eds)"
    r"|\b(?:[a-z]\.)*[a-z])$",
    re.IGNORECASE,
)
_BULLET = re.compile(r"\s*(?:[-*•–—>#]+\s+|\(?(?:\d{1,3}|[a-z])[.)]\s+)?", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_MADE_UP = re.compile(
    r"\b(?:poem|haiku|limerick|sonnet|verse|rhyme|song|lyrics|ballad|story|tale|fable|joke|riddle"
    r"|dialogue|monologue|screenplay|diary|fiction|lullaby|novella|pun|slogan)\b"
    r"|\b(?:pretend|imagine|role-?play|invent|make up|act as|as if you were|in the voice of)\b"
    r"|\bwrite (?:me |us )?(?:a|an|the|some) (?:\w+ ){0,3}(?:letter|speech|scene|note|card"
    r"|toast)\b",
    re.IGNORECASE,
)
_ASKS_ABOUT = re.compile(
    r"^\s*(?:who|what|when|where|why|how|which|is|are|was|did|does|do)\b", re.I
)


@dataclass(frozen=True)
class Sentence:
    """Code points [start, end) of a sentence, without the space or bullet in front of it."""

    start: int
    end: int
    text: str


@lru_cache(maxsize=64)
def without_code(text: str) -> str:
    """The text with every character of code replaced by a space, so that offsets stay true."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found.group())

    return _INLINE_CODE.sub(blank, FENCE.sub(blank, text)) if "`" in text or "~" in text else text


@lru_cache(maxsize=64)
def sentences(text: str) -> tuple[Sentence, ...]:
    """The sentences or lines that have a word, code left out. A line always ends a sentence."""
    prose = without_code(text)
    found = []
    start = 0
    for match in _BREAK.finditer(prose):
        if not _ends(prose, match):
            continue
        found += _sentence(prose, start, match.end())
        start = match.end()
    found += _sentence(prose, start, len(prose))
    return tuple(found)


def _ends(text: str, match: re.Match[str]) -> bool:
    """Not after an abbreviation or an initial, a list's number, or before a small letter."""
    mark = match.group()
    if mark[0] != "." or mark.startswith(".."):
        return True
    after = text[match.end() : match.end() + 2].strip()[:1]
    before = text[max(match.start() - 12, 0) : match.start()]
    if after.islower():
        return False
    initial = _ABBREVIATION.search(before)
    if initial and after:
        alone = len(initial.group()) == 1  # "J. Brandt", but "vitamin C. It" is rare enough
        return not (initial.group().isupper() or not alone)
    line = text[max(text.rfind("\n", 0, match.start()), match.start() - 6) : match.start()]
    return not (after and line.strip().isdigit() and len(line.strip()) < 4 and line[:1] in "\n")


def _sentence(text: str, start: int, end: int) -> list[Sentence]:
    piece = text[start:end]
    bullet = _BULLET.match(piece)
    start += bullet.end() if bullet else 0
    stripped = text[start:end].rstrip()
    return [Sentence(start, start + len(stripped), stripped)] if _WORD.search(stripped) else []


def asks_for_fiction(message: str) -> bool:
    """Whether a message asks for something made up: a poem, a story, a part to play."""
    found = _MADE_UP.search(message)
    return bool(found) and not _ASKS_ABOUT.match(message)


def reads_as_english(text: str) -> bool:
    """Whether common English words are at least a tenth of the words; short texts pass.

    What compares words by English stems has nothing to say about other texts.
    """
    words = _WORD.findall(text.casefold())
    return len(words) < 8 or 10 * sum(word in COMMON for word in words) >= len(words)
