"""retrieval.readers: files become documents, or a reason why not."""

import json
import os
from pathlib import Path

import pytest

from retrieval import readers
from retrieval.protocol import Document
from retrieval.readers import NothingToRead, Skipped, read, read_as


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, content: str | bytes) -> str:
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    with open(name, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return name


def one(path: str) -> Document:
    (document,) = read(path)
    assert isinstance(document, Document)
    return document


def skips(paths) -> list[str]:
    """Reads beside a good file, so that something could be read; the reasons for the rest."""
    good = write("good.txt", "Good.")
    return [str(item) for item in read([*paths, good]) if isinstance(item, Skipped)]


def test_a_text_file_is_named_after_itself():
    write("tide_tables-2.txt", "High water\r\nat noon.")
    document = one("tide_tables-2.txt")
    assert document == Document("tide tables 2", "tide_tables-2.txt", "High water\nat noon.")


def test_front_matter_gives_title_and_topic_and_is_not_text():
    write("a.md", '---\ntitle: "Tide: a start"\ntopic: Earth\nauthor: x\n---\n\n# Other\n\nText.\n')
    document = one("a.md")
    assert document == Document("Tide: a start", "a.md", "# Other\n\nText.\n", "Earth")


def test_without_front_matter_the_first_heading_is_the_title_and_stays_in_the_text():
    write("a.md", "Before.\n\n## The *tides* ##\n\nText.\n")
    document = one("a.md")
    assert (document.title, document.text[:7]) == ("The *tides*", "Before.")


def test_a_heading_is_a_title_without_what_closes_it():
    for line, title in [("# C# ", "C#"), ("## One  ##  ", "One"), ("# a" + " " * 500 + "b", "a b")]:
        write("a.md", f"{line}\n\nText.")
        assert one("a.md").title == title


def test_a_page_is_text_with_its_title():
    write("a.html", "<title>Tides</title><p>High &amp; low.<script>alert(1)</script>")
    assert one("a.html") == Document("Tides", "a.html", "High & low.")
    write("low_water.HTM", "<p>Low.")
    assert one("low_water.HTM").title == "low water"


def test_text_between_two_rules_is_not_front_matter():
    write("a.md", "---\nJust a sentence.\n---\nMore.\n")
    document = one("a.md")
    assert document.text.startswith("---\nJust")


def test_lines_of_json_become_documents():
    lines = [
        {"text": "One.", "title": "T", "source": "book", "topic": "p"},
        {"text": "Two."},
    ]
    write("two.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    assert list(read("two.jsonl")) == [
        Document("T", "book", "One.", "p"),
        Document("two", "two.jsonl", "Two."),
    ]


def test_directories_are_read_recursively_in_sorted_order_without_hidden_files():
    for name in ("d/b.txt", "d/a.md", "d/sub/c.txt", "d/.git/x.txt", "d/.hidden.txt"):
        write(name, f"Text of {name}.")
    assert [item.source for item in read("d")] == ["d/a.md", "d/b.txt", "d/sub/c.txt"]


def test_a_file_named_twice_is_read_once():
    write("d/a.txt", "A.")
    assert len(list(read(["d", "d/a.txt", "./d"]))) == 1


def test_html_and_script_stay_as_they_are():
    text = "<script>alert('x')</script> & <b>bold</b>\x1b[31m"
    write("a.txt", text)
    document = one("a.txt")
    assert document.text == text


def test_a_byte_order_mark_is_no_text():
    write("a.txt", b"\xef\xbb\xbfText.")
    document = one("a.txt")
    assert document.text == "Text."


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"PNG\x00\x01\x02", "a.txt: this is not text: it holds NUL bytes"),
        ("a.md", b"caf\xe9", "a.md: this is not UTF-8 text: byte 3 cannot be decoded"),
        ("a.txt", "hello".encode("utf-16"), "not text"),
        ("a.txt", b"", "a.txt: it is empty"),
        ("a.txt", b" \n\t ", "a.txt: it is empty"),
        ("a.md", "---\ntitle: T\n---\n", "a.md: it is empty"),
        ("a.jsonl", b"", "a.jsonl: it is empty"),
        ("a.jsonl", b"\x00\x01\n\x02", "a.jsonl: this is not text"),
        ("a.jsonl", '{"text": "ok"}\n{"text": \n', "a.jsonl, line 2: bad JSON"),
        ("a.jsonl", '["text"]', 'a.jsonl, line 1: expected an object with a string "text"'),
        ("a.jsonl", '{"text": 5}', 'expected an object with a string "text"'),
        ("a.jsonl", '{"text": "x", "title": 5}', '"title" is not a string'),
        ("a.jsonl", '{"text": "x\\u0000"}', "NUL characters"),
        ("a.jsonl", '{"text": "x\\ud83d"}', "half a surrogate pair"),
        ("a.jsonl", "[" * 100_000, "nested too deeply"),
        ("a.pdf", b"%PDF", ".pdf files are not read; expected .txt, .md, .html, .htm, .jsonl"),
        ("noname", b"x", "a file without a suffix is not read"),
    ],
)
def test_a_file_that_cannot_be_used_is_skipped_with_the_reason(name, content, reason):
    (skipped,) = skips([write(name, content)])
    assert reason in skipped


def test_good_lines_beside_a_bad_one_are_kept():
    write("a.jsonl", '{"text": "One."}\nnot json\n{"text": "Three."}\n')
    items = list(read("a.jsonl"))
    assert [i.text for i in items if isinstance(i, Document)] == ["One.", "Three."]
    assert [i.source for i in items if isinstance(i, Skipped)] == ["a.jsonl, line 2"]


def test_an_empty_directory_and_a_missing_path_are_skipped():
    os.makedirs("empty/inner")
    empty, missing = skips(["empty", "nowhere"])
    assert empty == "empty: the directory is empty"
    assert missing == "nowhere: there is no such file or directory"


def test_a_pipe_is_not_opened():
    os.mkfifo("a.txt")
    assert skips(["a.txt"]) == ["a.txt: this is not a regular file"]


def test_a_text_above_the_limit_is_skipped_and_the_limit_named(monkeypatch):
    monkeypatch.setattr(readers, "LARGEST", 2**20)
    write("big.txt", b"x" * (2**20 + 1))
    write("big.jsonl", b'{"text": "' + b"x" * 2**21 + b'"}\n{"text": "Small."}\n')
    items = list(read(["big.txt", "big.jsonl"]))
    assert [i.source for i in items if isinstance(i, Skipped)] == ["big.txt", "big.jsonl, line 1"]
    assert all("1 MiB" in i.reason for i in items if isinstance(i, Skipped))
    assert [i.text for i in items if isinstance(i, Document)] == ["Small."]


def test_nothing_at_all_to_read_is_an_error_with_the_reasons():
    write("a.txt", b"\x00")
    with pytest.raises(NothingToRead, match=r"a\.txt: this is not text[\s\S]*nowhere: there is no"):
        list(read(["a.txt", "nowhere"]))
    with pytest.raises(NothingToRead, match="no path was given"):
        list(read([]))


def test_files_can_be_read_under_other_names_which_no_record_can_leave():
    write("1.txt", "One.")
    write("2.jsonl", '{"text": "Two.", "source": "library/bread.md"}\n{"text": "Three."}\n5\n')
    items = list(read_as([(Path("1.txt"), "up/my text.txt"), (Path("2.jsonl"), "up/two.jsonl")]))
    assert items == [
        Document("my text", "up/my text.txt", "One."),
        Document("two", "up/two.jsonl: library/bread.md", "Two."),
        Document("two", "up/two.jsonl", "Three."),
        Skipped("up/two.jsonl, line 3", 'expected an object with a string "text"'),
    ]


def test_of_many_bad_lines_the_first_are_named_and_the_others_counted(monkeypatch):
    monkeypatch.setattr(readers, "BAD_LINES", 3)
    write("a.jsonl", "bad\n" * 7 + '{"text": "Good."}\n')
    items = list(read("a.jsonl"))
    skipped = [item for item in items if isinstance(item, Skipped)]
    assert len(items) == len(skipped) + 1
    assert [item.source for item in skipped] == [
        "a.jsonl, line 1", "a.jsonl, line 2", "a.jsonl, line 3", "a.jsonl",
    ]  # fmt: skip
    assert skipped[-1].reason == "4 more lines cannot be read either"


def test_a_source_outside_the_working_directory_is_absolute(tmp_path, monkeypatch):
    write("d/a.txt", "A.")
    os.makedirs("other")
    monkeypatch.chdir("other")
    document = one("../d/a.txt")
    assert document.source == str(tmp_path / "d/a.txt")
