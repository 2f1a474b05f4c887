"""Labelled cases, and how often the detectors agree with them.

A case is a message, the passages shown, a reply, and the findings that a reader would want:
(kind, quote). Which labels mean what stands in tests/cases/README.md.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.failures.detectors import DETECTORS, run_detectors
from app.records import Finding, Settings, Turn
from engine.protocol import Info, Reply, ReplyChunk
from retrieval.protocol import Neighbour
from retrieval.words import stems

CASES = Path(__file__).parents[2] / "tests" / "cases"
SPLITS = ("tuning", "held-out")
# In these families one passage of text often earns several kinds, and a label names the most
# telling one: a loop repeats its sentences too. Any of them at that place counts as right.
TOGETHER = frozenset({"repetition", "unsupported"})
_MODEL = Info("labelled", 0, "", "", 2048, "")


class BadCase(ValueError):
    """A case that cannot be read; names file and line."""


@dataclass(frozen=True)
class Expected:
    """A kind, and code points of every place where its quote stands in the reply."""

    kind: str
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Case:
    """`open` kinds are neither right nor wrong in this case: the labeller could not say."""

    id: str
    split: str
    turn: Turn
    database: tuple[Neighbour, ...]
    expected: tuple[Expected, ...]
    open: tuple[str, ...]
    note: str

    def lookup(self, text: str) -> Sequence[Neighbour]:
        """Passages of the case's database, those first that share most words with a text."""
        wanted = stems(text)
        return sorted(self.database, key=lambda n: -len(wanted & stems(n.text + n.continuation)))


def split_of(id: str) -> str:
    return SPLITS[hashlib.sha256(id.encode()).digest()[0] % 2]


def read_cases(directory: Path = CASES) -> list[Case]:
    """Every case in the directory's jsonl files. Raises BadCase."""
    files = sorted(directory.glob("*.jsonl"))
    if not files:
        raise BadCase(
            f"there are no labelled cases in {directory}; they come with the source code, in "
            "tests/cases: name that directory with --cases"
        )
    cases: dict[str, Case] = {}
    try:
        passages = json.loads((directory / "passages.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCase(f"{directory / 'passages.json'} cannot be read: {error}") from None
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                case = _case(json.loads(line), passages)
                if case.id in cases:
                    raise BadCase(f"the id {case.id} is used twice")
                cases[case.id] = case
            except (KeyError, TypeError, ValueError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else str(error)
                raise BadCase(f"{file.name}, line {number}: {what}") from None
    return list(cases.values())


def _case(row: Mapping[str, Any], passages: Mapping[str, Any]) -> Case:
    reply = row["reply"]
    if row["split"] != split_of(row["id"]):
        raise BadCase(f"{row['id']} belongs to the {split_of(row['id'])} half")
    expected = []
    for label in row["expected"]:
        quote = label["quote"]
        starts = [match.start() for match in re.finditer(f"(?={re.escape(quote)})", reply)]
        if not starts:
            raise BadCase(f"the quote “{quote}” is not in the reply")
        places = [(start, start + len(quote)) for start in (starts if quote else [0])]
        expected.append(Expected(label["kind"], tuple(places)))
    ids: dict[str, int] = {}
    shown = [_neighbour(p, passages, ids) for p in row.get("passages", ())]
    starts = sorted({start for start, _ in shown} | {0})
    chunks = []
    for index, start in enumerate(starts):
        end = starts[index + 1] if index + 1 < len(starts) else len(reply)
        neighbours = tuple(n for at, n in shown if at == start)
        chunks.append(ReplyChunk(index, "", neighbours, 0.0, None, 0, 0, start, end))
    turn = Turn(
        id=row["id"], conversation="", parent=None, message=row["message"],
        reply=Reply(reply, (), tuple(chunks)), settings=Settings(), model=_MODEL, database="",
        finish=row.get("finish", "stop"), created="",
    )  # fmt: skip
    database = tuple(_neighbour(p, passages, ids)[1] for p in row.get("database", ()))
    return Case(
        row["id"], row["split"], turn, database, tuple(expected), tuple(row.get("open", ())),
        row["note"],
    )  # fmt: skip


def _neighbour(
    given: str | Mapping[str, Any], passages: Mapping[str, Any], ids: dict[str, int]
) -> tuple[int, Neighbour]:
    """A passage by its name in passages.json or in full, and the code point it is shown from."""
    if isinstance(given, str):
        given = {"passage": given}
    start, name = given.get("from", 0), given.get("passage")
    passage = given if name is None else passages[name]
    title, text, continuation = (passage[key] for key in ("title", "text", "continuation"))
    number = ids.setdefault(title + text, len(ids))
    return start, Neighbour(number, number, title, "", 0, 0, 0, text, continuation, (), ())


def evaluate(cases: Iterable[Case]) -> dict[str, dict[str, dict[str, int]]]:
    """{kind: {split: {"flagged", "right", "expected", "found"}}}, each a number of cases.

    A case is flagged for a kind that has a finding in it, and right if each of these lies on a
    label of this kind (see `TOGETHER`). It is expected to have the kinds of its labels, and found
    if a finding of that kind lies on one. "repetition" and "unsupported" stand for any of theirs.
    """
    counts: dict[str, dict[str, dict[str, int]]] = {}

    def count(kind: str, split: str, what: str) -> None:
        row = counts.setdefault(
            kind,
            {name: dict.fromkeys(("flagged", "right", "expected", "found"), 0) for name in SPLITS},
        )
        row[split][what] += 1

    for case in cases:
        runs = run_detectors(case.turn, lookup=case.lookup if case.database else None)
        findings = [f for run in runs for f in run.findings if not _is_open(f.kind, case.open)]
        labels = [e for e in case.expected if not _is_open(e.kind, case.open)]
        for kind in sorted({f.kind for f in findings} | families(f.kind for f in findings)):
            count(kind, case.split, "flagged")
            if all(_right(f, labels) for f in findings if _within(f.kind, kind)):
                count(kind, case.split, "right")
        for kind in sorted({e.kind for e in labels} | families(e.kind for e in labels)):
            count(kind, case.split, "expected")
            places = [e for e in labels if _within(e.kind, kind)]
            if any(_overlap(f, e) for f in findings if _within(f.kind, kind) for e in places):
                count(kind, case.split, "found")
    return dict(sorted(counts.items()))


def families(kinds: Iterable[str]) -> set[str]:
    return {kind.split(".")[0] for kind in kinds} & TOGETHER


def _within(kind: str, family: str) -> bool:
    return kind == family or kind.startswith(f"{family}.")


def _is_open(kind: str, kinds: Sequence[str]) -> bool:
    return any(_within(kind, family) for family in kinds)


def _right(finding: Finding, labels: Sequence[Expected]) -> bool:
    family = finding.kind.split(".")[0]
    wanted = family if family in TOGETHER else finding.kind
    return any(_within(e.kind, wanted) and _overlap(finding, e) for e in labels)


def _overlap(finding: Finding, label: Expected) -> bool:
    """Spans overlap; an empty one, which speaks of the whole turn, overlaps any."""
    return any(
        finding.start == finding.end
        or start == end
        or (finding.start < end and start < finding.end)
        for start, end in label.places
    )


def table_of(cases: Sequence[Case]) -> dict[str, Any]:
    """What quality.json holds: counts, and the version of the detector behind each kind."""
    versions = {detector.kind: detector.version for detector in DETECTORS}

    def version(kind: str) -> str:
        return versions.get(kind) or versions.get(kind.split(".")[0], "")

    return {
        "cases": {split: sum(case.split == split for case in cases) for split in SPLITS},
        "kinds": {kind: {"version": version(kind), **row} for kind, row in evaluate(cases).items()},
    }
