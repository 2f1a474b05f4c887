"""The report of a cleaning: what was read, skipped, dropped by each rule, and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.training.blocks import Problem
from engine.training.scan import RULES

EXAMPLES = 3  # records shown for each rule
CUT = 100  # characters shown of each
PROBLEMS = 20  # problems that are described


@dataclass
class Count:
    records: int = 0
    characters: int = 0

    def add(self, records: int, characters: int) -> None:
        self.records += records
        self.characters += characters


@dataclass(frozen=True)
class Example:
    """A dropped record: where it is, how it begins, and what the rule saw."""

    file: str
    line: int
    begins: str
    why: str


@dataclass
class Report:
    """Counts are of records and of the characters of their texts. `skipped` lines were no
    records; `problems` describes the first of them and all files that could not be read."""

    read: dict[str, Count] = field(default_factory=dict)
    kept: dict[str, Count] = field(default_factory=dict)
    dropped: dict[str, Count] = field(default_factory=lambda: {rule: Count() for rule in RULES})
    examples: dict[str, list[Example]] = field(default_factory=lambda: {rule: [] for rule in RULES})
    tests: dict[str, int] = field(default_factory=dict)  # file -> records that share a 13-gram
    tests_short: int = 0  # test texts of under 13 words, which cannot be looked for
    skipped: int = 0
    problems: list[Problem] = field(default_factory=list)

    def wants(self, rule: str) -> bool:
        return len(self.examples[rule]) < EXAMPLES

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def table(self) -> str:
        """The report as lines of text, for a terminal."""
        read, kept = _sum(self.read), _sum(self.kept)
        rows = [("", "records", "share", "characters", "share")]
        rows += [_row("read", read, read)]
        rows += [_row(rule, count, read) for rule, count in self.dropped.items() if count.records]
        rows += [_row("kept", kept, read), ("", "", "", "", "")]
        for name, count in self.read.items():
            rows.append(_row(f"kept of {name}", self.kept.get(name, Count()), count))
        lines = _aligned(rows)
        if self.tests:
            lines += ["", "records that share a 13-gram with a test file:"]
            lines += [f"  {count:>8,}  {name}" for name, count in self.tests.items()]
        if self.tests_short:
            lines.append(f"  ({self.tests_short:,} test texts have under 13 words: not looked for)")
        shown = {rule: found for rule, found in self.examples.items() if found}
        for rule, found in shown.items():
            lines += ["", f"{rule}:"]
            lines += [f"  {e.file}, line {e.line}: {e.why}\n    {e.begins}" for e in found]
        if self.problems:
            lines += ["", f"skipped {self.skipped:,} lines; problems:"]
            lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)


def cut_short(text: str) -> str:
    """The beginning of a text on one line, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * CUT]).split())
    return line[:CUT] + ("…" if len(line) > CUT or len(text) > 2 * CUT else "")


def _sum(counts: Mapping[str, Count]) -> Count:
    values = counts.values()
    return Count(sum(c.records for c in values), sum(c.characters for c in values))


def _row(name: str, count: Count, of: Count) -> tuple[str, ...]:
    shares = (count.records / max(1, of.records), count.characters / max(1, of.characters))
    return (
        name, f"{count.records:,}", f"{shares[0]:.2%}", f"{count.characters:,}", f"{shares[1]:.2%}"
    )  # fmt: skip


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        right = [f"{cell:>{w}}" for cell, w in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([f"{name:<{widths[0]}}", *right]).rstrip())
    return lines
