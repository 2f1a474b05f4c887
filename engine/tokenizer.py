"""The language model's tokenizer: SentencePiece with byte fallback (Gopher, section 3.1).

Every string round-trips, and every byte string too: what is not valid UTF-8, and the few
characters that SentencePiece uses itself, are encoded as byte pieces.
"""

import codecs
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import sentencepiece

PAD, UNKNOWN, BOS, EOS = 0, 1, 2, 3

# SentencePiece writes a space as U+2581, so a real U+2581 would come back as a space.
_RESERVED = re.compile("(\u2581+|[\ud800-\udfff]+)")


class TokenizerError(ValueError):
    """A tokenizer file that cannot be used; the message says why."""


class Tokenizer:
    """A trained SentencePiece model. `data` is its file, `fingerprint` the SHA-256 of that."""

    def __init__(self, path: Path):
        try:
            data = path.read_bytes()
            self._pieces = sentencepiece.SentencePieceProcessor()
            self._pieces.load_from_serialized_proto(data)
            self.size = self._pieces.get_piece_size()
            self._bytes = [self._bytes_of(i) for i in range(self.size)]
        except OSError as error:
            raise TokenizerError(f"cannot read the tokenizer {path}: {error.strerror}") from None
        except (RuntimeError, UnicodeDecodeError):  # the second where a piece is no text
            raise TokenizerError(f"{path} is not a SentencePiece model") from None
        self.data, self.fingerprint = data, hashlib.sha256(data).hexdigest()
        fallback = [self._pieces.piece_to_id(f"<0x{b:02X}>") for b in range(256)]
        special = [self._pieces.piece_to_id(p) for p in ("<pad>", "<unk>", "<s>", "</s>")]
        if UNKNOWN in fallback or special != [PAD, UNKNOWN, BOS, EOS]:
            raise TokenizerError(
                f"{path} lacks byte fallback or the special pieces pad 0, unk 1, bos 2, eos 3; "
                "train one with: python app.py train tokenizer"
            )
        self._fallback = fallback

    def _bytes_of(self, piece: int) -> bytes:
        if self._pieces.is_control(piece) or self._pieces.is_unknown(piece):
            return b""
        text = self._pieces.id_to_piece(piece)
        if self._pieces.is_byte(piece):
            return bytes([int(text[3:5], 16)])
        return text.replace("\u2581", " ").encode()

    def encode(self, text: str | bytes) -> list[int]:
        """Text, or any byte string, -> token ids, without bos or eos."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")
        ids: list[int] = []
        for part in _RESERVED.split(text):
            if not part:
                continue
            if _RESERVED.fullmatch(part):
                raw = b"".join(_raw_bytes(character) for character in part)
                ids.extend(self._fallback[b] for b in raw)
            else:
                ids.extend(self._pieces.encode(part))
        return ids

    def encode_offsets(self, text: str) -> list[tuple[int, int, int]]:
        """Text -> (id, start, end) in code points; a part of a character has start == end."""
        widths = [len(_raw_bytes(c)) for c in text]
        done = [0]  # done[i]: how many characters are complete after i bytes
        for count, width in enumerate(widths):
            done += [count] * (width - 1) + [count + 1]
        at, out = 0, []
        for piece in self.encode(text):
            end = at + len(self._bytes[piece])
            out.append((piece, done[at], done[end]))
            at = end
        return out

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return b"".join(self._bytes[i] for i in ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Ids -> text; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")


def _raw_bytes(character: str) -> bytes:
    """UTF-8 bytes of a character; an escaped byte is itself, a lone surrogate its three bytes."""
    if "\udc80" <= character <= "\udcff":
        return character.encode("utf-8", "surrogateescape")
    return character.encode("utf-8", "surrogatepass")


class ByteStream:
    """Decodes tokens one at a time into text, holding back the bytes of unfinished characters."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def unfinished(self) -> bool:
        """Whether bytes of a character are held back."""
        return bool(self._decoder.getstate()[0])

    def feed(self, piece: int) -> str:
        return self._decoder.decode(self._tokenizer.decode_bytes([piece]))

    def close(self) -> str:
        return self._decoder.decode(b"", final=True)


def train(sentences: Iterable[str], prefix: Path, vocab: int, threads: int = 2) -> Path:
    """Trains a tokenizer on an iterable of texts and writes `prefix`.model.

    Unigram pieces, byte fallback, digits split, nothing normalised, newlines kept.
    """
    prefix.parent.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(prefix), vocab_size=vocab,
        model_type="unigram", byte_fallback=True, character_coverage=0.9995,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=False, allow_whitespace_only_pieces=True, split_digits=True,
        pad_id=PAD, unk_id=UNKNOWN, bos_id=BOS, eos_id=EOS, pad_piece="<pad>",
        user_defined_symbols=["\n"], max_sentence_length=8192, num_threads=threads,
        minloglevel=2,
    )  # fmt: skip
    prefix.with_suffix(".vocab").unlink(missing_ok=True)
    return prefix.with_suffix(".model")
