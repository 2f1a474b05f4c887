"""retrieval.ingest: idempotent, resumable, and safe to kill at any moment."""

import json
import random
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from retrieval.database import Database
from retrieval.draft import drafting
from retrieval.index import FlatIndex
from retrieval.ingest import Report, ingest, rebuild, remove
from retrieval.manifest import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseError,
    DatabaseMismatch,
    DatabaseMissing,
)
from retrieval.protocol import Document
from retrieval.readers import NothingToRead, Skipped, read
from tests.bag import BagEmbedder, word_offsets

ROOT = Path(__file__).parent.parent


def document(name: str, text: str = "", sentences: int = 30) -> Document:
    text = text or " ".join(f"Sentence {i} of {name} says little." for i in range(sentences))
    return Document(name.title(), f"{name}.md", text)


DOCUMENTS = [document("ant"), document("bee"), document("cow")]


def add(directory, items=DOCUMENTS, embedder=None, tokenizer="words", **kinds) -> Report:
    return ingest(
        items,
        directory,
        encode_offsets=word_offsets,
        tokenizer_fingerprint=tokenizer,
        embedder=embedder or BagEmbedder(),
        **kinds,
    )


def drop(directory, ids):
    remove(ids, directory, tokenizer_fingerprint="words", embedder=BagEmbedder())


def again(directory, embedder=None, tokenizer="words", encode_offsets=word_offsets) -> Report:
    return rebuild(
        directory,
        encode_offsets=encode_offsets,
        tokenizer_fingerprint=tokenizer,
        embedder=embedder or BagEmbedder(),
    )


def content(directory, embedder=None, tokenizer="words") -> dict[str, str]:
    """Titles -> texts, put together from chunks that also carry the right keys."""
    embedder = embedder or BagEmbedder()
    with Database(directory, embedder=embedder, tokenizer=tokenizer) as database:
        found = database.neighbours(database.index.ids)
        assert len(found) == database.manifest.chunks
        texts = {}
        for n in sorted(found.values(), key=lambda n: (n.document_id, n.position)):
            texts[n.title] = texts.get(n.title, "") + n.text
        ids = np.array(list(found))
        keys = embedder([n.text for n in found.values()])
        assert abs(database.index.keys(ids) - keys).max() < 1e-5
        return texts


class Stops(BagEmbedder):
    """Embeds so many times, then is interrupted."""

    def __init__(self, *, fingerprint: str = "bag-of-words", calls: int = 0):
        super().__init__(fingerprint=fingerprint)
        self.left = calls

    def __call__(self, texts):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().__call__(texts)


def texts(*documents: Document) -> dict[str, str]:
    return {d.title: d.text for d in documents}


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
    with Database(tmp_path, embedder=BagEmbedder(), tokenizer="words") as database:
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
    with Database(tmp_path, embedder=BagEmbedder(), tokenizer="words") as database:
        used = set(database.index.ids.tolist())
        documents = [e.id for e in database.documents()]
    drop(tmp_path, documents)
    add(tmp_path)
    with Database(tmp_path, embedder=BagEmbedder(), tokenizer="words") as database:
        assert not used & set(database.index.ids.tolist())


# ----- one writer, other makers, damage


def test_a_second_writer_is_refused_and_told_which_directory(tmp_path):
    add(tmp_path)
    with (
        drafting(tmp_path, embedder=BagEmbedder(), tokenizer="words"),
        pytest.raises(DatabaseBusy, match=str(tmp_path)),
    ):
        add(tmp_path, [document("dog")])
    assert add(tmp_path, [document("dog")]).added == 1


def test_another_embedder_or_tokenizer_is_refused_before_anything_is_written(tmp_path):
    add(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DatabaseMismatch, match=r"bag-of-words.*other.*--rebuild"):
        add(tmp_path, [document("dog")], embedder=BagEmbedder(fingerprint="other"))
    with pytest.raises(DatabaseMismatch, match=r"words.*pieces.*--rebuild"):
        add(tmp_path, [document("dog")], tokenizer="pieces")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_rebuild_makes_it_anew_for_another_embedder_and_tokenizer(tmp_path):
    add(tmp_path)
    embedder = BagEmbedder(48, "wider")
    report = again(
        tmp_path, embedder, "bytes", lambda t: [(ord(c), i, i + 1) for i, c in enumerate(t)]
    )
    assert report.unchanged == 3
    assert content(tmp_path, embedder, "bytes") == texts(*DOCUMENTS)


def test_an_interrupted_rebuild_leaves_the_old_database_and_can_be_completed(tmp_path, monkeypatch):
    monkeypatch.setattr("retrieval.ingest.BLOCK", 4)
    add(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        again(tmp_path, Stops(fingerprint="newer", calls=1), "pieces")
    assert content(tmp_path) == texts(*DOCUMENTS)
    again(tmp_path, BagEmbedder(fingerprint="newer"), "pieces")
    assert content(tmp_path, BagEmbedder(fingerprint="newer"), "pieces") == texts(*DOCUMENTS)


def test_an_interrupted_rebuild_can_be_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("retrieval.ingest.BLOCK", 4)
    add(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        again(tmp_path, Stops(fingerprint="newer", calls=1), "pieces")
    assert add(tmp_path, [*DOCUMENTS, document("dog")]).unchanged == 3
    assert content(tmp_path) == texts(*DOCUMENTS, document("dog"))


@pytest.mark.parametrize("name", ["index-1.faiss", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "delete"])
def test_a_rebuild_repairs_index_and_manifest_and_an_ingest_refuses_them(tmp_path, name, harm):
    add(tmp_path)
    add(tmp_path, [document("dog")])
    path = tmp_path / name.replace("1", "2")
    raw = path.read_bytes()
    match harm:
        case "flip":
            path.write_bytes(raw[:50] + bytes([raw[50] ^ 1]) + raw[51:])
        case "cut":
            path.write_bytes(raw[: len(raw) // 2])
        case "delete":
            path.unlink()
    with pytest.raises(DatabaseDamaged, match="--rebuild"):
        add(tmp_path, [document("eel")])
    again(tmp_path)
    assert content(tmp_path) == texts(*DOCUMENTS, document("dog"))
    add(tmp_path, [document("eel")])
    assert len(content(tmp_path)) == 5


def test_a_rebuild_of_nothing_names_the_command(tmp_path):
    with pytest.raises(DatabaseMissing, match=r"python app\.py ingest"):
        again(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_full_disk_is_said_clearly_and_loses_nothing(tmp_path, monkeypatch):
    add(tmp_path)

    def full(self, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FlatIndex, "save", full)
        with pytest.raises(DatabaseError, match="No space left on device"):
            add(tmp_path, [document("dog")])
    assert content(tmp_path) == texts(*DOCUMENTS)
    assert not list(tmp_path.glob(".*.tmp"))
    assert add(tmp_path, []).added == 1  # what was done is taken up
    assert content(tmp_path) == texts(*DOCUMENTS, document("dog"))


def test_a_file_in_the_place_of_the_directory_is_said_clearly(tmp_path):
    (tmp_path / "db").write_text("a file")
    with pytest.raises(DatabaseError, match="cannot be used"):
        add(tmp_path / "db")


def test_keys_that_are_not_numbers_are_refused(tmp_path):
    class Broken(BagEmbedder):
        def __call__(self, texts):
            return super().__call__(texts) * float("nan")

    with pytest.raises(ValueError, match="not finite"):
        add(tmp_path, embedder=Broken())


def test_what_an_interrupted_run_with_another_embedder_left_is_not_mixed_in(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        add(tmp_path, embedder=Stops(fingerprint="first"))
    assert add(tmp_path, [document("dog")]).added == 1
    assert content(tmp_path) == texts(document("dog"))


# ----- killed

NEWER = [document("bee", "Bees have been rewritten. " * 40), document("dog"), document("eel")]
AFTER = texts(DOCUMENTS[0], DOCUMENTS[2], *NEWER)
STEPS = ["reading", "embedding", "index written", "index in place", "manifest in place"]


@pytest.fixture(scope="module")
def kill_ingest():
    """(directory, step, seconds) -> the signal that ended an ingest of NEWER, 0 if none."""
    command = [sys.executable, "-m", "tests.kill_ingest"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:

        def run(directory, step: str, seconds: float = 0) -> int:
            order = {
                "directory": str(directory),
                "documents": [asdict(document) for document in NEWER],
                "step": step,
                "seconds": seconds,
            }
            print(json.dumps(order), file=process.stdin, flush=True)
            assert process.stdout
            return int(process.stdout.readline())

        yield run


@pytest.mark.parametrize("fresh", [False, True], ids=["on top", "first"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_ingest_leaves_the_old_generation_and_can_be_completed(
    tmp_path, kill_ingest, step, fresh
):
    if not fresh:
        add(tmp_path)
    assert kill_ingest(tmp_path, step) == signal.SIGKILL
    published = step == "manifest in place"
    expected = texts(*NEWER) if fresh else AFTER
    if published:
        assert content(tmp_path) == expected
    elif fresh:
        with pytest.raises(DatabaseMissing):
            content(tmp_path)
    else:
        assert content(tmp_path) == texts(*DOCUMENTS)
    report = add(tmp_path, NEWER)
    assert (report.added, report.unchanged) == ((0, 3) if published else (3, 0))
    assert content(tmp_path) == expected
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_run_after_a_killed_one_embeds_only_what_is_missing(tmp_path, kill_ingest):
    kill_ingest(tmp_path, "index in place")
    embedder = BagEmbedder()
    assert add(tmp_path, NEWER, embedder).added == 3
    assert embedder.calls == 0


@pytest.mark.parametrize("rounds", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_nothing(tmp_path, kill_ingest, rounds):
    chance = random.Random(rounds)
    for round in range(rounds):
        directory = tmp_path / str(round)
        add(directory)
        for _ in range(2):  # the second strikes a run that takes up the first
            kill_ingest(directory, "any", chance.random() * 0.06)
            assert content(directory) in (texts(*DOCUMENTS), AFTER)
        add(directory, NEWER)
        assert content(directory) == AFTER
