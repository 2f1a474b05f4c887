"""retrieval.chunks: chunks tile the text and never cut a character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import chunks
from retrieval.chunks import split
from retrieval.protocol import CHUNK, Document
from tests.bag import word_offsets

TEXTS = st.text(st.sampled_from("ab .\n<é漢😀👩🏽‍🚀"), min_size=1, max_size=400)


def byte_offsets(text: str) -> list[tuple[int, int, int]]:
    """One token a byte, so that a chunk's tokens can be decoded."""
    tokens = []
    for i, character in enumerate(text):
        *parts, last = character.encode()
        tokens += [(part, i, i) for part in parts] + [(last, i, i + 1)]
    return tokens


def of(text: str) -> Document:
    return Document("title", "source", text)


@given(TEXTS)
def test_chunks_tile_the_text(text):
    parts = split(of(text), word_offsets)
    assert "".join(part.text for part in parts) == text
    for i, part in enumerate(parts):
        assert part.position == i
        assert part.text == text[part.start : part.end]
        assert part.start == (parts[i - 1].end if i else 0)


@given(TEXTS)
def test_the_tokens_of_a_chunk_are_whole_characters(text):
    for part in split(of(text), byte_offsets):
        assert bytes(part.tokens).decode() == part.text


@given(TEXTS)
def test_chunks_hold_all_tokens_in_order_and_are_full_but_for_a_cut_character(text):
    parts = split(of(text), byte_offsets)
    assert [id for part in parts for id in part.tokens] == [id for id, _, _ in byte_offsets(text)]
    assert all(len(part.tokens) <= CHUNK for part in parts)
    assert all(len(part.tokens) >= CHUNK - 3 for part in parts[:-1])


def test_plain_words_make_chunks_of_exactly_64_tokens():
    parts = split(of("word" + " word" * 129), word_offsets)
    assert [len(part.tokens) for part in parts] == [64, 64, 2]


def test_characters_without_a_token_go_with_the_chunk_that_follows_or_ends():
    def visible(text):
        return [token for token in word_offsets(text) if text[token[1] : token[2]].strip()]

    text = "\n\n" + "word " * 70 + "\n\n"
    assert "".join(part.text for part in split(of(text), visible)) == text


def test_a_long_text_is_tokenised_in_pieces_with_the_same_result(monkeypatch):
    text = "The quick brown fox\njumps over 😀 the lazy dog. " * 40
    whole = split(of(text), word_offsets)
    seen = []

    def spy(piece):
        seen.append(len(piece))
        return word_offsets(piece)

    monkeypatch.setattr(chunks, "PIECE", 100)
    assert split(of(text), spy) == whole
    assert max(seen) <= 100


def test_a_long_text_without_spaces_is_cut_all_the_same(monkeypatch):
    monkeypatch.setattr(chunks, "PIECE", 50)
    parts = split(of("漢" * 333), byte_offsets)
    assert "".join(part.text for part in parts) == "漢" * 333


def test_a_text_without_tokens_has_no_chunks():
    assert split(of(""), word_offsets) == []


@pytest.mark.parametrize("tokens", [[(1, 0, 2), (2, 1, 3)], [(1, 0, 9)], [(1, 2, 1)]])
def test_offsets_that_do_not_ascend_within_the_text_are_refused(tokens):
    with pytest.raises(ValueError, match="offsets must ascend"):
        split(of("abc"), lambda text: tokens)
