"""app.uploads: which files are taken, under which names, and how they are kept."""

import pytest

from app import uploads
from app.uploads import Refused, check, clean_name
from tests.arrivals import write


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "uploads"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "no file was given"),
        ([("a.txt", 1)] * 201, "201 files are too many at a time; give up to 200"),
        ([("a.txt", 1), ("film.mp4", 1)], "“film.mp4” is not read; expected .txt, .md, .html"),
        ([("noname", 1)], "“noname” is not read"),
        ([("big.txt", 20 * 2**20 + 1)], "“big.txt” has 20.1 MiB; a file may have 20 MiB"),
        ([("a.txt", 20 * 2**20)] * 11, "220 MiB together; up to 200 MiB are taken"),
    ],
)
def test_uploads_are_bounded_and_the_refusal_names_file_and_limit(files, reason):
    with pytest.raises(Refused) as refused:
        check(files)
    assert reason in str(refused.value)


def test_what_is_just_within_the_limits_is_taken():
    check([("a.txt", uploads.LARGEST)] * 10)
    check([("A.TXT", 0)] * uploads.MOST)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("a.txt", "a.txt"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\Documents\\a b.md", "a b.md"),
        ("line\nbreak\x00\u202e.md", "line break.md"),
        (".txt", ".txt"),
        ("", "unnamed"),
        ("x" * 500 + ".jsonl", "x" * 114 + ".jsonl"),
        ("half \ud83d.md", "half ?.md"),
        ("<img src=x onerror=alert(1)>.md", "<img src=x onerror=alert(1)>.md"),
    ],
)
def test_a_name_is_a_line_without_a_path(name, clean):
    assert clean_name(name) == clean


def test_files_are_stored_under_numbers_whatever_they_are_called(folder, tmp_path):
    arrived = write(tmp_path, {"../../../escape.txt": "x", "b.MD": "y"})
    batch = uploads.take_over(folder, arrived)
    assert sorted(path.name for path in batch.folder.iterdir()) == ["1.txt", "2.md", "job.json"]
    assert [source for _, source in batch.files()] == ["uploads/escape.txt", "uploads/b.MD"]


def test_what_is_not_an_upload_is_left_alone(folder, tmp_path):
    (folder / "mine").mkdir(parents=True)
    assert uploads.left_over(folder) is None
    assert (folder / "mine").exists()
