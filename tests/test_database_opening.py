"""retrieval.database and manifest: what is opened is whole and fits, or refused with the reason."""

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval import database as database_module
from retrieval.manifest import (
    DatabaseDamaged,
    DatabaseError,
    DatabaseMismatch,
    DatabaseMissing,
    Manifest,
)
from retrieval.protocol import Document
from tests.bag import BagEmbedder
from tests.shelf import add, opened


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("made") / "passages"
    add(directory)
    return directory


@pytest.fixture
def directory(made, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(made, tmp_path / "passages"))


def test_the_fingerprint_stays_while_the_content_does(directory):
    with opened(directory) as database:
        before = database.fingerprint
    with opened(directory) as database:
        assert database.fingerprint == before
    add(directory, [Document("New", "new.md", "Something else.")])
    with opened(directory) as database:
        assert database.fingerprint != before


def test_an_open_database_still_answers_when_a_newer_one_is_published(directory):
    with opened(directory) as database:
        assert not database.stale
        before = database.neighbours(database.index.ids)
        add(directory, [Document("Planet", "planet.md", "Another text altogether.")])
        assert database.stale
        assert database.neighbours(database.index.ids) == before
        assert not database.match(["altogether"], 5)


def test_a_directory_without_a_database_names_the_command(tmp_path):
    with pytest.raises(DatabaseMissing, match=r"python app\.py ingest"):
        opened(tmp_path)
    with pytest.raises(DatabaseMissing):
        opened(tmp_path / "nowhere")


def test_a_file_in_the_place_of_the_directory_is_said_clearly(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match="cannot be used"):
        opened(tmp_path / "file")


def test_opening_while_a_newer_generation_is_published_takes_the_newer(directory, monkeypatch):
    load = database_module.load_index

    def late(*arguments):
        monkeypatch.setattr(database_module, "load_index", load)
        add(directory, [Document("New", "new.md", "Something else.")])
        (directory / "index-1.faiss").unlink()
        return load(*arguments)

    monkeypatch.setattr(database_module, "load_index", late)
    with opened(directory) as database:
        assert database.manifest.generation == 2


def test_another_embedder_is_refused_with_both_fingerprints(directory):
    with pytest.raises(DatabaseMismatch, match=r"bag-of-words.*other-one.*ingest --rebuild"):
        opened(directory, BagEmbedder(fingerprint="other-one"))
    with pytest.raises(DatabaseMismatch, match=r"width 32.*48"):
        opened(directory, BagEmbedder(48))


def test_another_tokenizer_is_refused_with_both_fingerprints(directory):
    with pytest.raises(DatabaseMismatch, match=r"tokenizer words.*pieces.*ingest --rebuild"):
        opened(directory, tokenizer="pieces")


@pytest.mark.parametrize("place", [0, 0.5, -1])
def test_one_flipped_byte_in_the_index_is_refused(directory, place):
    path = directory / "index-1.faiss"
    content = bytearray(path.read_bytes())
    content[int(place * len(content)) if place > 0 else place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatabaseDamaged, match=r"index-1\.faiss is damaged.*--rebuild"):
        opened(directory)


def test_a_missing_or_cut_index_is_refused(directory):
    path = directory / "index-1.faiss"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatabaseDamaged):
        opened(directory)
    path.unlink()
    with pytest.raises(DatabaseDamaged, match="is missing"):
        opened(directory)


def test_a_manifest_cut_short_anywhere_is_refused(directory):
    path = directory / "manifest.json"
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 3):  # the last byte is only the end of the line
        path.write_bytes(content[:length])
        with pytest.raises(DatabaseDamaged, match="damaged"):
            Manifest.read(directory)


def test_a_manifest_with_a_flipped_bit_is_refused_wherever_it_is(directory):
    path = directory / "manifest.json"
    content = path.read_bytes()
    whole = Manifest.read(directory)
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 7
        path.write_bytes(flipped)
        with suppress(DatabaseError):
            assert Manifest.read(directory) == whole  # one white space became another


def test_a_newer_format_is_refused(directory):
    replace(Manifest.read(directory), format=2).write(directory)
    with pytest.raises(DatabaseMismatch, match="format 2"):
        opened(directory)


def test_text_and_index_of_different_generations_are_refused(directory, made):
    add(directory, [Document("New", "new.md", "Something else.")])
    for name in ("chunks.db", "chunks.db-wal", "chunks.db-shm"):
        (directory / name).unlink(missing_ok=True)
    shutil.copy(made / "chunks.db", directory)
    with pytest.raises(DatabaseDamaged, match="hold different chunks"):
        opened(directory)


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_file_that_is_not_a_database_is_refused(directory, content):
    (directory / "chunks.db").write_bytes(content)
    with pytest.raises(DatabaseError, match=r"chunks\.db"):
        opened(directory)


def test_a_missing_text_file_is_refused(directory):
    (directory / "chunks.db").unlink()
    with pytest.raises(DatabaseDamaged, match=r"chunks\.db is missing"):
        opened(directory)


def test_the_manifest_is_plain_json_with_its_counts(directory):
    fields = json.loads((directory / "manifest.json").read_text())
    assert (fields["documents"], fields["width"]) == (3, 32)
    assert fields["metric"] == "squared_l2"
