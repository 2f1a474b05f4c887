"""retrieval.ingest: what is added, what is replaced, what is removed."""

import json
from pathlib import Path

import pytest

from retrieval.ingest import remove
from retrieval.manifest import DatabaseMissing
from retrieval.protocol import Document
from retrieval.readers import NothingToRead, Skipped, read
from tests.bag import BagEmbedder
from tests.shelf import DOCUMENTS, add, content, document, opened, texts


def drop(directory, ids):
    remove(ids, directory, tokenizer_fingerprint="words", embedder=BagEmbedder())


# ----- what is added


def test_documents_arrive_whole(tmp_path):
    report = add(tmp_path / "new" / "folder")
    assert (report.added, report.replaced, report.unchanged) == (3, 0, 0)
    assert report.chunks > 6 and report.seconds > 0
    assert content(tmp_path / "new" / "folder") == texts(*DOCUMENTS)


def test_the_same_again_changes_nothing(tmp_path):
    add(tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()
    embedder = BagEmbedder()
    report = add(tmp_path, embedder=embedder)
    assert (report.added, report.unchanged, report.chunks) == (0, 3, 0)
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert embedder.calls == 0


def test_the_same_text_from_another_source_is_not_stored_twice(tmp_path):
    copy = Document("Copy", "copy.md", DOCUMENTS[0].text)
    report = add(tmp_path, [*DOCUMENTS, copy])
    assert (report.added, report.unchanged) == (3, 1)
    assert add(tmp_path, [copy]).unchanged == 1


def test_a_new_text_of_the_same_source_replaces_the_old_one(tmp_path):
    add(tmp_path)
    newer = document("bee", "Bees have been rewritten.")
    report = add(tmp_path, [newer])
    assert (report.added, report.replaced, report.unchanged) == (1, 1, 0)
    assert content(tmp_path) == texts(DOCUMENTS[0], newer, DOCUMENTS[2])


def test_a_new_title_for_the_same_text_is_taken_over(tmp_path):
    add(tmp_path)
    renamed = Document("Honey bee", "bee.md", DOCUMENTS[1].text)
    assert add(tmp_path, [renamed]).replaced == 1
    assert content(tmp_path) == texts(DOCUMENTS[0], renamed, DOCUMENTS[2])


def test_texts_that_share_a_source_but_not_a_title_live_side_by_side(tmp_path):
    first, second = (Document(name, "a collection", f"About {name}.") for name in ("x", "y"))
    add(tmp_path, [first])
    add(tmp_path, [second])
    assert content(tmp_path) == texts(first, second)


def test_a_file_holds_what_it_holds_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = Path("all.jsonl")
    lines = [json.dumps({"text": f"Text {i}.", "title": f"T{i}"}) for i in range(4)]
    file.write_text("\n".join(lines))
    add("db", read("all.jsonl"))
    file.write_text("\n".join([json.dumps({"text": "New.", "title": "N"}), *lines[2:]]))
    report = add("db", read("all.jsonl"))
    assert (report.added, report.replaced, report.unchanged) == (1, 2, 2)
    assert set(content("db")) == {"N", "T2", "T3"}


def test_emoji_and_markup_survive_with_their_offsets(tmp_path):
    odd = document("odd", "<script>alert('😀')</script> 👩🏽‍🚀 ünïcode 漢字 " * 30)
    add(tmp_path, [odd])
    assert content(tmp_path) == texts(odd)


def test_what_cannot_be_read_is_reported_and_the_rest_is_kept(tmp_path):
    (tmp_path / "good.txt").write_text("Good text.")
    (tmp_path / "bad.txt").write_bytes(b"\x00\x01")
    report = add(tmp_path / "db", read([tmp_path / "bad.txt", tmp_path / "good.txt"]))
    assert report.added == 1
    assert "NUL bytes" in report.skipped[0].reason


def test_documents_given_directly_are_checked_as_well(tmp_path):
    bad = [document("a", "  "), document("b", "x\0"), document("c", "half \ud83d")]
    report = add(tmp_path, [*bad, Skipped("d", "was not there"), *DOCUMENTS])
    assert (report.added, len(report.skipped)) == (3, 4)


def test_nothing_to_read_leaves_no_database(tmp_path):
    with pytest.raises(NothingToRead):
        add(tmp_path / "db", read(tmp_path / "nowhere"))
    with pytest.raises(DatabaseMissing):
        content(tmp_path / "db")


def test_progress_counts_chunks_up_to_the_total(tmp_path):
    seen = []
    report = add(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (report.chunks, report.chunks)
    assert seen == sorted(seen)


# ----- removal


def test_a_removed_document_is_gone_from_answers_and_from_the_files(tmp_path):
    secret = document("secret", "The codeword was xylophonist, twice xylophonist. " * 9)
    add(tmp_path, [*DOCUMENTS, secret])
    with opened(tmp_path) as database:
        (id,) = (e.id for e in database.documents() if e.title == "Secret")
    drop(tmp_path, [id])
    assert content(tmp_path) == texts(*DOCUMENTS)
    for path in tmp_path.iterdir():
        assert b"xylophon" not in path.read_bytes(), path
    assert len(list(tmp_path.glob("index-*.faiss"))) == 1


def test_an_unknown_document_cannot_be_removed(tmp_path):
    add(tmp_path)
    with pytest.raises(ValueError, match="no document 99"):
        drop(tmp_path, [1, 99])
    assert content(tmp_path) == texts(*DOCUMENTS)
    with pytest.raises(DatabaseMissing):
        drop(tmp_path / "nowhere", [1])
    assert not (tmp_path / "nowhere").exists()


def test_chunk_ids_are_never_given_out_twice(tmp_path):
    add(tmp_path)
    with opened(tmp_path) as database:
        used = set(database.index.ids.tolist())
        documents = [e.id for e in database.documents()]
    drop(tmp_path, documents)
    add(tmp_path)
    with opened(tmp_path) as database:
        assert not used & set(database.index.ids.tolist())
