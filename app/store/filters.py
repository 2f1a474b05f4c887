"""Which cases are meant: the filter of the browse view, of its links and of exports."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Literal, get_args

from app.failures.taxonomy import RISKS
from app.store.rows import legible

Source = Literal["machine", "person"]
Status = Literal["open", "accepted", "rejected", "disputed", "marked"]

SEVERITIES = ("info", "warn", "alert")  # of findings; 1, 2 and 3 of annotations
FINGERPRINT = 8  # signs of a fingerprint that name a model
LONGEST = 400  # characters of any field of a filter

_WORD = re.compile(r"\w+")
_LIKE_SIGNS = re.compile(r"[%_\\]")
_WAY = re.compile(r"(?P<off>off)|(?P<on>on)|k(?P<k>\d{1,6})|t(?P<t>\d{1,6}(?:\.\d{1,9})?)")
_WORDS = """
SELECT rowid FROM turns_fts WHERE turns_fts MATCH :words
UNION ALL SELECT t.n FROM annotations a JOIN turns t ON t.id = a.turn_id
WHERE a.withdrawn IS NULL AND a.note <> ''"""
_BEHIND = """
SELECT s.n FROM shown_documents d JOIN showings s ON s.document_id = d.id AND s.behind
WHERE d.title = :document"""


class BadFilter(ValueError):
    """A filter that makes no sense; says why and what it may be."""


@dataclass(frozen=True)
class Filter:
    """Which cases are meant; "" leaves a field open.

    `kind` is a label's code and means all below it too; "W" is all risks. `model` is a preset's
    name or the beginning of a fingerprint (8 signs at least). The log does not know which saved
    preset a turn was asked with, so `preset` names the settings themselves: "off" or "on" for
    retrieval, "k2" for two passages, "t0.7" for a temperature, several of them with spaces.
    `text` are words of the message and the reply, or of a note on it; the last of them may be
    unfinished.
    `since` and `until` are days (UTC) on which the reply was written, both included. `annotator`
    marked the failure or ruled on the finding. `severity` is 1 to 3 (info, warn and alert of a
    finding). `drawn` limits cases to replies of which a review so drawn is done, `document` to
    findings in replies where a document of this title was shown for a chunk that one lies in.
    """

    kind: str = ""
    source: str = ""
    status: str = ""
    model: str = ""
    preset: str = ""
    text: str = ""
    since: str = ""
    until: str = ""
    annotator: str = ""
    severity: str = ""
    drawn: str = ""
    document: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Filter":
        """The filter in an address or a form; other names in it are no part of it.

        Raises BadFilter.
        """
        found = {}
        for field in fields(cls):
            value = given.get(field.name, "")
            if not isinstance(value, str):
                raise BadFilter(f"the filter {field.name} is no text; leave it out or give one")
            if len(value := legible(value)) > LONGEST:
                raise BadFilter(f"the filter {field.name} has more than {LONGEST} characters")
            found[field.name] = value
        if found["severity"] in SEVERITIES:
            found["severity"] = str(SEVERITIES.index(found["severity"]) + 1)
        made = cls(**found)
        made._check()
        return made

    def given(self) -> dict[str, str]:
        """The fields that are not open, as `of` takes them."""
        return {name: value for name, value in vars(self).items() if value}

    def _check(self) -> None:
        choices = {
            "source": get_args(Source),
            "status": get_args(Status),
            "severity": ("1", "2", "3", *SEVERITIES),
            "drawn": ("flagged", "sample", "chosen"),
        }
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in ("", *allowed):
                raise BadFilter(f"the filter {name} is {value!r}; give one of {', '.join(allowed)}")
        if self.kind and self.kind != RISKS and not re.fullmatch(r"[\w.]+", self.kind):
            raise BadFilter(f"the filter kind is {self.kind!r}; give the code of a label")
        for name in ("since", "until"):
            if (value := getattr(self, name)) and not _is_day(value):
                raise BadFilter(f"the filter {name} is {value!r}; give a day as YYYY-MM-DD")
        if self.since and self.until and self.since > self.until:
            raise BadFilter(f"no day is both since {self.since} and until {self.until}")
        if self.text and not _WORD.search(self.text):
            raise BadFilter(f"the filter text is {self.text!r}, which has no word to look for")
        for part in self.preset.split():
            if not _WAY.fullmatch(part):
                raise BadFilter(
                    f"the filter preset has {part!r}; give off or on, k and a number of passages, "
                    "t and a temperature, such as: on k2 t0.7"
                )


ALL = Filter()


def condition(filter: Filter) -> tuple[str, dict[str, Any]]:
    """What a row c of `cases` fulfils, as SQL with its parameters."""
    terms: list[str] = ["1"]
    values: dict[str, Any] = dict(filter.given())
    if filter.kind:
        terms.append("(c.kind = :kind OR (c.kind > :kind || '.' AND c.kind < :kind || '/'))")
    for name in ("source", "status"):
        if getattr(filter, name):
            terms.append(f"c.{name} = :{name}")
    if filter.severity:
        terms.append("c.severity = :severity")
        values["severity"] = int(filter.severity)
    if filter.annotator:
        ruled = "SELECT 'f' || finding_id FROM rulings WHERE annotator = :annotator"
        terms.append(f"(c.annotator = :annotator OR c.id IN ({ruled}))")
    if batch := batches(filter):
        terms.append(f"c.batch_id IN (SELECT b.id FROM batches b WHERE {batch[0]})")
        values |= batch[1]
    if filter.preset:
        asked, settings = _ways(filter.preset)
        terms.append(f"c.way_id IN (SELECT w.id FROM ways w WHERE {asked})")
        values |= settings
    if filter.text:
        words = _WORD.findall(filter.text)
        values["words"] = " ".join(f'"{word}"' for word in words) + "*"
        notes = []
        for i, word in enumerate(words):
            values[f"like{i}"] = "%" + _LIKE_SIGNS.sub(r"\\\g<0>", word) + "%"
            notes.append(f"a.note LIKE :like{i} ESCAPE '\\'")
        terms.append(f"c.n IN ({_WORDS} AND {' AND '.join(notes)})")
    if filter.drawn:
        read = "SELECT turn_id FROM reviews WHERE state = 'done' AND drawn = :drawn"
        terms.append(f"c.n IN (SELECT n FROM turns WHERE id IN ({read}))")
    if filter.document:
        terms.append(f"c.source = 'machine' AND c.n IN ({_BEHIND})")
    return " AND ".join(terms), values


def batches(filter: Filter) -> tuple[str, dict[str, Any]] | None:
    """What a row b of `batches` fulfils by the days and the model of a filter; None where the
    filter leaves these open."""
    terms, values = [], {}
    if filter.since:
        terms.append("b.day >= :since")
        values["since"] = filter.since
    if filter.until:
        terms.append("b.day <= :until")
        values["until"] = filter.until
    if filter.model:
        named = "preset = :model"
        if len(filter.model) >= FINGERPRINT:
            named += " OR substr(id, 1, length(:model)) = :model"
        terms.append(f"b.model_id IN (SELECT id FROM models WHERE {named})")
        values["model"] = filter.model
    return (" AND ".join(terms), values) if terms else None


def _ways(preset: str) -> tuple[str, dict[str, Any]]:
    """What a row w of `ways` fulfils."""
    terms, values = [], {}
    for i, part in enumerate(preset.split()):
        way = _WAY.fullmatch(part)
        if way and way["k"]:
            terms.append(f"w.k = :way{i}")
            values[f"way{i}"] = int(way["k"])
        elif way and way["t"]:
            terms.append(f"abs(w.temperature - :way{i}) < 1e-9")
            values[f"way{i}"] = float(way["t"])
        else:
            terms.append(f"w.retrieve = {int(part == 'on')}")
    return " AND ".join(terms), values


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
