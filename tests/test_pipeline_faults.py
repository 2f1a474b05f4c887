"""The data pipeline when its input is bad or the disk is full, and its command."""

import io
import json
import lzma
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from app.cli import main
from engine.training import blocks
from engine.training.blocks import read_blocks
from engine.training.corpus import CorpusError
from engine.training.pipeline import clean
from tests.corpora import SIZE, document, kept, outputs, plant, prose, write

ROOT = Path(__file__).parent.parent


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with something for every stage to drop, and test.jsonl beside it."""
    plant(tmp_path / "corpus", tmp_path / "test.jsonl")
    return tmp_path / "corpus"


BAD = (
    (b'{"text": "unfinished', "not JSON"),
    (b'{"text": "\xff\xfe"}', "not UTF-8 (byte 10"),
    (b"[1, 2]", "not a JSON object"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"title": "nothing else"}', 'neither "text" nor "turns" nor "question"'),
    (b'{"text": 7}', "a text in it is not a string"),
    (b'{"text": " "}', "its text is empty"),
    (b'{"turns": []}', 'neither "text" nor'),
    (b'{"turns": ["hello"]}', "a text in it is not a string"),
    (b'{"turns": [{"text": "hello"}]}', 'a turn has no "role"'),
    (b'{"question": "q", "answers": "a"}', "a text in it is not a string"),
    (b'{"question": "q", "context": [1]}', "a text in it is not a string"),
)


def test_bad_lines_are_skipped_counted_and_named(tmp_path: Path):
    good = json.dumps(document(1)).encode()
    lines = [good, *(line for line, _ in BAD), b"", json.dumps(document(2)).encode()]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "bad.jsonl").write_bytes(b"\n".join(lines))
    report = clean(tmp_path / "corpus", tmp_path / "out", size=200)
    assert [r["id"] for r in kept(tmp_path / "out")] == ["d1", "d2"]
    assert report.skipped == len(BAD) == len(report.problems)
    for number, ((_, message), problem) in enumerate(zip(BAD, report.problems, strict=True), 2):
        assert str(problem).startswith(f"bad.jsonl, line {number}: ")
        assert message in str(problem)
    assert "skipped 12 lines" in report.table()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.jsonl", b"", "line 1: the file is empty"),
        ("empty.jsonl.xz", lzma.compress(b"\n\n"), "the file is empty"),
        ("plain.jsonl.xz", b'{"text": "no xz"}', "line 1: the xz data is damaged or cut short"),
    ],
)
def test_a_file_that_holds_nothing_is_reported_and_makes_no_output(
    tmp_path: Path, name: str, data: bytes, message: str
):
    write(tmp_path / "corpus" / "good.jsonl", [document(1)])
    (tmp_path / "corpus" / name).write_bytes(data)
    report = clean(tmp_path / "corpus", tmp_path / "out")
    assert list(outputs(tmp_path / "out")) == ["good.jsonl.xz"]
    assert len(report.problems) == 1 and message in str(report.problems[0])


def test_what_stands_before_damaged_xz_data_is_kept(tmp_path: Path):
    path = write(tmp_path / "corpus" / "cut.jsonl.xz", [document(i) for i in range(300)])
    path.write_bytes(path.read_bytes()[:-2000])
    report = clean(tmp_path / "corpus", tmp_path / "out", size=SIZE)
    left = kept(tmp_path / "out")
    assert 0 < len(left) < 300
    assert left == [document(i) for i in range(len(left))]
    assert [p.file for p in report.problems if "cut short" in p.message] == ["cut.jsonl.xz"]


def test_documents_of_one_word_and_of_ten_megabytes_are_judged_like_others(tmp_path: Path):
    texts = ["word", "word " * 200_000, "w" * 10_000_000, prose(1)]
    write(tmp_path / "corpus" / "odd.jsonl", [{"text": text} for text in texts])
    report = clean(tmp_path / "corpus", tmp_path / "out")
    assert [r["text"] for r in kept(tmp_path / "out")] == [prose(1)]
    assert report.dropped["quality: words not from 50 to 100,000"].records == 3


def test_half_a_character_in_json_is_a_character(tmp_path: Path):
    text = "\ud83d " + prose(1)
    write(tmp_path / "corpus" / "half.jsonl", [])
    (tmp_path / "corpus" / "half.jsonl").write_text(json.dumps({"text": text}))
    clean(tmp_path / "corpus", tmp_path / "out", [tmp_path / "corpus" / "half.jsonl"])
    report = clean(tmp_path / "corpus", tmp_path / "out")
    assert [r["text"] for r in kept(tmp_path / "out")] == [text]
    report.table().encode("utf-8")


def test_a_line_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(blocks, "LONGEST", 1000)
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"a\n" + b"x" * 5500 + b"\nb\n")
    (block,) = read_blocks(path)
    assert block.lines == (b"a", None, b"b")
    write(tmp_path / "corpus" / "long.jsonl", [])
    (tmp_path / "corpus" / "long.jsonl").write_bytes(path.read_bytes())
    report = clean(tmp_path / "corpus", tmp_path / "out")
    assert "long.jsonl, line 2: the line is too long" in str(report.problems[1])


def refused(corpus: Path, out: Path, tests: Iterable[Path] = ()) -> str:
    with pytest.raises(CorpusError) as caught:
        clean(corpus, out, list(tests))
    return str(caught.value)


def test_folders_that_cannot_be_used_are_refused(corpus: Path, tmp_path: Path):
    (tmp_path / "none").mkdir()
    assert "holds no .jsonl" in refused(tmp_path / "none", tmp_path / "out")
    assert "cannot read the folder" in refused(tmp_path / "missing", tmp_path / "out")
    assert "is the corpus itself" in refused(corpus, corpus)
    assert "is not a folder" in refused(corpus, tmp_path / "test.jsonl")
    write(tmp_path / "full" / "strange.jsonl.xz", [])
    assert "strange.jsonl.xz, which is not made from" in refused(corpus, tmp_path / "full")
    write(corpus / "first.jsonl", [document(1)])
    assert "first.jsonl.xz and the same without .xz" in refused(corpus, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("line", ["{broken", '{"title": "no text"}', None])
def test_a_test_file_that_cannot_be_read_is_an_error(
    corpus: Path, tmp_path: Path, line: str | None
):
    path = tmp_path / "bad.jsonl"
    if line is not None:
        path.write_text(line)
    assert "bad.jsonl" in refused(corpus, tmp_path / "out", [path])


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from engine.training.corpus import CorpusError
from engine.training.pipeline import clean
corpus, out, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    clean(corpus, out, size=30_000)
    print("done")
except CorpusError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "limit", [100, 20_000, pytest.param(60_000, marks=pytest.mark.slow)]
)  # the plan, a scan, signatures
def test_a_full_disk_leaves_the_last_good_state(tmp_path: Path, limit: int):
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    write(corpus / "a.jsonl", [document(i) for i in range(100)])
    clean(corpus, out, size=30_000)
    before = outputs(out)
    write(corpus / "a.jsonl", [document(i) for i in range(300, 500)])
    command = [sys.executable, "-c", FULL_DISK, str(corpus), str(out), str(limit)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout and "free some space" in done.stdout
    assert outputs(out) == before
    assert not list(out.rglob("*.part"))
    clean(corpus, out, size=30_000)
    assert kept(out) == [document(i) for i in range(300, 500)]


def ran(*words: object) -> tuple[int, str, str]:
    printed, told = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(told):
        status = main(["clean", *map(str, words)])
    return status, printed.getvalue(), told.getvalue()


def test_the_command_prints_the_report_and_writes_it(corpus: Path, tmp_path: Path):
    test, report = tmp_path / "test.jsonl", tmp_path / "told.json"
    status, printed, _ = ran(
        "--corpus", corpus, "--out", tmp_path / "out", "--test", test, "--report", report
    )
    assert status == 0
    assert "13-gram of a test file" in printed and "near-duplicate" in printed
    assert json.loads(report.read_text())["dropped"]["exact duplicate"]["records"] == 2
    assert sorted(outputs(tmp_path / "out")) == ["first.jsonl.xz", "second.jsonl.xz"]


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path):
    status, printed, told = ran("--corpus", tmp_path / "missing", "--out", tmp_path / "out")
    assert (status, printed) == (2, "")
    assert told.startswith("error: cannot read the folder") and told.count("\n") == 1


def test_ray_that_is_missing_is_one_line(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _, told = ran("--corpus", corpus, "--out", tmp_path / "out", "--ray")
    assert status == 2
    assert "--ray needs the package ray" in told and told.count("\n") == 1
