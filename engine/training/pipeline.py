"""The data pipeline: a folder of jsonl(.xz) -> rules, duplicates, test-set filter -> jsonl.xz.

The stages are those of Gopher (arXiv 2112.11446, appendix A.1), in its order. The quality and
repetition rules are for documents; dialogues and questions, which are short and alike by nature,
are only looked at as duplicates and for test text. Records about a passage are near-duplicates
of none. A record that is kept is kept byte for byte.

Each stage works on blocks of lines and keeps what it finishes in a folder within the output, so a
run that was killed goes on where it was, to the same bytes. Memory: a few blocks a worker, and
about 100 bytes a record while duplicates are looked for. Outputs change together, at the end.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from engine.training.blocks import SIZE, cannot_write, cleaned_name, corpus_files, write_whole
from engine.training.corpus import CorpusError, read_records
from engine.training.dropped import Report
from engine.training.overlap import HeldOut, hold_out
from engine.training.runners import Runner, run_here
from engine.training.scan import content_of
from engine.training.stages import Progress, Stages, settle

VERSION = 1  # of the rules: what an earlier version half finished is not gone on with
WORK = ".cleaning"


def silent(stage: str, done: int, total: int) -> None:
    """No progress is shown."""


def clean(
    corpus: Path, out: Path, tests: Sequence[Path] = (), *,
    run: Runner = run_here, progress: Progress = silent, size: int = SIZE,
) -> Report:  # fmt: skip
    """Cleans all files of a folder into another. `size` is the bytes of lines in a block.

    Raises CorpusError for a folder or test file that cannot be used and for a disk that is full;
    bad lines and unreadable corpus files are skipped and reported.
    """
    files = corpus_files(corpus)
    names = [cleaned_name(path) for path in files]
    _check_folders(corpus, out, names)
    held_out = read_tests(tests)
    _start(out, _plan(files, tests, size))
    stages = Stages(files, out / WORK, run, progress, size)
    stages.scan(held_out)
    report = stages.write(settle(stages), [path.name for path in tests], held_out)
    report.tests_short = held_out.short
    parts = {name: map(stages.part_path, keys) for name, keys in stages.keys.items()}
    _publish(out, parts)
    return report


def read_tests(paths: Sequence[Path]) -> HeldOut:
    """Test files are ours and few: one that cannot be read is an error, not a skipped line."""

    def texts() -> Iterator[tuple[int, str]]:
        for number, path in enumerate(paths):
            for line, record in enumerate(read_records(path), 1):
                try:
                    content = content_of(record)
                except ValueError as error:
                    raise CorpusError(f"{path}, record {line}: {error}") from None
                for text in content.parts:
                    yield number, text

    return hold_out(texts())


def _check_folders(corpus: Path, out: Path, names: Iterable[str]) -> None:
    if out.resolve() == corpus.resolve():
        raise CorpusError(f"{out} is the corpus itself; give another folder for the output")
    if out.exists() and not out.is_dir():
        raise CorpusError(f"{out} is not a folder")
    strange = sorted(
        p.name for p in out.glob("*.jsonl*") if p.name not in names and p.suffix != ".part"
    )
    if strange:
        raise CorpusError(
            f"{out} holds {strange[0]}, which is not made from {corpus}; give an empty folder"
        )


def _plan(files: Sequence[Path], tests: Sequence[Path], size: int) -> bytes:
    """What half-finished work depends on."""
    stats = [(path.name, path.stat()) for path in files]
    plan = {
        "version": VERSION,
        "size": size,
        "files": [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats],
        "tests": [[path.name, sha256(path.read_bytes()).hexdigest()] for path in tests],
    }
    return json.dumps(plan, indent=1).encode()


def _start(out: Path, plan: bytes) -> None:
    """Keeps the work of an earlier run if it was the same."""
    path = out / WORK / "plan.json"
    try:
        if path.exists() and path.read_bytes() == plan:
            return
        if path.parent.exists():
            shutil.rmtree(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from None
    write_whole(path, plan)


def _publish(out: Path, parts: Mapping[str, Iterable[Path]]) -> None:
    """Puts the outputs in place, once all of them are on the disk."""
    made: list[Path] = []
    for name, found in parts.items():
        made.append(out / (name + ".part"))
        try:
            with open(made[-1], "wb") as file:
                for part in found:
                    file.write(part.read_bytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            for temporary in made:
                temporary.unlink(missing_ok=True)
            raise cannot_write(out / name, error) from None
    for temporary in made:
        if temporary.stat().st_size:
            os.replace(temporary, temporary.with_suffix(""))
        else:  # nothing is kept of this file
            temporary.unlink()
            temporary.with_suffix("").unlink(missing_ok=True)
    shutil.rmtree(out / WORK)
