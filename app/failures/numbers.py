"""Quantities in an English text, in digits or words, as values that can be compared."""

import math
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

_SMALL = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINAL = """
    zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
    thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth
"""
WORDS = {word: value for value, word in enumerate(_SMALL.split())}
WORDS |= {word: 20 + 10 * i for i, word in enumerate(_TENS.split())}
ORDINALS = {word: value for value, word in enumerate(_ORDINAL.split())}
ORDINALS |= {word[:-1] + "ieth": 20 + 10 * i for i, word in enumerate(_TENS.split())}
MAGNITUDES = {
    "dozen": 12, "hundred": 100, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12,
    "k": 1e3, "m": 1e6, "bn": 1e9,
}  # fmt: skip
_ORDINAL_MAGNITUDES = {"hundredth": 100, "thousandth": 1000}

_SPACES = "\u00a0\u202f\u2009 "
# A number in digits, with what stands directly before and after it.
_DIGITS = re.compile(
    rf"(?<![\w.,])(?P<before>[A-Za-z]{{1,12}}[-–])?"
    rf"(?P<digits>\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?![\d,.]\d|\d)|\d+(?:[.,:/]\d+)*)"
    rf"(?P<after>[A-Za-z]{{0,8}})"
)
_MAGNITUDE = re.compile(r"[ -](dozen|hundred|thousand|million|billion|trillion)\b", re.IGNORECASE)
_PREFIXES = {"mid", "pre", "post", "early", "late", "circa", "ca"}
_UNITS = {
    "", "st", "nd", "rd", "th", "s", "k", "m", "bn", "km", "cm", "mm", "g", "kg", "mg", "ml", "l",
    "ft", "mph", "kmh", "h", "min", "am", "pm", "x", "hz", "khz", "mhz", "ghz", "w", "kw", "mw",
    "gb", "mb", "tb", "kb", "v", "c", "f", "bc", "bce", "ad", "ce", "percent", "pc", "nm", "ha",
}  # fmt: skip
_NUMBER_WORD = re.compile(
    r"\b(?:" + "|".join([*WORDS, *ORDINALS, *_ORDINAL_MAGNITUDES, *list(MAGNITUDES)[:6]]) + r")\b",
    re.IGNORECASE,
)
_JOINS = re.compile(r"(?:-|\s+)")
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)  # after a hundred, a thousand ...
_DIGIT = re.compile(r"\d")
_CITATION = re.compile(
    r"\[\s*\d+(?:\s*[,–-]\s*\d+)*\s*\]|\b(?:passage|source|document|step|figure|table|option) \d+",
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"^\s*(?:\(?\d{1,3}[.)]|#\d+)\s", re.MULTILINE)


@dataclass(frozen=True)
class Quantity:
    """A number at code points [start, end). `form` is how it is written."""

    start: int
    end: int
    values: tuple[float, ...]  # a date or a time has several
    form: str  # "digits", "word", "ordinal" or "decade"


def quantities(text: str) -> list[Quantity]:
    """The numbers of a text in order; numbers of lists and citations, and names such as H2O, are
    left out, and so is the word "one"."""
    if not _DIGIT.search(text):
        return list(_in_words(text))
    left_out = [m.span() for p in (_CITATION, _LIST_NUMBER) for m in p.finditer(text)]
    found = [
        q for q in _in_digits(text) if not any(start <= q.start < end for start, end in left_out)
    ]
    taken = {position for q in found for position in range(q.start, q.end)}
    return sorted([*found, *_in_words(text, taken)], key=lambda q: q.start)


def _in_digits(text: str) -> Iterator[Quantity]:
    for match in _DIGITS.finditer(text):
        before, after = match["before"] or "", match["after"].casefold()
        if (before and before[:-1].casefold() not in _PREFIXES) or after not in _UNITS:
            continue
        values = _values(match["digits"])
        start, end = match.span("digits")
        form = "digits"
        if after in ("st", "nd", "rd", "th"):
            form, end = "ordinal", match.end()
        elif after == "s":
            form, end = "decade", match.end()
        if after in MAGNITUDES and len(values) == 1:
            values, end = (values[0] * MAGNITUDES[after],), match.end()
        elif len(values) == 1 and (times := _MAGNITUDE.match(text, match.end())):
            values, end = (values[0] * MAGNITUDES[times[1].casefold()],), times.end()
        yield Quantity(start, end, values, form)


def _values(digits: str) -> tuple[float, ...]:
    """The numbers that a group of digits may stand for: one, or the parts of a date or a time."""
    plain = re.sub(f"[{_SPACES}]", "", digits)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain):
        return (_float(plain.replace(",", "")),)
    if re.fullmatch(r"\d+(?:\.\d+)?", plain):
        return (_float(plain),)
    if re.fullmatch(r"\d+,\d+", plain):
        return (_float(plain.replace(",", ".")),)
    return tuple(_float(part) for part in re.findall(r"\d+", plain))


def _float(digits: str) -> float:
    value = float(digits[:300])
    return value if math.isfinite(value) else 0.0


def _in_words(text: str, taken: Set[int] = frozenset()) -> Iterator[Quantity]:
    """Numbers written as words; neighbouring number words are one number where they read so.

    Words at `taken` code points belong to a number in digits: 40 thousand.
    """
    group: list[re.Match[str]] = []
    for match in _NUMBER_WORD.finditer(text):
        if match.start() in taken:
            continue
        if group and not _joined(text, group[-1], match):
            yield from _read(group)
            group = []
        group.append(match)
    yield from _read(group)


def _joined(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    between = text[one.end() : other.start()] if other.start() - one.end() < 8 else ""
    large = one.group().casefold() in MAGNITUDES
    return bool(_JOINS.fullmatch(between) or (large and _AND.fullmatch(between)))


def _read(group: list[re.Match[str]]) -> Iterator[Quantity]:
    """Twenty-one, three hundred and five, nineteen forty-five, forty thousand, nineteenth."""
    words = [match.group().casefold() for match in group]
    first = 0
    while first < len(words):
        total, current, last = 0.0, None, first
        form = "word"
        while last < len(words) and form == "word":
            word = words[last]
            value = WORDS.get(word, ORDINALS.get(word))
            if value is not None:
                if current is None or (current % 100 == 0 and value < 100):
                    current = (current or 0) + value
                elif current % 100 >= 20 and current % 10 == 0 and 0 < value < 10:
                    current += value
                elif 10 <= current < 100 and value >= 10 and word in WORDS:
                    current = 100 * current + value  # a year: nineteen forty-five
                else:
                    break
                form = "ordinal" if word in ORDINALS else form
            elif word in ("hundred", "hundredth", "dozen"):
                current = (1 if current is None else current) * (12 if word == "dozen" else 100)
                form = "ordinal" if word == "hundredth" else form
            else:
                times = MAGNITUDES.get(word, 1000)
                if current is None and total:
                    total *= times  # four thousand million
                else:
                    total, current = total + (1 if current is None else current) * times, None
                form = "ordinal" if word == "thousandth" else form
            last += 1
        if last == first:  # pragma: no cover - every word begins a number
            break
        value = total + (current or 0)
        if words[first:last] not in (["one"], ["zeroth"]):
            yield Quantity(group[first].start(), group[last - 1].end(), (float(value),), form)
        first = last
