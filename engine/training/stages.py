"""The stages of the pipeline over all blocks: scan, settle, write.

What a stage finishes lies in a folder of work, a file a block, and is not done again.
"""

import lzma
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from engine.training.blocks import (
    Block,
    Problem,
    cannot_write,
    cleaned_name,
    read_blocks,
    write_whole,
)
from engine.training.corpus import CorpusError
from engine.training.dropped import PROBLEMS, Count, Example, Report, cut_short
from engine.training.duplicates import (
    BANDS,
    ORDERS,
    band_keys,
    exact_duplicates,
    group,
    near_duplicates,
)
from engine.training.overlap import HeldOut
from engine.training.runners import Runner
from engine.training.scan import (
    EXACT,
    KEPT,
    NEAR,
    RULES,
    TEST,
    Scan,
    content_of,
    read_record,
    scan_block,
    shared_words,
)

COMPRESSION = 1  # of xz: eight times as fast as the default, a quarter larger

Progress = Callable[[str, int, int], None]  # stage, bytes done, bytes in all
Key = tuple[str, int]  # file, block


@dataclass(frozen=True)
class Table:
    """All records in order: where they are, and what was decided, with what it was decided by."""

    where: dict[Key, slice]
    lines: np.ndarray
    sizes: np.ndarray
    hits: np.ndarray
    verdicts: np.ndarray
    values: np.ndarray
    twins: np.ndarray  # int64: the row that a duplicate is one of
    skipped: int
    problems: list[Problem]

    def place(self, row: int) -> str:
        for (file, _), rows in self.where.items():
            if rows.start <= row < rows.stop:
                return f"{file}, line {self.lines[row]}"
        raise IndexError(row)


class Stages:
    """The files of a corpus, and the work on them; `keys` are the blocks of each output."""

    def __init__(
        self, files: Sequence[Path], work: Path, run: Runner, progress: Progress, size: int
    ):
        self.files, self.work, self.run, self.size = files, work, run, size
        self.keys: dict[str, list[Key]] = {cleaned_name(path): [] for path in files}
        self._progress = progress

    def scan_path(self, key: Key) -> Path:
        return self.work / "scans" / key[0] / f"{key[1]:06}.safetensors"

    def part_path(self, key: Key) -> Path:
        return self.work / "parts" / key[0] / f"{key[1]:06}.xz"

    def _blocks(self, stage: str) -> Iterator[Block]:
        total = sum(path.stat().st_size for path in self.files)
        before = 0
        for path in self.files:
            for block in read_blocks(path, self.size):
                yield block
                self._progress(stage, before + block.position, total)
            before += path.stat().st_size
            self._progress(stage, before, total)

    def scan(self, held_out: HeldOut) -> None:
        """Every block's records by themselves."""

        def missing() -> Iterator[tuple[Key, Block]]:
            for block in self._blocks("rules"):
                key = (block.file, block.number)
                self.keys[cleaned_name(Path(block.file))].append(key)
                if not self.scan_path(key).exists():
                    yield key, block

        for key, found in self.run(partial(scan_block, held_out=held_out), missing()):
            write_whole(self.scan_path(key), found.to_bytes())

    def scans(self) -> Iterator[tuple[Key, Scan]]:
        for keys in self.keys.values():
            for key in keys:
                path = self.scan_path(key)
                try:
                    yield key, Scan.from_bytes(path.read_bytes())
                except (OSError, ValueError) as error:
                    raise CorpusError(
                        f"cannot read {path} ({error}); delete the folder {self.work} to begin anew"
                    ) from None

    def write(self, table: Table, tests: Sequence[str], held_out: HeldOut) -> Report:
        """Writes what is kept of every block, and tells what was dropped."""
        report = Report(tests=dict.fromkeys(tests, 0))
        report.skipped, report.problems = table.skipped, table.problems

        def missing() -> Iterator[tuple[Key, bytes]]:
            for block in self._blocks("writing"):
                key = (block.file, block.number)
                kept = _tell(report, block, table, tests, held_out)
                if not self.part_path(key).exists():
                    yield key, kept

        for key, packed in self.run(compress, missing()):
            write_whole(self.part_path(key), packed)
        return report


def compress(data: bytes) -> bytes:
    """One xz stream, such as may follow another in a file; nothing for nothing."""
    return lzma.compress(data, preset=COMPRESSION) if data else b""


def settle(stages: Stages) -> Table:
    """Decides on duplicates and test text, which takes all records together."""
    where: dict[Key, slice] = {}
    columns: dict[str, list[np.ndarray]] = {}
    problems, count, skipped = [], 0, 0
    for key, scan in stages.scans():
        rows = len(scan.lines)
        where[key], count = slice(count, count + rows), count + rows
        skipped += scan.skipped
        problems += scan.problems[: max(0, PROBLEMS - len(problems))]
        for name in ("lines", "sizes", "hits", "verdicts", "values", "digests", "compared"):
            columns.setdefault(name, []).append(getattr(scan, name))
    found = {name: np.concatenate(parts) for name, parts in columns.items()}
    digests, compared = found.pop("digests"), found.pop("compared")
    verdicts, values, twins = found["verdicts"], found["values"], np.full(count, -1, np.int64)

    live = np.flatnonzero(verdicts == KEPT)
    first = live[exact_duplicates(digests[live])]
    verdicts[live[first != live]], twins[live] = EXACT, first

    live = np.flatnonzero((verdicts == KEPT) & compared)
    signatures = _gather(stages, where, live)
    keys = ((band, band_keys(signatures, band)) for band in range(BANDS))
    groups = (rows for _, found in stages.run(group, keys) for rows in found)
    for row, (twin, similar) in near_duplicates(signatures, digests[live], groups).items():
        verdicts[live[row]], twins[live[row]], values[live[row]] = NEAR, live[twin], similar

    verdicts[(verdicts == KEPT) & (found["hits"] >= 0)] = TEST
    return Table(where=where, twins=twins, skipped=skipped, problems=problems, **found)


def _gather(stages: Stages, where: dict[Key, slice], live: np.ndarray) -> np.ndarray:
    """The signatures of the records `live`, in a file: [n 128] mapped into memory."""
    path = stages.work / "signatures.bin"
    try:
        with open(path, "wb") as out:
            for key, scan in stages.scans():
                first, last = np.searchsorted(live, (where[key].start, where[key].stop))
                out.write(scan.signatures[live[first:last] - where[key].start].tobytes())
    except OSError as error:
        raise cannot_write(path, error) from None
    if not len(live):
        return np.zeros((0, ORDERS), np.uint32)
    return np.memmap(path, np.uint32, "r").reshape(-1, ORDERS)


def _tell(
    report: Report, block: Block, table: Table, tests: Sequence[str], held_out: HeldOut
) -> bytes:
    """Enters a block's records in the report; returns the lines of those that are kept."""
    read = report.read.setdefault(block.file, Count())
    kept = report.kept.setdefault(block.file, Count())
    rows, lines = table.where[block.file, block.number], []
    for row in range(rows.start, rows.stop):
        number, verdict, size = (int(a[row]) for a in (table.lines, table.verdicts, table.sizes))
        line = block.lines[number - block.first] or b""
        read.add(1, size)
        if verdict == KEPT:
            kept.add(1, size)
            lines.append(line + b"\n")
            continue
        rule = RULES[verdict]
        report.dropped[rule].add(1, size)
        if verdict == TEST:
            report.tests[tests[int(table.hits[row])]] += 1
        if report.wants(rule):
            content = content_of(read_record(line))
            value = float(table.values[row])
            if verdict == TEST:
                why = f'"{shared_words(content, held_out)}" is in {tests[int(table.hits[row])]}'
            elif verdict == NEAR:
                why = f"similarity {value:.2f} with {table.place(table.twins[row])}"
            elif verdict == EXACT:
                why = f"equals {table.place(table.twins[row])}"
            else:
                why = f"measured {value:,.4g}"
            begins = cut_short(" / ".join(content.parts))
            report.examples[rule].append(Example(block.file, number, begins, why))
    return b"".join(lines)
