"""Names in a reply: capitalised words that are not capitalised for where they stand."""

import re
from collections.abc import Iterator, Sequence

from app.failures.reading import Sentence
from retrieval.words import COMMON

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_OPENS = re.compile(r"[:“\"‘(\[]\s*$")
# Capitalised in front of a name or in a heading, but nothing that a passage must contain.
_TITLE_WORDS = """
    mr mrs ms dr prof professor sir dame saint st president king queen prince princess emperor hm
    hms captain general lord lady pope dear ok okay note step part figure table chapter section
    nobody somebody everybody
"""
_TITLES = frozenset(_TITLE_WORDS.split())
# What people do: a single capitalised word before one of these, at the start of a sentence, is
# more often a name than a common noun.
_DEED_WORDS = """
    was is had has wrote said discovered invented founded painted composed designed built born died
    won ruled led proposed published argued believed described showed observed studied introduced
    developed became married lived worked created lies
"""
_DEEDS = frozenset(_DEED_WORDS.split())
# Each stands for a country whose other form begins differently.
_PEOPLES = {
    "french": "france", "greek": "greece", "welsh": "wales", "spanish": "spain", "dutch":
    "netherlands", "swiss": "switzerland", "danish": "denmark", "polish": "poland", "turkish":
    "turkey", "british": "britain", "irish": "ireland", "finnish": "finland", "swedish": "sweden",
    "english": "england", "scottish": "scotland", "thai": "thailand", "dane": "denmark", "pole":
    "poland", "turk": "turkey", "swede": "sweden", "finn": "finland", "spaniard": "spain",
    "frenchman": "france", "czech": "czechia", "peruvian": "peru", "iraqi": "iraq",
}  # fmt: skip
_MONTH_WORDS = """
    january february march april may june july august september october november december
"""
MONTHS = {month: number for number, month in enumerate(_MONTH_WORDS.split(), 1)}


def names(text: str, sentence: Sentence) -> Iterator[tuple[int, int]]:
    """Code points of each name in a sentence: single words, of which several may follow each other.

    The first word of a sentence counts where a name follows directly or where it does what people
    do; else it cannot be told from any other word.
    """
    words = [
        (sentence.start + m.start(), sentence.start + m.end(), m.group())
        for m in _WORD.finditer(sentence.text)
    ]
    if _is_heading([word for *_, word in words]):
        return
    for i, (start, end, word) in enumerate(words):
        if not _capitalised(word) or bare(word) in COMMON or bare(word) in _TITLES:
            continue
        first = i == 0 or bool(_OPENS.search(text, max(start - 3, sentence.start), start))
        if first and not _named_first(text, words, i):
            continue
        yield start, end


def _named_first(text: str, words: Sequence[tuple[int, int, str]], i: int) -> bool:
    if i + 1 == len(words):
        return False
    word, (start, _, after) = words[i][2], words[i + 1]
    if text[words[i][1] : start] != " ":
        return False
    if _capitalised(after) and bare(after) not in COMMON:
        return True
    return after in _DEEDS and not word.casefold().endswith(("s", "ing", "ion", "ity", "ness"))


def _is_heading(words: Sequence[str]) -> bool:
    """A line in capitals or in title case, where capitals say nothing."""
    long = [word for word in words if len(word) > 3]
    return len(long) > 3 and sum(_capitalised(word) for word in long) >= 0.8 * len(long)


def _capitalised(word: str) -> bool:
    return word[0].isupper() and len(word) > 1 and not any(c.isdigit() for c in word)


def bare(word: str) -> str:
    """A word in small letters, without a possessive."""
    word = word.casefold()
    return word if word.isalpha() else re.sub(r"['’]s?$", "", word)


def others(word: str) -> list[str]:
    """Other words in small letters that would bear a name out: France for French."""
    word = bare(word)
    found = [_PEOPLES[word]] if word in _PEOPLES else []
    return found + [people for people, country in _PEOPLES.items() if country == word]
