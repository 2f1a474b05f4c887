"""The data pipeline over files: what it keeps, in any order of work, also when it is stopped."""

import lzma
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.training.corpus import read_records
from engine.training.pipeline import WORK, clean
from engine.training.runners import run_here, run_in_processes
from tests.corpora import SIZE, document, kept, outputs, plant, write

ROOT = Path(__file__).parent.parent


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with something for every stage to drop, and test.jsonl beside it."""
    plant(tmp_path / "corpus", tmp_path / "test.jsonl")
    return tmp_path / "corpus"


def test_every_stage_drops_what_is_its_own_and_the_rest_is_kept_byte_for_byte(
    corpus: Path, tmp_path: Path
):
    out = tmp_path / "out"
    report = clean(corpus, out, [tmp_path / "test.jsonl"], size=SIZE)
    dropped = {rule: count.records for rule, count in report.dropped.items() if count.records}
    assert dropped == {
        "quality: words not from 50 to 100,000": 1,
        "repetition: share of lines that are duplicates over 0.3": 1,
        "exact duplicate": 2,
        "near-duplicate": 1,
        "13-gram of a test file": 1,
    }
    before = (corpus / "second.jsonl").read_bytes().splitlines(keepends=True)
    after = lzma.decompress((out / "second.jsonl.xz").read_bytes()).splitlines(keepends=True)
    assert len(after) == len(before) - 3
    assert set(after) <= set(before)
    assert not (out / WORK).exists()


def test_the_report_counts_all_records_and_shows_examples_cut_short(corpus: Path, tmp_path: Path):
    report = clean(corpus, tmp_path / "out", [tmp_path / "test.jsonl"], size=SIZE)
    for field in ("records", "characters"):
        total, left, gone = (
            sum(getattr(c, field) for c in counts.values())
            for counts in (report.read, report.kept, report.dropped)
        )
        assert total == left + gone
    assert report.tests == {"test.jsonl": 1}
    examples = report.to_json()["examples"]
    (near,) = examples["near-duplicate"]
    assert near["why"].startswith("similarity 0.9") or near["why"].startswith("similarity 1.0")
    (tested,) = examples["13-gram of a test file"]
    assert tested["why"].endswith('" is in test.jsonl') and "the" in tested["why"]
    assert (tested["file"], tested["line"]) == ("second.jsonl", 14)
    shown = [e for found in examples.values() for e in found]
    assert shown and all(len(e["begins"]) <= 101 and "\n" not in e["begins"] for e in shown)
    assert "near-duplicate" in report.table() and "second.jsonl, line 14" in report.table()


def test_cleaning_what_is_clean_drops_nothing(corpus: Path, tmp_path: Path):
    tests = [tmp_path / "test.jsonl"]
    clean(corpus, tmp_path / "once", tests)
    report = clean(tmp_path / "once", tmp_path / "twice", tests)
    assert not any(count.records for count in report.dropped.values())
    assert kept(tmp_path / "twice") == kept(tmp_path / "once")


def test_names_of_files_and_order_of_records_change_no_text_that_stays(
    corpus: Path, tmp_path: Path
):
    records = [r for path in sorted(corpus.iterdir()) for r in read_records(path)]
    random.Random(1).shuffle(records)
    write(tmp_path / "other" / "a.jsonl", records[:9])
    write(tmp_path / "other" / "b.jsonl.xz", records[9:])
    texts = []
    for folder in ("corpus", "other"):
        clean(tmp_path / folder, tmp_path / f"{folder}-out")
        texts.append(sorted(r.get("text", "") for r in kept(tmp_path / f"{folder}-out")))
    assert texts[0] == texts[1]


def test_questions_about_one_passage_are_no_duplicates(corpus: Path, tmp_path: Path):
    clean(corpus, tmp_path / "out")
    assert [r["question"] for r in kept(tmp_path / "out") if "question" in r] == [
        "Who dug it?", "When?",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 700, 10**9])
def test_the_size_of_blocks_changes_nothing_that_is_kept(corpus: Path, tmp_path: Path, size: int):
    clean(corpus, tmp_path / "out", size=size)
    clean(corpus, tmp_path / "usual", size=SIZE)
    assert kept(tmp_path / "out") == kept(tmp_path / "usual")


@pytest.mark.slow
def test_processes_make_the_same_bytes(corpus: Path, tmp_path: Path):
    reports = [
        clean(corpus, tmp_path / name, run=run, size=SIZE).to_json()
        for name, run in (("here", run_here), ("processes", run_in_processes))
    ]
    assert reports[0] == reports[1]
    assert outputs(tmp_path / "here") == outputs(tmp_path / "processes")


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [1, 4, 7, 10, 13, 40])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
):
    tests = [tmp_path / "test.jsonl"]
    whole = clean(corpus, tmp_path / "whole", tests, size=SIZE)
    done = 0

    def stopping(function, items):
        nonlocal done
        for result in run_here(function, items):
            if (done := done + 1) == after:
                raise Killed
            yield result

    with pytest.raises(Killed):
        clean(corpus, tmp_path / "parts", tests, size=SIZE, run=stopping)
    assert outputs(tmp_path / "parts") == {}
    report = clean(corpus, tmp_path / "parts", tests, size=SIZE)
    assert report.to_json() == whole.to_json()
    assert outputs(tmp_path / "parts") == outputs(tmp_path / "whole")


def test_a_resumed_run_does_no_block_twice(corpus: Path, tmp_path: Path):
    counts: list[int] = []

    def counting(function, items):
        for key, result in run_here(function, items):
            counts[-1] += isinstance(key, tuple)
            yield key, result

    def stopping(function, items):
        for key, result in counting(function, items):
            yield key, result
            if counts[-1] == 5:
                raise Killed

    for run in (counting, stopping, counting):
        counts.append(0)
        try:
            clean(corpus, tmp_path / ("whole" if len(counts) == 1 else "parts"), size=SIZE, run=run)
        except Killed:
            continue
    assert counts[1] == 5
    assert counts[0] == counts[1] + counts[2]


def test_half_done_work_on_other_files_is_not_gone_on_with(corpus: Path, tmp_path: Path):
    def stopping(function, items):
        yield from list(run_here(function, items))[:3]
        raise Killed

    with pytest.raises(Killed):
        clean(corpus, tmp_path / "parts", size=SIZE, run=stopping)
    write(corpus / "first.jsonl.xz", [document(i) for i in range(200, 212)])
    clean(corpus, tmp_path / "parts", size=SIZE)
    clean(corpus, tmp_path / "whole", size=SIZE)
    assert outputs(tmp_path / "parts") == outputs(tmp_path / "whole")


KILLING = """
import sys
import time
from pathlib import Path
from engine.training.pipeline import clean
clean(Path(sys.argv[1]), Path(sys.argv[2]), size=3000)
"""


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_bytes(corpus: Path, tmp_path: Path):
    write(corpus / "third.jsonl", [document(i) for i in range(1000, 3000)])
    clean(corpus, tmp_path / "whole", size=SIZE)
    command = [sys.executable, "-c", KILLING, str(corpus), str(tmp_path / "parts")]
    for kind, count in (("scans", 5), ("scans", 60), ("scans", 61), ("parts", 3), ("parts", 90)):
        folder = tmp_path / "parts" / WORK / kind
        process = subprocess.Popen(command, cwd=ROOT)
        while process.poll() is None and sum(1 for _ in folder.rglob("*.*")) < count:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert outputs(tmp_path / "parts") == {}
    clean(corpus, tmp_path / "parts", size=SIZE)
    assert outputs(tmp_path / "parts") == outputs(tmp_path / "whole")


@pytest.mark.slow
def test_ray_makes_the_same_bytes(corpus: Path, tmp_path: Path):
    """In a process of its own: Ray starts others and warns as it pleases."""
    pytest.importorskip("ray", reason="ray, the optional extra `cluster`, is not installed")
    told = []
    for name, more in (("plain", []), ("ray", ["--ray"])):
        words = ["--corpus", corpus, "--out", tmp_path / name, "--test", tmp_path / "test.jsonl"]
        command = [sys.executable, "app.py", "clean", *map(str, words), *more]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout.split("\n\n")[0])
    assert told[0] == told[1]
    assert outputs(tmp_path / "plain") == outputs(tmp_path / "ray")
