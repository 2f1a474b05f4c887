"""app.cli ingest and search: documents go in, passages come out."""

import json
import os
import sys

import pytest

from tests.terminal import Terminal

TEXT = "The ferry crosses the strait at noon and carries sheep, letters and the doctor."


def best(terminal: Terminal, query: str) -> dict:
    ran = terminal("search", query, "--json")
    assert (ran.status, ran.err) == (0, "")
    return json.loads(ran.out)[0]


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        ("night_ferry.txt", TEXT, "night ferry"),
        ("a.md", f"---\ntitle: The ferry\n---\n\n{TEXT}", "The ferry"),
        ("a.jsonl", json.dumps({"title": "Ferries", "text": TEXT}), "Ferries"),
    ],
)
def test_a_file_is_added_and_found(terminal, tmp_path, name, content, title):
    (tmp_path / name).write_text(content)
    ran = terminal("ingest", tmp_path / name)
    assert ran.status == 0
    assert ran.out.startswith("1 documents added (0 older versions replaced), 0 unchanged, 0 skip")
    assert "passages:" in ran.err and "chunks" in ran.err  # the progress bar
    found = best(terminal, "the ferry with sheep")
    assert found["title"] == title
    assert "sheep" in found["text"] + found["continuation"]


def test_a_directory_is_added_with_what_lies_below_it(terminal, tmp_path):
    folder = tmp_path / "texts"
    (folder / "deeper").mkdir(parents=True)
    (folder / "one.txt").write_text(TEXT)
    (folder / "deeper" / "two.md").write_text("# Lighthouse\n\nIts lamp is seen from afar.")
    ran = terminal("ingest", folder)
    assert (ran.status, ran.out[:17]) == (0, "2 documents added")
    assert best(terminal, "seen from afar")["title"] == "Lighthouse"


def test_the_same_again_is_unchanged(terminal, tmp_path):
    (tmp_path / "one.txt").write_text(TEXT)
    terminal("ingest", tmp_path / "one.txt")
    assert ", 1 unchanged, 0 skipped; 0 chunks" in terminal("ingest", tmp_path / "one.txt").out


def test_what_is_not_text_is_reported_and_the_rest_is_added(terminal, tmp_path):
    (tmp_path / "photo.txt").write_bytes(b"\x89PNG\x00\x01" * 9)
    (tmp_path / "one.txt").write_text(TEXT)
    ran = terminal("ingest", tmp_path / "photo.txt", tmp_path / "one.txt", tmp_path / "none.md")
    assert ran.status == 0
    assert "1 documents added" in ran.out and "2 skipped" in ran.out
    assert f"skipped {tmp_path}/photo.txt: this is not text: it holds NUL bytes" in ran.err
    assert f"skipped {tmp_path}/none.md: there is no such file or directory" in ran.err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("photo.txt", "this is not text: it holds NUL bytes"),
        ("photo.png", ".png files are not read"),
        ("empty", "the directory is empty"),
        ("nowhere", "there is no such file or directory"),
    ],
)
def test_where_nothing_can_be_read_it_is_said_why_and_nothing_changes(
    terminal, tmp_path, name, reason
):
    (tmp_path / "photo.txt").write_bytes(b"\x89PNG\x00")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\x00")
    (tmp_path / "empty").mkdir()
    before = (terminal.options.passages / "manifest.json").read_bytes()
    ran = terminal("ingest", tmp_path / name)
    assert (ran.status, ran.out) == (2, "")
    assert "error: nothing could be read; give a file in UTF-8 (.txt, .md, .html" in ran.err
    assert f"{tmp_path}/{name}: {reason}" in ran.err
    assert (terminal.options.passages / "manifest.json").read_bytes() == before


def test_ingesting_nothing_names_the_command(terminal):
    assert "python app.py ingest PATH..." in terminal("ingest").problem


def test_the_first_ingest_keeps_the_library_as_well(terminal, tmp_path):
    terminal.change(data=tmp_path / "new")
    (tmp_path / "one.txt").write_text(TEXT)
    ran = terminal("ingest", tmp_path / "one.txt")
    assert "1 documents added" in ran.out and "library:" in ran.err
    assert best(terminal, "When was the harbour dug?")["title"] == "Harbour"


def test_search_prints_numbered_passages_on_one_line_each(terminal):
    ran = terminal("search", "Why does bread rise?", "-k", 2)
    assert (ran.status, ran.err) == (0, "")
    first, text, empty, second, *_ = ran.out.splitlines()
    assert first.startswith("1. Bread [0-") and ", distance " in first and ", overlap " in first
    assert text.startswith("   Bread rises because yeast") and empty == ""
    assert second.startswith("2. ")


def test_search_prints_json_with_places_and_distances(terminal):
    ran = terminal("search", "Why does bread rise?", "--json", "-k", 3)
    rows = json.loads(ran.out)
    assert len(rows) == 3
    names = {"title", "source", "start", "end", "text", "continuation", "distance", "overlap"}
    assert set(rows[0]) == names
    assert rows[0]["source"].endswith("bread.md")
    assert len(rows[0]["text"]) == rows[0]["end"] - rows[0]["start"]


def test_dense_only_ranks_by_distance_alone(terminal):
    ran = terminal("search", "Why does bread rise?", "--json", "--dense-only")
    distances = [row["distance"] for row in json.loads(ran.out)]
    assert distances == sorted(distances)


@pytest.mark.parametrize(
    "query", ['"', "bread AND", "NEAR(bread yeast)", "title:bread", "bre*", "-bread ^(", "😀", "\0"]
)
def test_search_operators_are_only_words(terminal, query):
    ran = terminal("search", f"{query} yeast")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("1. Bread")


@pytest.mark.parametrize("words", [[""], [" \n"], ["bread", "-k", "0"]])
def test_a_search_that_finds_nothing_says_so(terminal, words):
    ran = terminal("search", *words)
    assert (ran.status, ran.out[:16]) == (0, "no passage found")
    assert terminal("search", *words, "--json").out == "[]\n"


def test_markup_in_a_document_is_printed_as_it_is(terminal, tmp_path):
    (tmp_path / "one.txt").write_text("A <script>alert(1)</script> zebra & 🌊.")
    terminal("ingest", tmp_path / "one.txt")
    assert best(terminal, "zebra")["text"] == "A <script>alert(1)</script> zebra & 🌊."


def test_a_reader_that_goes_away_is_no_error(terminal, monkeypatch):

    out, into = os.pipe()
    os.close(out)
    with monkeypatch.context() as patch, open(into, "w") as closed:
        patch.setattr(sys, "stdout", closed)
        assert terminal("search", "bread").status == 0
