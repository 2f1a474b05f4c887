"""Packed tokens with their documents, mixture weights, and precomputed neighbours."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.tokenizer import EOS, Tokenizer
from engine.training import neighbour_index
from engine.training.batches import windows
from engine.training.corpus import CorpusError
from engine.training.mixture import Mixture, Span, mixture_of, read_mixture
from engine.training.neighbour_index import NeighbourIndex, chunks_of, find_neighbours
from engine.training.pack import DOCUMENTS, MIXTURE, pack, read_documents
from engine.training.recipe import RecipeError, Text, plain_texts, read_recipe
from tests.corpora import prose, write

M, R = 8, 16
Stream = tuple[np.ndarray, np.ndarray]
RECIPE = Path(__file__).parents[1] / "engine/training/recipes/retro-mini.json"


class Bags:
    """Keys that count the letters of a text, at random angles."""

    width, fingerprint = 24, "bags"

    def __init__(self) -> None:
        self._angles = np.random.default_rng(0).normal(size=(128, self.width)).astype(np.float32)
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        counts = [np.bincount([ord(c) for c in t], minlength=128) for t in texts]
        keys = np.array(counts, np.float32) @ self._angles
        return keys / np.maximum(1e-6, np.linalg.norm(keys, axis=1, keepdims=True))


def decode(ids: Sequence[int]) -> str:
    return "".join(chr(32 + i % 90) for i in ids if i != EOS)


@pytest.fixture
def stream() -> Stream:
    """Tokens, and the documents that they are of; some documents are there twice."""
    rng = np.random.default_rng(3)
    texts = [np.append(rng.integers(4, 94, rng.integers(1, 60)), EOS) for _ in range(60)]
    numbers = [*range(50), *range(10)]
    texts[50:] = [texts[i] for i in range(10)]
    order = rng.permutation(60)
    texts, numbers = [texts[i] for i in order], [numbers[i] for i in order]
    starts = np.cumsum([0, *map(len, texts[:-1])])
    return np.concatenate(texts).astype(np.uint16), np.stack([starts, numbers], 1).astype(np.int64)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("EMBEDDED", 16), ("SEARCHED", 32), ("COMPARED", 24)):
        monkeypatch.setattr(neighbour_index, name, size)


def built(stream: Stream, folder: Path, k: int = 3) -> NeighbourIndex:
    find_neighbours(*stream, folder, chunk=M, k=k, embedder=Bags(), decode=decode)
    return NeighbourIndex(*stream, folder)


def document_at(stream: Stream, token: int) -> int:
    return int(stream[1][stream[1][:, 0] <= token][-1, 1])


def about(stream: Stream, chunk: int) -> set[int]:
    last = min((chunk + 2) * M, len(stream[0]))
    return {document_at(stream, t) for t in range(chunk * M, last)}


def test_a_chunk_stands_for_the_document_of_its_last_token(stream: Stream):
    table = chunks_of(len(stream[0]), stream[1], M)
    assert len(table.ends) == len(stream[0]) // M
    for u, (start, end) in enumerate(zip(table.starts, table.ends, strict=True)):
        assert (u * M <= start < end) and end == (u + 1) * M
        inside = {document_at(stream, t) for t in range(start, end)}
        assert inside == {table.documents[u]} == {document_at(stream, end - 1)}
        assert set(table.about[u].tolist()) == about(stream, u)


def test_no_chunk_has_a_neighbour_of_a_document_that_it_or_the_next_chunk_holds(
    stream: Stream, tmp_path: Path
):
    index = built(stream, tmp_path)
    table = chunks_of(len(stream[0]), stream[1], M)
    for u, row in enumerate(index.found):
        assert (row >= 0).all() and len(set(row.tolist())) == 3
        assert not {int(table.documents[v]) for v in row} & about(stream, u)


def test_the_neighbours_are_the_nearest_that_are_allowed(stream: Stream, tmp_path: Path):
    index, table = built(stream, tmp_path), chunks_of(len(stream[0]), stream[1], M)
    texts = [
        decode(stream[0][a:b].tolist()).strip()
        for a, b in zip(table.starts, table.ends, strict=True)
    ]
    keys = Bags()(texts).astype(np.float16).astype(np.float64)
    for u, row in enumerate(index.found):
        distances = ((keys - keys[u]) ** 2).sum(1)
        distances[np.isin(table.documents, list(about(stream, u)))] = np.inf
        np.testing.assert_allclose(distances[row], np.sort(distances)[:3], atol=1e-4)


def test_another_document_with_the_same_text_is_the_nearest(tmp_path: Path):
    rng = np.random.default_rng(5)
    text = rng.integers(4, 94, 3 * M)
    other = [rng.integers(4, 94, 3 * M) for _ in range(9)]
    parts = [*other[:4], text, *other[4:], text]
    stream = (
        np.concatenate(parts).astype(np.uint16),
        np.stack([np.arange(11) * 3 * M, np.arange(11)], 1).astype(np.int64),
    )
    assert built(stream, tmp_path, k=1).found[12:15, 0].tolist() == [30, 31, 32]


def test_where_all_is_one_document_there_are_no_neighbours(tmp_path: Path):
    stream = np.arange(4, 84, dtype=np.uint16), np.array([[0, 7]], np.int64)
    index = built(stream, tmp_path)
    assert (index.found == -1).all()
    batch = index.batch(0, batch=2, chunks=2, seed=0)
    assert batch.passages is not None and not batch.passages.valid.any()


@pytest.mark.parametrize("stop", [1, 3, 9, 12])
def test_a_stopped_search_goes_on_to_the_same_bytes(stream: Stream, tmp_path: Path, stop: int):
    whole = built(stream, tmp_path / "whole")
    calls = 0

    def stopping(stage: str, done: int, total: int) -> None:
        nonlocal calls
        if (calls := calls + 1) == stop:
            raise KeyboardInterrupt

    parts, embedder = tmp_path / "parts", Bags()
    with pytest.raises(KeyboardInterrupt):
        find_neighbours(
            *stream, parts, chunk=M, k=3, embedder=embedder, decode=decode, progress=stopping
        )
    before = len(embedder.texts)
    with open(next(parts.glob("*.bin.part")), "ab") as torn:
        torn.write(b"half")  # a row that was being written
    find_neighbours(*stream, parts, chunk=M, k=3, embedder=embedder, decode=decode)
    assert before > 0 and len(embedder.texts) == len(whole.found)  # none embedded twice
    for name in ("neighbours.bin", "neighbours.json"):
        assert (parts / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(parts.glob("*.part"))


def test_what_was_begun_with_other_tokens_is_not_gone_on_with(stream: Stream, tmp_path: Path):
    def stopping(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    other = (stream[0][::-1].copy(), stream[1])
    for tokens in (other, stream):
        with pytest.raises(KeyboardInterrupt):
            find_neighbours(
                *tokens, tmp_path, chunk=M, k=3, embedder=Bags(), decode=decode, progress=stopping
            )
    np.testing.assert_array_equal(
        built(stream, tmp_path).found, built(stream, tmp_path / "whole").found
    )


def test_a_batch_holds_whole_chunks_with_their_neighbours(stream: Stream, tmp_path: Path):
    index = built(stream, tmp_path)
    batch = index.batch(4, batch=3, chunks=2, seed=0)
    again = index.batch(4, batch=3, chunks=2, seed=0)
    np.testing.assert_array_equal(batch.tokens, again.tokens)
    np.testing.assert_array_equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    assert batch.passages is not None and batch.passages.tokens.shape == (3, 2, 3, R)
    chunks = stream[0][: len(stream[0]) // M * M].reshape(-1, M)
    for b, u, j in np.ndindex(3, 2, 3):
        (at,) = np.flatnonzero((chunks == batch.tokens[b, u * M : (u + 1) * M]).all(1))[:1]
        shown = batch.passages.tokens[b, u, j][batch.passages.valid[b, u, j]]
        np.testing.assert_array_equal(shown, index.passage(int(index.found[at, j])))


def test_a_passage_ends_with_its_document(stream: Stream, tmp_path: Path):
    index, table = built(stream, tmp_path), chunks_of(len(stream[0]), stream[1], M)
    for v in range(len(table.ends)):
        passage = index.passage(v)
        assert EOS not in passage[:-1]
        assert len(passage) == R or passage[-1] == EOS


def test_neighbours_of_other_tokens_are_refused(stream: Stream, tmp_path: Path):
    with pytest.raises(CorpusError, match="run the stage 'neighbours'"):
        NeighbourIndex(*stream, tmp_path)
    built(stream, tmp_path)
    with pytest.raises(CorpusError, match="run the stage 'neighbours' again"):
        NeighbourIndex(stream[0][:100], stream[1], tmp_path)
    with pytest.raises(CorpusError, match="less than a chunk"):
        find_neighbours(
            stream[0][:5], stream[1], tmp_path, chunk=M, k=1, embedder=Bags(), decode=decode
        )


# ----- mixture


def test_a_mixture_of_one_source_draws_as_before():
    stream = np.arange(5000, dtype=np.uint16)
    rng = np.random.default_rng((7, 3))
    firsts = rng.integers(0, 5000 - 64 - 1, 4)
    drawn = windows(stream, 3, batch=4, length=64, seed=7)
    np.testing.assert_array_equal(drawn[:, 0], firsts)


def test_windows_come_from_sources_by_weight_and_cross_no_border():
    mixture = mixture_of([9000, 0, 1000], [0.3, 0.2, 0.7])
    assert mixture.spans == (Span(0, 9000, 0.3), Span(9000, 10_000, 0.7))
    at = mixture.positions(np.random.default_rng(0), 20_000, before=10, after=50)
    small = at >= 9000
    assert abs(small.mean() - 0.7) < 0.02
    assert at[~small].min() >= 10 and at[~small].max() <= 8950
    assert at[small].min() >= 9010 and at[small].max() <= 9950


def test_a_source_shorter_than_a_sequence_is_an_error():
    with pytest.raises(CorpusError, match="has 40 tokens, but a sequence takes 51"):
        mixture_of([900, 40], [1, 1]).positions(np.random.default_rng(0), 1, after=51)


def test_a_mixture_of_other_tokens_is_refused(tmp_path: Path):
    path = tmp_path / MIXTURE
    assert read_mixture(path, 30) == Mixture.whole(30)
    path.write_bytes(mixture_of([10, 20], [1, 2]).to_bytes())
    assert read_mixture(path, 30) == mixture_of([10, 20], [1, 2])
    with pytest.raises(CorpusError, match="not of these 31 tokens"):
        read_mixture(path, 31)


def recipe(tmp_path: Path, *weights: float):
    raw = json.loads(RECIPE.read_text())
    sources = [{"file": f"{i}.jsonl", "weight": w} for i, w in enumerate(weights)]
    raw["plain"] = [{**source, "made": 2, "repeat": 2} for source in sources]
    (tmp_path / "recipe.json").write_text(json.dumps(raw))
    return read_recipe(tmp_path / "recipe.json")


def test_weights_are_given_to_all_sources_or_to_none(tmp_path: Path):
    assert [s.weight for s in recipe(tmp_path, 0.5, 2).plain] == [0.5, 2]
    with pytest.raises(RecipeError, match="to all sources"):
        recipe(tmp_path, 0.5, 0)


def test_made_examples_repeats_and_questions_belong_to_their_document(tmp_path: Path):
    write(tmp_path / "0.jsonl", [{"text": "\n\n".join(prose(i, 90) for i in range(4))}])
    asked = {"context": prose(9), "question": "Who dug it?", "answers": ["The people."]}
    write(tmp_path / "1.jsonl", [asked, {**asked, "question": "When?"}, {"text": prose(5)}])
    texts = list(plain_texts(recipe(tmp_path, 1, 1), tmp_path))
    kinds = {(t.source, t.document) for t in texts}
    assert kinds == {(0, 0), (1, 1), (1, 2)}
    assert sum(t.document == 1 for t in texts) == 4


def test_packed_tokens_know_their_documents_and_sources(tokenizer_file: Path, tmp_path: Path):
    texts = [Text(i % 2, i // 3, prose(i, 10 + i)) for i in range(12)]
    tokenizer, out = Tokenizer(tokenizer_file), tmp_path / "tokens.bin"
    for weights in ((), (0.2, 0.8)):
        count = pack(texts, tokenizer_file, out, seed=1, weights=weights, workers=1)
        tokens = np.fromfile(out, np.uint16)
        documents = read_documents(tmp_path / DOCUMENTS)
        assert len(tokens) == count and (tokens[documents[1:, 0] - 1] == EOS).all()
        ends = [*documents[1:, 0], count]
        found = [
            (number, tokenizer.decode(tokens[start : end - 1].tolist()))
            for (start, number), end in zip(documents.tolist(), ends, strict=True)
        ]
        assert sorted(found) == sorted((t.document, t.text) for t in texts)
        mixture = read_mixture(tmp_path / MIXTURE, count)
        if weights:
            border = mixture.spans[0].end
            of = {t.text: t.source for t in texts}
            sides = [int(start >= border) for start in documents[:, 0]]
            assert sides == [of[text] for _, text in found]
            assert [s.weight for s in mixture.spans] == [0.2, 0.8]
        else:
            assert mixture == Mixture.whole(count)
