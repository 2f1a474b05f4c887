"""app.evaluation: held-out text cut, read in sequences, and counted."""

import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.evaluation.curves import (
    bits,
    by_overlap,
    summarise_text,
    summarise_wikitext,
    up_to,
)
from app.evaluation.held import Held, NothingToMeasure, Piece, cut, read_texts
from app.evaluation.reading import Reading, read, sequences
from app.evaluation.shown import OFF, RANDOM, Shown
from app.evaluation.usage import usage
from engine.attribution import ChunkEffect, NeighbourEffect
from engine.protocol import ChunkScores, Info, Score, Scoring
from retrieval.protocol import Neighbour
from tests.bag import word_offsets

# ----- cutting


@settings(max_examples=40)
@given(st.text(st.sampled_from("ab é🌊\n"), max_size=60), st.integers(1, 7), st.integers(1, 9))
def test_pieces_tile_the_text_and_hold_its_bytes(text, chunk, most):
    pieces = cut(text, word_offsets, chunk, most).pieces
    assert len(pieces) <= most
    assert all(0 < len(piece.tokens) <= chunk for piece in pieces)
    assert all(piece.bytes == len(piece.text.encode()) for piece in pieces)
    said = "".join(piece.text for piece in pieces)
    assert text.startswith(said)
    if len(word_offsets(text)) <= most * chunk:
        assert said == text
        assert [t for p in pieces for t in p.tokens] == [t for t, _, _ in word_offsets(text)]


def test_words_are_counted_as_wikitext_counts_them():
    held = cut(" = Robert <unk> = \n \n He had a role .\n", word_offsets, 4, 99)
    assert held.words == 4 + 5 + 3  # and an end for each line


def test_half_a_surrogate_pair_is_read_as_something_else():
    assert cut("a \ud800 b", word_offsets, 4, 9).pieces[0].text == "a ? b"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "holds no text"),
        ("a.jsonl", b'{"text": " "}\n', "holds no text"),
        ("a.jsonl", b'{"title": "a"}\n', 'record 1 has no "text"'),
        ("a.jsonl", b'{"text": "a"}\n[]\n', 'record 2 has no "text"'),
        ("a.jsonl", b"\xff\xfe", "cannot read"),
        ("a.txt", b"ab\xff", "byte 2 is 0xff"),
        ("a.txt", b"\n", "holds no text"),
        ("a.txt", None, "cannot read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        read_texts(tmp_path / name)
    assert message in str(caught.value)
    assert isinstance(caught.value, NothingToMeasure) or "cannot read" in message


def test_documents_are_read_with_their_titles_or_without(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"title": "A", "text": "b"}\n{"text": "c"}\n')
    assert read_texts(tmp_path / "a.jsonl") == ["A\n\nb", "c"]
    assert read_texts(tmp_path / "a.jsonl", titles=False) == ["b", "c"]


# ----- sequences


@settings(max_examples=60)
@given(st.integers(0, 60), st.integers(2, 17))
def test_every_chunk_is_predicted_once_within_the_context(count, fits):
    predicted: list[int] = []
    for number, (start, first, last) in enumerate(sequences(count, fits)):
        assert 0 <= start <= first < last <= count
        held = last - start + (number == 0)  # the first has the end of text before it
        assert held <= fits
        assert number == 0 or start < first
        predicted += range(first, last)
    assert predicted == list(range(count))


@dataclass
class Recorder:
    """An engine for which a token takes as many nats as passages are shown, and one more."""

    info: Info = field(default_factory=lambda: Info("tiny", 1, "f", "t", 32, ""))
    seen: list[Scoring] = field(default_factory=list)

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        self.seen.append(scoring)
        sizes = [min(8, len(scoring.tokens) - 8 * j) for j in range(len(scoring.shown))]

        def of(size: int, passages) -> Score:
            return Score((-1.0 - len(passages),) * size, (0.5,) * len(passages))

        return tuple(
            ChunkScores(of(size, shown), tuple(of(size, t) for t in trials))
            for size, shown, trials in zip(
                sizes, scoring.shown, scoring.trials or ((),) * len(sizes), strict=True
            )
        )


def passage(number: int) -> Neighbour:
    return Neighbour(number, number, "", "", 0, 0, 1, "x", "", (number,), ())


def held_of(chunks: int, chunk: int = 8) -> Held:
    """Tokens 10, 11, ...; the last chunk has one alone."""
    pieces = [
        Piece("x", tuple(range(10 + chunk * j, 10 + chunk * (j + 1))), 10)
        for j in range(chunks - 1)
    ]
    return Held((*pieces, Piece("x", (10 + chunk * (chunks - 1),), 10)))


def test_what_was_shown_before_a_sequence_is_shown_again_in_its_prompt():
    way = ((), *((passage(j),) for j in range(1, 8)))
    engine = Recorder()
    read(engine, held_of(8), Shown({"k=1": way}, (0.0,) * 8, ()), 8)  # type: ignore
    first, *others = engine.seen
    assert [s.tokens for s in first.prompt] == [(3,)]
    assert first.shown == way[:3] and first.tokens == tuple(range(10, 34))
    for scoring, (start, at, last) in zip(others, list(sequences(8, 4))[1:], strict=True):
        assert scoring.shown == way[at:last]
        head, rest = scoring.prompt
        assert head.tokens == tuple(range(10 + 8 * start, 18 + 8 * start))
        assert (rest.tokens or ())[:1] == (18 + 8 * start,) * (at > start + 1)
        assert rest.shown == way[start + 1 : at]


def test_nats_are_summed_a_chunk_and_effects_are_those_of_what_was_shown():
    both = (passage(1), passage(2))
    shown = Shown(
        {OFF: ((),) * 3, "k=2": ((), both, both[:1])}, (0.0, 0.5, 1.0), (passage(8), passage(9))
    )
    reading = read(Recorder(), held_of(3), shown, 8, measured="k=2")  # type: ignore
    assert reading.nats == {OFF: (8, 8, 1), "k=2": (8, 24, 2)}
    assert reading.tokens == (8, 8, 1) and reading.bytes == (10, 10, 10)
    first, second = reading.effects  # the first chunk had none
    assert [n.shapley for n in first.neighbours] == [-8, -8] and first.controls == (-8, -8)
    assert [n.shapley for n in second.neighbours] == [-1]


# ----- curves


def reading_of(*chunks: tuple[float, float, float]) -> Reading:
    """From (overlap, nats with retrieval off, nats with it on); 4 bytes and 2 tokens a chunk."""
    ways = {OFF: 1, RANDOM: 1, "k=1": 2, "size=5": 2}
    return Reading(
        3 * len(chunks), (4,) * len(chunks), (2,) * len(chunks), tuple(c[0] for c in chunks),
        {way: tuple(c[i] for c in chunks) for way, i in ways.items()},
    )  # fmt: skip


shares = st.integers(0, 64).map(lambda n: n / 64)
readings = st.lists(
    st.lists(st.tuples(shares, st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=5).map(
        lambda chunks: reading_of(*chunks)
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=20)
@given(readings)
def test_buckets_share_out_all_chunks_and_their_bits(found):
    rows = by_overlap(found, "k=1", 0)
    total = sum(len(r.bytes) for r in found)
    assert sum(row["chunks"] for row in rows) == total
    mean = sum(row["chunks"] * row["on"]["value"] for row in rows if row["chunks"]) / total
    whole = bits(found, "k=1", 0)
    assert whole is not None and mean == pytest.approx(whole.value, rel=1e-3, abs=1e-6)
    last = up_to(found, "k=1", 0)[-1]
    assert last["chunks"] == total
    assert last["on"]["value"] == pytest.approx(whole.value, rel=1e-4, abs=1e-9)
    counted = [row["chunks"] for row in up_to(found, "k=1", 0)]
    assert counted == sorted(counted)


def test_bits_per_byte_of_known_readings():
    found = [reading_of((0.0, 4.0, 2.0), (1.0, 4.0, 0.0)), reading_of((0.1, 4.0, 4.0))]
    row = summarise_text(found, 1, (5,), 0)
    off, on, _ = row["ways"]
    assert off["bits_per_byte"]["value"] == pytest.approx(1 / math.log(2), rel=1e-4)
    assert on["way"] == "on"
    assert on["bits_per_byte"]["value"] == pytest.approx(0.5 / math.log(2), rel=1e-4)
    assert on["more_than_off"]["value"] == pytest.approx(-0.5 / math.log(2), rel=1e-4)
    assert (row["documents"], row["chunks"], row["tokens"], row["bytes"]) == (2, 3, 6, 12)
    assert [r["passages"] for r in row["database"]] == [0, 5]
    assert [r["k"] for r in row["neighbours"]] == [0, 1]
    used = {r["overlap"]: r["on_more_than_off"] for r in row["buckets"] if r["chunks"]}
    assert used["over 0.75 to 1"]["value"] == pytest.approx(-1 / math.log(2), rel=1e-4)


def test_the_perplexity_of_a_word_is_normalised_by_words_not_tokens():
    found = [reading_of((0.0, 6.0, 3.0), (0.0, 6.0, 3.0))] * 2  # 24 and 12 nats over 12 words
    off, on, _ = summarise_wikitext(found, 1, 0)["ways"]
    assert off["word_perplexity"]["value"] == pytest.approx(math.exp(2), rel=1e-4)
    assert on["word_perplexity"]["value"] == pytest.approx(math.exp(1), rel=1e-4)


def test_a_perplexity_beyond_all_numbers_is_told_as_a_number():
    found = [replace(reading_of((0.0, 1e9, 1e9)), words=1)] * 2
    assert summarise_wikitext(found, 1, 0)["ways"][0]["word_perplexity"]["value"] < float("inf")


# ----- use


def effects_of(gains: list[float], controls: list[float]) -> list[ChunkEffect]:
    shown = tuple(NeighbourEffect(gain, gain, 0.5) for gain in gains)
    return [ChunkEffect((-1.0,), (-2.0,), shown, tuple(controls))]


def test_passages_that_help_more_than_random_ones_are_used():
    documents = [effects_of([9.0, -1.0], [0.01 * i for i in range(60)]) for _ in range(8)]
    found = usage(documents, 0)
    assert found["used"]["value"] == 0.5
    assert found["random_used"]["value"] == pytest.approx(0.05, abs=0.02)
    assert found["beyond_random"]["value"] == pytest.approx(0.45, abs=0.02)
    assert (found["shown_passages"], found["random_passages"]) == (16, 480)


def test_passages_that_are_like_random_ones_are_not_used_beyond_them():
    gains = [0.01 * i for i in range(60)]
    found = usage([effects_of(gains, gains) for _ in range(8)], 0)
    assert found["beyond_random"]["value"] == pytest.approx(0, abs=1e-9)


def test_too_few_random_passages_are_said():
    found = usage([effects_of([1.0], [0.0] * 4)] * 2, 0)
    assert found["used"] is None and "100 random passages" in found["why"]
