"""Words of a text, the informative ones among them, and their stems. English only."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

# Function words, and what people put round a question.
_COMMON = """
    a about above across after again all also although always am among an and another any anyone
    anything are around as ask at away be because become been before behind being below between
    both but by call can cannot come could did do does doing done down during each either else
    enough ever every everything explain few find first for from further get give given go had
    happen happens has have having he hello help her here hers hi him his how however i if in into
    is it its itself just kind know known let like list little look lot made main make many may me
    mean means might mine more most much must my myself name need neither never new next no none
    nor not nothing now of off often ok on once one only onto or other others our out over own
    part people per place please put quite rather really s said same say says see seem shall she
    should show since so some someone something sort still such t take tell than thank thanks that
    the their them themselves then there these they thing things think this those though through
    to today together too toward two type under until up upon us use used useful user using very
    want was way we well were what when where whether which while who whom whose why will with
    within without work works would yes yet you your describe assistant answer question
"""
COMMON = frozenset(_COMMON.split())


WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
ENDING = re.compile(r"['’](?:s|re|ll|ve|d|m|t)$")


def words(text: str) -> Iterator[str]:
    """Lower-case words without accents, in order."""
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in text if not unicodedata.combining(c))
    for word in WORD.findall(text):
        if word.isalnum():
            yield word
        else:  # an apostrophe inside
            yield from re.split("['’]", ENDING.sub("", word))


def informative(text: str) -> list[str]:
    """The words that say what a text is about, each once."""
    return list(dict.fromkeys(word for word in words(text) if word not in COMMON))


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A word without the commonest endings: planet and planets, dissolve and dissolved."""
    for ending, instead in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) + len(instead) >= 3:
            word = word.removesuffix(ending) + instead
            break
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]  # spinning, spin
            break
    return word.removesuffix("e") if len(word) > 4 else word


# plurals, tried in this order; "ss", "us" and "is" are no plurals
ENDINGS = (
    ("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"),
    ("ss", "ss"), ("us", "us"), ("is", "is"), ("s", ""),
    ("ondria", "ondrion"), ("teria", "terium"),
)  # fmt: skip


@lru_cache(maxsize=4096)  # the same passages come up again and again
def stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text))
