"""Personal data masked: one █ in place of each of its characters, so that offsets stay true.

What counts is what `personal` knows by its form. A value that is known from one text is masked in
every other, also where it has another case or other spaces, or where a text was cut inside it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.failures.personal import forms
from app.failures.reading import without_code

MASK = "█"
_PIECE = 4  # characters of a value that are masked where a text was cut inside it
_PART = re.compile(r"[^\W_]{3,}")  # of a value, as a detector may quote it
_DIGITS = re.compile(r"\D+")


@dataclass(frozen=True)
class Value:
    """A value and the kind of finding that it is, such as personal.email."""

    kind: str
    text: str

    @property
    def hash(self) -> str:
        """The first 12 digits of its SHA-256: tells equal values, but a short one can be guessed
        by trying all."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


class Masker:
    """Masks the values of some texts, in these and in any others."""

    def __init__(self, texts: Iterable[str], known: Iterable[Value] = ()) -> None:
        self._values: dict[str, Value] = {}
        for value in known:
            self._values.setdefault(_folded(value.text), value)
        for text in texts:
            for kind, start, end in _forms(text):
                self._values.setdefault(_folded(text[start:end]), Value(kind, text[start:end]))
        self._values.pop("", None)
        patterns = sorted((_pattern(v.text) for v in self.values), key=len, reverse=True)
        self._known = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None

    @property
    def values(self) -> tuple[Value, ...]:
        return tuple(self._values.values())

    def found(self, text: str) -> list[tuple[int, int, Value]]:
        """Where values are: code points [start, end) in the order of the text, none twice."""
        if self._known is None:
            return []
        hits = [match.span() for match in self._known.finditer(text)]
        hits += [(start, end) for _, start, end in _forms(text)]
        found: list[tuple[int, int, Value]] = []
        for start, end in sorted(hits, key=lambda hit: (hit[0], -hit[1])):
            if not found or end > found[-1][1]:
                start = max(start, found[-1][1]) if found else start
                found.append((start, end, self._of(text[start:end])))
        return found

    def mask(self, text: str) -> str:
        for start, end, _ in self.found(text):
            text = masked(text, start, end)
        return text

    def mask_cut(self, text: str) -> str:
        """As `mask`, for a text that was cut out of another one: also a piece of a value at its
        start, at its end, or before the … that it was cut with."""
        text = self.mask(text)
        for value in self.values:
            body, whole = text.rstrip("…").lower(), value.text.lower()
            if len(body) != len(text.rstrip("…")):
                continue  # some letter is two in lower case
            most = min(len(whole) - 1, len(body))
            for size in range(most, _PIECE - 1, -1):
                if body.endswith(whole[:size]):
                    text = masked(text, len(body) - size, len(body))
                    break
            for size in range(most, _PIECE - 1, -1):
                if body.startswith(whole[-size:]):
                    text = masked(text, 0, size)
                    break
        return text

    def mask_parts(self, text: str) -> str:
        """As `mask_cut`, and every word or number of three signs or more that is a part of a value
        is masked as well, a number also without the zeros in front."""
        text = self.mask_cut(text)
        for part in sorted(self._parts, key=len, reverse=True):
            pattern = rf"(?<![^\W_]){re.escape(part)}(?![^\W_])"
            for match in re.finditer(pattern, text, re.IGNORECASE):
                text = masked(text, *match.span())
        return text

    def mask_json(self, value: Any, *, parts: bool = False) -> Any:
        """Every text inside a JSON value masked; with `parts` also numbers that stand in a value.
        The names of an object stay."""
        match value:
            case str():
                return self.mask_parts(value) if parts else self.mask_cut(value)
            case list():
                return [self.mask_json(item, parts=parts) for item in value]
            case dict():
                return {name: self.mask_json(item, parts=parts) for name, item in value.items()}
            case int() | float() if parts and not isinstance(value, bool):
                digits = _DIGITS.sub("", f"{value:g}" if isinstance(value, float) else str(value))
                inside = any(digits in _DIGITS.sub("", known) for known in self._values)
                return 0 if len(digits) > 2 and inside else value
        return value

    @property
    def _parts(self) -> set[str]:
        found = {part for value in self._values for part in _PART.findall(value)}
        return found | {bare for part in found if len(bare := part.lstrip("0")) > 2}

    def _of(self, text: str) -> Value:
        known = self._values.get(_folded(text))
        if known is not None:
            return known
        return Value(next((kind for kind, _, _ in _forms(text)), "personal"), text)


def masked(text: str, start: int, end: int) -> str:
    return text[:start] + MASK * (end - start) + text[end:]


@lru_cache(maxsize=4096)  # the same passages come again and again
def _forms(text: str) -> tuple[tuple[str, int, int], ...]:
    """The forms in a text, code included: what a program prints can be somebody's too."""
    return tuple(_each(text))


def _each(text: str) -> Iterator[tuple[str, int, int]]:
    for version in dict.fromkeys((text, without_code(text))):
        for kind, start, end in forms(version):
            yield f"personal.{kind}", start, end


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _pattern(text: str) -> str:
    return r"\s+".join(re.escape(part) for part in text.split())
