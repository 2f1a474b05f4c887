"""How often each kind of finding was right on labelled cases, and what follows for its severity.

`quality.json` is made by `python app.py log evaluate-detectors --write` from the cases in
tests/cases: half of them, drawn by a hash of their ids, for setting thresholds ("tuning"), the
other half for measuring alone ("held-out"). One person wrote the cases and the rules, so the
figures say how the rules do on such cases, not on all replies.

The rule of severity, the only place of it: a finding is shown at most as "warn" where the 95 %
interval of its kind's precision on the held-out half lies above .8, at most as "alert" where it
lies above .9, and as "info" otherwise, also where nothing was measured. `EXACT` kinds are excepted:
they state what is on record, such as the reason that ended a reply.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.records import Finding, Severity

TABLE = Path(__file__).with_name("quality.json")
WARN, ALERT = 0.8, 0.9
EXACT = frozenset({"empty", "truncated"})
_ORDER: tuple[Severity, ...] = ("info", "warn", "alert")


@dataclass(frozen=True)
class Share:
    """So many of so many cases."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval of 95 %; 0 to 1 where there is no case."""
        if not self.of:
            return 0.0, 1.0
        z, n, p = 1.959964, self.of, self.hits / self.of
        middle = p + z * z / (2 * n)
        spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        scale = 1 + z * z / n
        return max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0)

    def words(self) -> str:
        low, high = self.interval
        return f"{self.hits} of {self.of} (95 % interval {low:.2f} to {high:.2f})"


@dataclass(frozen=True)
class Measured:
    """Of the cases with such a finding, those where all of them were right; of the cases that
    should have one, those where one was found."""

    precision: Share
    recall: Share


@dataclass(frozen=True)
class Quality:
    """How a kind of finding did on the labelled cases."""

    kind: str
    version: str  # of the detector that was measured
    tuning: Measured
    held_out: Measured

    @property
    def severity(self) -> Severity:
        """The most that a finding of this kind may be shown as."""
        low, _ = self.held_out.precision.interval
        return "alert" if low >= ALERT else "warn" if low >= WARN else "info"

    def words(self) -> str:
        """What to show next to a finding."""
        precision, recall = self.held_out.precision, self.held_out.recall
        if not precision.of:
            return "not measured: no such finding in the labelled cases"
        found = f"; found {recall.hits} of {recall.of} that it should" if recall.of else ""
        return f"right in {precision.words()} labelled cases it was not tuned on{found}"


def quality_of(kind: str) -> Quality | None:
    """None for a kind that is on no record: it states what is known, or was never measured."""
    return _table().get(kind)


def graded(finding: Finding) -> Finding:
    """The finding with no more severity than its kind has earned."""
    if finding.kind.split(".")[0] in EXACT:
        return finding
    quality = quality_of(finding.kind)
    most: Severity = quality.severity if quality else "info"
    if _ORDER.index(finding.severity) <= _ORDER.index(most):
        return finding
    return replace(finding, severity=most)


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Quality]:
    return read_table(json.loads(TABLE.read_text(encoding="utf-8")))


def read_table(table: Mapping[str, Any]) -> dict[str, Quality]:
    """The qualities by kind; see `labelled.table_of`, which writes them."""
    return {
        kind: Quality(kind, row["version"], _measured(row["tuning"]), _measured(row["held-out"]))
        for kind, row in table["kinds"].items()
    }


def _measured(row: Mapping[str, int]) -> Measured:
    return Measured(Share(row["right"], row["flagged"]), Share(row["found"], row["expected"]))
