"""Letters of a script that neither the message nor a passage uses: the reply may have changed its
language. Two languages that share a script cannot be told apart by it."""

import re
from bisect import bisect_right
from functools import lru_cache

from app.failures.protocol import Detector, NotApplicable, finding
from app.failures.reading import without_code
from app.records import Finding, Turn

# First code point of each block of letters, and its script; "" is none of these.
_BLOCKS = (
    (0x0041, "Latin"), (0x0370, "Greek"), (0x0400, "Cyrillic"), (0x0530, "Armenian"),
    (0x0590, "Hebrew"), (0x0600, "Arabic"), (0x0780, ""), (0x0900, "Devanagari"),
    (0x0980, "Bengali"), (0x0A00, "Gurmukhi"), (0x0A80, "Gujarati"), (0x0B00, ""),
    (0x0B80, "Tamil"), (0x0C00, "Telugu"), (0x0C80, "Kannada"), (0x0D00, "Malayalam"),
    (0x0D80, "Sinhala"), (0x0E00, "Thai"), (0x0E80, "Lao"), (0x0F00, "Tibetan"),
    (0x1000, "Burmese"), (0x10A0, "Georgian"), (0x1100, "Korean"), (0x1200, "Ethiopic"),
    (0x13A0, ""), (0x1780, "Khmer"), (0x1800, ""), (0x1D00, "Latin"), (0x1F00, "Greek"),
    (0x2000, ""), (0x2C60, "Latin"), (0x2C80, ""), (0x3040, "Japanese"), (0x3100, "Chinese"),
    (0x3130, "Korean"), (0x3190, "Chinese"), (0xA000, ""), (0xAC00, "Korean"), (0xD7B0, ""),
    (0xF900, "Chinese"), (0xFB00, "Latin"), (0xFB13, "Armenian"), (0xFB1D, "Hebrew"),
    (0xFB50, "Arabic"), (0xFE00, ""), (0xFE70, "Arabic"), (0xFF00, ""), (0x20000, "Chinese"),
    (0x323B0, ""),
)  # fmt: skip
_STARTS = [start for start, _ in _BLOCKS]
_ADDRESS = re.compile(r"[^\s@/]{0,64}[@/]\S{0,100}")  # of mail, of pages: the same in any language
_LETTERS = re.compile(r"[^\W\d_]+")
# A message that names a language or asks for one has asked for another script.
_ASKED = re.compile(
    r"\b(?:translat\w*|alphabet|script|letters?|characters?|spell|written in|write in|say in"
    r"|answer in|reply in|in the original|transliterat\w*|pronounce\w*"
    r"|english|russian|ukrainian|bulgarian|greek|arabic|hebrew|hindi|japanese|chinese|mandarin"
    r"|korean|thai|persian|farsi|urdu|bengali|tamil|georgian|armenian|serbian|cyrillic|kanji"
    r"|hiragana|katakana)\b"
    r"|по-английски|английск|на английском|по-русски|перевед|英語|英文|英语|翻译|翻訳|영어|번역"
    r"|الإنجليزية|ترجم|אנגלית|तरजुमा|अनुवाद|अंग्रेज़ी|αγγλικά|μετάφρα",
    re.IGNORECASE,
)
# Set on the tuning half, where .2 to .3 also found titles and names in their own letters.
SHARE = 0.4  # of the reply's letters
LEAST = 12  # letters; a character that stands for a syllable or a word counts twice
_DENSE = frozenset({"Chinese", "Japanese", "Korean"})


def find(turn: Turn) -> list[Finding]:
    """`language.script`: from the first to the last letter of the commonest foreign script."""
    code = without_code(turn.reply.text)
    text = _ADDRESS.sub(lambda found: " " * len(found.group()), code)
    mine = _scripts(text)
    if not mine:
        raise NotApplicable("the reply has no letters")
    message = _scripts(turn.message)
    if not message:
        raise NotApplicable("the message has no letters to compare with")
    if _ASKED.search(turn.message):
        raise NotApplicable("the message names a language or a script")
    foreign = {script: places for script, places in mine.items() if script not in _known(turn)}
    if not foreign:
        return []
    script, places = max(foreign.items(), key=lambda item: len(item[1]))
    count = sum(len(p) for p in foreign.values())
    letters = sum(len(p) for p in mine.values())
    share = count / letters
    weight = sum(len(p) * (2 if name in _DENSE else 1) for name, p in foreign.items())
    if share < SHARE or weight < LEAST:
        return []
    usual = max(message, key=lambda name: len(message[name]))
    return [
        finding(
            "language.script",
            turn.reply.text,
            (places[0], places[-1] + 1),
            score=share,
            threshold=SHARE,
            explanation=f"{share:.0%} of the reply's letters are {script}; the message is written "
            f"in {usual} letters, and no passage shown has any of them.",
            evidence={"script": script, "letters": count, "message": usual},
        )
    ]


def _known(turn: Turn) -> set[str]:
    """Scripts of the message and the passages. Who writes Japanese writes Chinese characters."""
    texts = [turn.message, turn.passage]
    texts += [n.text + n.continuation for c in turn.reply.chunks for n in c.neighbours]
    known = set().union(*map(_used, texts))
    return known | {"Chinese"} if known & {"Japanese", "Korean"} else known


@lru_cache(maxsize=1024)  # the same passages come up again and again
def _used(text: str) -> frozenset[str]:
    return frozenset(_scripts(text))


def _scripts(text: str) -> dict[str, list[int]]:
    """The places of each script's letters."""
    if text.isascii():
        places = [place for word in _LETTERS.finditer(text) for place in range(*word.span())]
        return {"Latin": places} if places else {}
    found: dict[str, list[int]] = {}
    for word in _LETTERS.finditer(text):
        for place in range(*word.span()):
            code = ord(text[place])
            block = bisect_right(_STARTS, code) - 1
            if block >= 0 and _BLOCKS[block][1]:
                found.setdefault(_BLOCKS[block][1], []).append(place)
    return found


LANGUAGE = Detector("language", "1", find)
