"""`python app.py eval report`: what is shown, what is counted, and what is left of it."""

import io
import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from app.evaluation import parts
from app.evaluation.held import cut
from app.evaluation.lambada import summarise
from app.evaluation.parts import Amount, Part
from app.evaluation.report import measure
from app.evaluation.shown import CONTROLS, OFF, RANDOM, Remembering, Search, with_k, with_size
from retrieval.database import Database
from tests.bag import BagEmbedder, word_offsets
from tests.shelf import add, document, opened
from tests.terminal import ARTICLES

TEXT = " ".join(f"Sentence {i} of bee says little." for i in range(30))


# ----- what is shown


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Database:
    directory = tmp_path_factory.mktemp("shelf")
    add(directory, [document(name, sentences=60) for name in ("ant", "bee", "cow", "dog", "eel")])
    return opened(directory)


@pytest.fixture(scope="module")
def search(shelf: Database) -> Search:
    return Search(shelf, BagEmbedder(), k=2, seed=3)


def test_a_smaller_database_is_part_of_each_larger_one(search: Search, shelf: Database):
    held = [set(search._indexes[size].ids.tolist()) for size in search.sizes]
    assert [len(ids) for ids in held] == list(search.sizes)
    assert len(search.sizes) == 5 and search.sizes[-1] == len(shelf.index)
    assert all(a < b for a, b in pairwise(held))


def test_chunks_are_shown_what_was_found_with_the_chunk_before(search: Search):
    held = cut(TEXT, word_offsets, 8, 6)
    shown = search.of(held, 0, figures=True)
    texts = [piece.text for piece in held.pieces]
    assert shown.ways[with_k(2)] == ((), *(search.retrieve(text) for text in texts[:-1]))
    assert shown.ways[with_k(1)] == tuple(p[:1] for p in shown.ways[with_k(2)])
    assert set(shown.ways) == {
        OFF, RANDOM, with_k(1), with_k(2), *map(with_size, search.sizes)
    }  # fmt: skip
    assert all(way[0] == () and len(way) == 6 for way in shown.ways.values())
    assert not any(shown.ways[OFF])


def test_nearest_passages_of_the_whole_are_those_of_the_largest_size(search: Search):
    held = cut(TEXT, word_offsets, 8, 6)
    shown = search.of(held, 0, figures=True)
    dense = Search(search._database, BagEmbedder(), k=2, seed=3, dense_only=True)
    for piece, passages in zip(
        held.pieces[:-1], shown.ways[with_size(search.sizes[-1])][1:], strict=True
    ):  # fmt: skip
        assert [n.chunk_id for n in passages] == [n.chunk_id for n in dense.retrieve(piece.text)]


def test_random_passages_are_of_documents_that_are_not_shown_and_come_again(search: Search):
    held = cut(TEXT, word_offsets, 8, 4)
    one, same, other = (search.of(held, n, figures=False) for n in (1, 1, 2))
    assert one == same and one.ways[RANDOM] != other.ways[RANDOM]
    assert set(one.ways) == {OFF, RANDOM, with_k(2)}
    shown = {n.document_id for passages in one.ways[with_k(2)] for n in passages}
    random = {n.document_id for passages in one.ways[RANDOM] for n in passages}
    assert not shown & ({n.document_id for n in one.controls} | random)
    assert len(one.controls) <= CONTROLS
    assert all(len(passages) == 2 for passages in one.ways[RANDOM][1:])


def test_text_of_the_database_overlaps_with_it_and_other_text_does_not(search: Search):
    known = search.of(cut(TEXT, word_offsets, 8, 3), 0, figures=False)
    other = search.of(
        cut("Nothing here is known at all. " * 9, word_offsets, 8, 3), 0, figures=False
    )
    assert known.overlaps == (1.0, 1.0, 1.0)
    assert max(other.overlaps) <= 1 / 8


def test_a_remembering_embedder_gives_the_keys_of_the_other():
    bag = BagEmbedder()
    remembering = Remembering(bag)
    remembering.learn(["a b", "c"])
    before = bag.calls
    assert (remembering(["c", "a b"]) == bag(["c", "a b"])).all()
    assert bag.calls == before + 1  # for the comparison alone
    assert (remembering(["c", "new"]) == bag(["c", "new"])).all()


# ----- the report

HEADER = {
    "command": "python app.py eval report", "date": "2026-11-26T00:00:00Z", "seed": 0,
    "model": {"preset": "tiny", "parameters": 1, "fingerprint": "f" * 64, "tokenizer": "t"},
    "database": {"fingerprint": "d" * 64, "passages": 9, "documents": 3, "found_by": "by keys"},
    "files": {},
}  # fmt: skip


def lambada_part(total: int, stop_at: int | None = None, name: str = "lambada") -> Part:
    def rows():
        for i in range(total):
            if i == stop_at:
                raise KeyboardInterrupt
            yield SimpleNamespace(right={OFF: True}, nats={OFF: 1.0})

    return Part(name, total, rows, lambda rows: summarise(rows, 0))


def plain(name: str, total: int, rows):
    return rows


def test_a_report_that_was_ended_keeps_what_was_measured_and_says_so(tmp_path: Path):
    made = [lambada_part(3, name="wikitext"), lambada_part(5, stop_at=2), lambada_part(4)]
    made[0] = Part("other", 3, made[0].rows, made[0].summarise)
    report = measure(made, HEADER, tmp_path, plain)
    assert report["complete"] is False
    assert report["parts"]["other"]["complete"] is True
    stopped = report["parts"]["lambada"]
    assert (stopped["complete"], stopped["measured"], stopped["of"]) == (False, 2, 5)
    assert json.loads((tmp_path / "report.json").read_bytes()) == report
    text = (tmp_path / "report.md").read_text()
    assert "**Incomplete" in text and "Incomplete: 2 of 5." in text


def test_what_was_measured_before_the_engine_was_gone_is_written(tmp_path: Path):
    def rows():
        yield SimpleNamespace(right={OFF: True}, nats={OFF: 1.0})
        raise OSError("gone")

    part = Part("lambada", 9, rows, lambda rows: summarise(rows, 0))
    with pytest.raises(OSError, match="gone"):
        measure([part], HEADER, tmp_path, plain)
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert report["complete"] is False and report["parts"]["lambada"]["measured"] == 1


def test_a_report_ended_before_the_first_row_is_written_too(tmp_path: Path):
    report = measure([lambada_part(5, stop_at=0)], HEADER, tmp_path, plain)
    assert report["parts"]["lambada"]["measured"] == 0
    assert "**Incomplete" in (tmp_path / "report.md").read_text()


def test_a_whole_report_is_complete(tmp_path: Path):
    report = measure([lambada_part(3)], HEADER, tmp_path, plain)
    assert report["complete"] is True
    assert "Incomplete" not in (tmp_path / "report.md").read_text()


# ----- the command


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    texts = {
        "text": [ARTICLES["Harbour"] + " Nobody knew why.", ARTICLES["Heron"], ARTICLES["Tide"]],
        "wikitext": [" = Harbour = \n \n The <unk> was dug in 1411 .\n"],
        "lambada": ["The boats land in the old harbour"],
    }
    for name, some in texts.items():
        lines = "".join(json.dumps({"text": text}) + "\n" for text in some)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    return {name: tmp_path / f"{name}.jsonl" for name in texts}


@pytest.mark.slow
def test_a_report_of_everything_is_written(terminal, files, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "FULL", Amount(2, 3, 1, 1, 1, 9))
    monkeypatch.setattr("app.evaluation.language.FULL", parts.FULL)
    words = [word for name, path in files.items() for word in (f"--{name}", path)]
    ran = terminal("eval", "report", *words, "--out", tmp_path / "out", "--seed", 5)
    assert (ran.status, ran.err) == (0, "")
    report = json.loads((tmp_path / "out/report.json").read_bytes())
    assert report["complete"] and set(report["parts"]) == {*files, "repetition"}
    assert report["command"] == (
        "python app.py eval report --text text.jsonl --wikitext wikitext.jsonl "
        "--lambada lambada.jsonl --seed 5"
    )
    assert report["model"]["preset"] == "tiny"
    assert len(report["model"]["fingerprint"].partition("-")[0]) == 64
    assert len(report["files"]["text"]["sha256"]) == 64 and report["date"].endswith("Z")
    text = report["parts"]["text"]
    assert (text["documents"], text["chunks"], text["tokens"]) == (2, 6, 48)
    for way in text["ways"]:
        assert 0 < way["bits_per_byte"]["value"] < 20
    assert "## WikiText-2" in ran.out and "## LAMBADA" in ran.out
    assert str(tmp_path) not in (tmp_path / "out/report.md").read_text()
    for name in ("overlap.png", "neighbours.png", "database.png"):
        image = Image.open(io.BytesIO((tmp_path / "out" / name).read_bytes()))
        assert image.format == "PNG" and min(image.size) > 300
        assert report["model"]["fingerprint"] in image.info["Comment"]
        assert len(set(image.convert("L").tobytes())) > 8  # something is drawn


@pytest.mark.parametrize("flag", ["--text", "--wikitext", "--lambada"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\n", b"{broken\n"])
def test_a_file_that_cannot_be_measured_is_named_before_anything_is_loaded(
    terminal, tmp_path, flag, content
):
    path = tmp_path / "some.jsonl"
    if content is not None:
        path.write_bytes(content)
    ran = terminal("eval", "report", flag, path, "--out", tmp_path / "out")
    assert str(path) in ran.problem
    assert not (tmp_path / "out").exists()


def test_a_report_of_nothing_is_refused(terminal, tmp_path):
    assert "give at least one of --text" in terminal("eval", "report", "--out", tmp_path).problem
