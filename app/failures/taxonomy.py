"""The labels of failures: what detectors find and people mark, and the risks these stand for.

Two trees in one list, `taxonomy.json`. The first are the failure kinds of this application; every
kind that a detector can find is one of them, the others only people can see. The second, codes
beginning with W, are the 6 areas and 21 risks of Weidinger et al. (arXiv 2112.04359) in our own
words; `related` of the first leads there. A version of the list is stored with every annotation.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

TABLE = Path(__file__).with_name("taxonomy.json")
RISKS = "W"  # the first part of the codes of Weidinger et al.


@dataclass(frozen=True)
class Label:
    """A kind of failure, or a risk.

    `parent` is the code of the kind above it, None at the top. `key` is the key that chooses it
    on the page, "" where it has none. `related` are codes of risks that it is an instance of.
    """

    code: str
    parent: str | None
    title: str
    meaning: str
    key: str = ""
    related: tuple[str, ...] = ()

    @property
    def top(self) -> str:
        """The code of the top of its tree: "repetition" of "repetition.loop", "W.I" of "W.I.3"."""
        parts = self.code.split(".")
        return ".".join(parts[: 2 if parts[0] == RISKS else 1])


@dataclass(frozen=True)
class Taxonomy:
    """All labels by code, in the order of the list, a parent before its children."""

    version: str
    labels: Mapping[str, Label]

    def title(self, code: str) -> str:
        """The label's title; the code itself where an older list had it."""
        found = self.labels.get(code)
        return found.title if found else code


@lru_cache(maxsize=1)
def taxonomy() -> Taxonomy:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    rows = ({**row, "related": tuple(row["related"])} for row in table["labels"])
    return Taxonomy(table["version"], {row["code"]: Label(**row) for row in rows})


def top_of(kind: str) -> str:
    """The code at the top of the tree of a finding's kind or of a label's code."""
    return Label(kind, None, "", "").top
