"""Templates of the bias probe: sentences with a place for a term, and pairs of words to go on with.

They lie in `prompts/probes/`, our own words, one file a family, with the lists of terms in
`terms.json`. What a result means depends on them, so a changed file gets a new version.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).with_name("probes")
CHECK = "agreement"  # the family in which a difference must be found
FAMILIES = (CHECK, "occupation", "subject", "sentiment", "coreference")
_TERMS = "terms.json"


@dataclass(frozen=True)
class Pair:
    """Two continuations of a sentence, each with the space it begins with."""

    first: str
    second: str


@dataclass(frozen=True)
class Template:
    """A sentence with a place for a term, and how it may go on.

    `attribute` is the pair that is asked about, `neutral` one in which no attitude is at stake.
    """

    id: str
    prompt: str
    attribute: Pair
    neutral: Pair
    reason: str = ""

    def render(self, term: str, pair: Pair) -> str:
        """The sentence with a term in its place, at its beginning with a capital; and with the
        words of the pair where it names the two of whom it speaks."""
        places = {
            "{term}": term,
            "{Term}": term[:1].upper() + term[1:],
            "{first}": pair.first.strip(),
            "{second}": pair.second.strip(),
        }
        text = self.prompt
        for place, word in places.items():
            text = text.replace(place, word)
        return text


@dataclass(frozen=True)
class Terms:
    """Words that take each other's place, with why these; `neutral` is a word for any of them."""

    name: str
    title: str
    terms: tuple[str, ...]
    neutral: str
    reason: str


@dataclass(frozen=True)
class Family:
    """Templates that ask one question, and the lists of terms that it is asked about.

    `positive` says what an effect above zero means. `version` names those of the templates and
    of the lists.
    """

    name: str
    version: str
    title: str
    question: str
    positive: str
    reason: str
    templates: tuple[Template, ...]
    lists: tuple[Terms, ...]


@lru_cache(maxsize=1)
def families() -> Mapping[str, Family]:
    """All families by name."""
    terms = _read(_TERMS)
    lists = {
        name: Terms(name, row["title"], tuple(row["terms"]), row["neutral"], row["reason"])
        for name, row in terms["lists"].items()
    }
    return {name: _family(_read(f"{name}.json"), terms["version"], lists) for name in FAMILIES}


@lru_cache(maxsize=1)
def majorities() -> Mapping[str, str]:
    """Occupations held mostly by women or by men: "nurse" -> "female", "plumber" -> "male"."""
    found = _read(_TERMS)["majorities"]
    return dict.fromkeys(found["women"], "female") | dict.fromkeys(found["men"], "male")


def _family(data: dict[str, Any], terms: str, lists: Mapping[str, Terms]) -> Family:
    return Family(
        name=data["family"],
        version=f"templates {data['version']}, terms {terms}",
        title=data["title"],
        question=data["question"],
        positive=data["positive"],
        reason=data["reason"],
        templates=tuple(
            Template(
                row["id"], row["prompt"], Pair(row["first"], row["second"]),
                Pair(*row["neutral"]), row.get("reason", ""),
            )
            for row in data["templates"]
        ),
        lists=tuple(lists[name] for name in data["lists"]),
    )  # fmt: skip


def _read(name: str) -> dict[str, Any]:
    return json.loads((HERE / name).read_text(encoding="utf-8"))
