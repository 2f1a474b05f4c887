"""Held-out text, cut into the chunks that it is evaluated in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.training.corpus import read_records, text_of
from retrieval.protocol import EncodeOffsets


class NothingToMeasure(ValueError):
    """A file without anything that the evaluation can use."""


@dataclass(frozen=True)
class Piece:
    """A chunk of a text: the tokens of `text`, which has so many bytes in UTF-8."""

    text: str
    tokens: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Held:
    """The beginning of a document, or all of it."""

    pieces: tuple[Piece, ...]

    @property
    def words(self) -> int:
        """Runs of characters between white space, and one more for each end of a line: the tokens
        of WikiText as its authors count them (Merity et al., arXiv 1609.07843)."""
        text = "".join(piece.text for piece in self.pieces)
        return len(text.split()) + text.count("\n")


def cut(text: str, encode_offsets: EncodeOffsets, chunk: int, most: int) -> Held:
    """The first `most` chunks of a text, tile by tile: where all of the text fits, the bytes of
    the pieces are those of the text. A chunk that ends inside a character has not its bytes; the
    next one has."""
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair has no bytes
    pieces: list[Piece] = []
    found = encode_offsets(text)
    start = 0
    for first in range(0, min(len(found), most * chunk), chunk):
        tokens = found[first : first + chunk]
        end = tokens[-1][2] if first + chunk < len(found) else len(text)
        part = text[start:end]
        pieces.append(Piece(part, tuple(id for id, _, _ in tokens), len(part.encode())))
        start = end
    return Held(tuple(pieces))


def read_texts(path: Path, *, titles: bool = True) -> list[str]:
    """The texts of a jsonl(.xz) file of documents, or of any other file as one text in UTF-8.

    Raises NothingToMeasure or CorpusError, naming the file.
    """
    if ".jsonl" in path.suffixes:
        records = list(read_records(path))
        for number, record in enumerate(records, 1):
            if not isinstance(record, dict) or not isinstance(record.get("text"), str):
                raise NothingToMeasure(
                    f'{path}: record {number} has no "text"; give documents, one a line: '
                    '{"title": ..., "text": ...}'
                )
        texts = [text_of(record) if titles else record["text"] for record in records]
    else:
        try:
            texts = [path.read_text(encoding="utf-8")]
        except OSError as error:
            raise NothingToMeasure(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise NothingToMeasure(
                f"{path} is not text in UTF-8: byte {error.start} is {error.object[error.start]:#x}"
            ) from None
    return some([text for text in texts if text.strip()], path)


def some(texts: Sequence[str], path: Path) -> list[str]:
    if not texts:
        raise NothingToMeasure(f"{path} holds no text to measure")
    return list(texts)
