"""retrieval.ingest and writer: one writer, other makers, damage, and a kill at any moment."""

import json
import random
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from retrieval.index import FlatIndex
from retrieval.ingest import Report, rebuild
from retrieval.manifest import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseError,
    DatabaseMismatch,
    DatabaseMissing,
)
from retrieval.writer import drafting
from tests.bag import BagEmbedder, word_offsets
from tests.shelf import DOCUMENTS, add, content, document, texts

ROOT = Path(__file__).parent.parent


def again(directory, embedder=None, tokenizer="words", encode_offsets=word_offsets) -> Report:
    return rebuild(
        directory,
        encode_offsets=encode_offsets,
        tokenizer_fingerprint=tokenizer,
        embedder=embedder or BagEmbedder(),
    )


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
