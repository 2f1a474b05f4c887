"""Documents -> chunks of 64 tokens that tile the text."""

from collections.abc import Iterator
from dataclasses import replace

from retrieval.protocol import CHUNK, Chunk, Document, EncodeOffsets

# A long text is tokenised in pieces, cut where tokens end anyway, to bound the memory it takes.
PIECE = 200_000  # code points


def split(document: Document, encode_offsets: EncodeOffsets) -> list[Chunk]:
    """Chunks in order: `CHUNK` tokens each, the last may be shorter.

    Every chunk's text is `document.text[start:end]` and together they are the text, also where
    no token covers a character. A chunk that would end inside a character ends before it and is
    up to three tokens shorter. Raises ValueError if the offsets do not ascend within the text.
    """
    text = document.text
    chunks: list[Chunk] = []
    window: list[tuple[int, int, int]] = []  # tokens not in a chunk yet
    start = 0
    for token in tokens(text, encode_offsets):
        window.append(token)
        if len(window) == CHUNK:
            n = whole(window)
            chunks.append(chunk(text, len(chunks), start, window[:n]))
            start, window = chunks[-1].end, window[n:]
    if window:
        chunks.append(chunk(text, len(chunks), start, window))
    if chunks and chunks[-1].end < len(text):  # characters behind the last token
        start = chunks[-1].start
        chunks[-1] = replace(chunks[-1], end=len(text), text=text[start:])
    return chunks


def tokens(text: str, encode_offsets: EncodeOffsets) -> Iterator[tuple[int, int, int]]:
    at = 0  # the end of the token before
    for offset, piece in pieces(text):
        for id, start, end in encode_offsets(piece):
            start, end = start + offset, end + offset
            if not at <= start <= end <= offset + len(piece):
                raise ValueError(
                    f"token {id} spans {start} to {end} after {at} in a text of {len(text)} "
                    "characters; offsets must ascend and stay within the text"
                )
            at = end
            yield id, start, end


def pieces(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    while len(text) - start > PIECE:
        limit = start + PIECE
        end = max(text.rfind("\n", start, limit) + 1, text.rfind(" ", start, limit))
        end = end if end > start else limit
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def whole(window: list[tuple[int, int, int]]) -> int:
    """How many tokens of a full window end between two characters."""
    for n in range(len(window), 0, -1):
        _, start, end = window[n - 1]
        if start < end:
            return n
    return len(window)


def chunk(text: str, position: int, start: int, window: list[tuple[int, int, int]]) -> Chunk:
    end = window[-1][2]
    return Chunk(position, start, end, text[start:end], tuple(id for id, _, _ in window))
