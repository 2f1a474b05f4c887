"""Every string and every byte string comes back from its tokens."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.presets import preset
from engine.tokenizer import BOS, EOS, PAD, UNKNOWN, ByteStream, Tokenizer, TokenizerError, train

# What the library keeps for itself, what it might strip or merge, and what is no character at all.
AWKWARD = (
    "\u2581", " \u2581 ", "\x00", "a\x00b", "\ufffd", "\ufeff", "\uffff", "\ud800", "\udfff\ud800",
    "  two  spaces  ", "\t\r\n\n", "\u00a0\u2003", "e\u0301", "\u00e9", "ﬁ", "👩\u200d🚀",
    "🏴", "漢字", "<s>", "</s>", "<pad>", "<unk>", "<0x41>", "1234567890", "",
)  # fmt: skip
AWKWARD_BYTES = (
    b"\xff",
    b"\x80abc",
    b"\xc3",
    b"\xe2\x96",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x91",
    b"\x00",
)

WORDS = ["one two three four five six seven"] * 9

text = st.one_of(
    st.text(st.characters(codec=None, categories=None)),  # lone surrogates too
    st.text(st.sampled_from(list(" aeioubreadwatr.,\n\u2581"))),  # many pieces of several letters
    st.lists(st.sampled_from(AWKWARD)).map("".join),
)
data = st.one_of(st.binary(), st.lists(st.sampled_from(AWKWARD_BYTES)).map(b"".join))


def raw(string: str) -> bytes:
    """UTF-8, but for U+DC80 to U+DCFF, Python's escapes of bytes that were not: those bytes."""
    return b"".join(
        bytes([ord(c) - 0xDC00])
        if "\udc80" <= c <= "\udcff"
        else c.encode("utf-8", "surrogatepass")
        for c in string
    )


@given(string=text)
def test_every_string_comes_back(tokenizer: Tokenizer, string: str):
    assert tokenizer.decode_bytes(tokenizer.encode(string)) == raw(string)


@pytest.mark.parametrize("string", AWKWARD, ids=ascii)
def test_an_awkward_string_comes_back(tokenizer: Tokenizer, string: str):
    assert tokenizer.decode_bytes(tokenizer.encode(string)) == raw(string)


@given(string=data)
@example(bytes(range(256)))
def test_every_byte_string_comes_back(tokenizer: Tokenizer, string: bytes):
    assert tokenizer.decode_bytes(tokenizer.encode(string)) == string


@given(string=st.text())
def test_text_and_its_bytes_have_the_same_tokens(tokenizer: Tokenizer, string: str):
    assert tokenizer.encode(string) == tokenizer.encode(string.encode())


@given(string=text)
def test_text_is_never_a_control_token(tokenizer: Tokenizer, string: str):
    assert not {PAD, UNKNOWN, BOS, EOS} & set(tokenizer.encode(string))


@given(string=text)
def test_offsets_tile_the_text(tokenizer: Tokenizer, string: str):
    offsets = tokenizer.encode_offsets(string)
    assert [piece for piece, _, _ in offsets] == tokenizer.encode(string)
    end = 0
    for piece, start, stop in offsets:
        assert start == end
        end = stop
        if start < stop and "\ufffd" not in (whole := tokenizer.decode([piece])):
            assert string[start:stop] == whole
    assert end == len(string)


@given(string=data)
@example("👩\u200d🚀".encode())
def test_a_stream_gives_the_same_text_as_decoding_at_once(tokenizer: Tokenizer, string: bytes):
    ids, stream = tokenizer.encode(string), ByteStream(tokenizer)
    assert "".join(map(stream.feed, ids)) + stream.close() == tokenizer.decode(ids)


@given(ids=st.lists(st.integers(0, 399), max_size=30))
def test_a_stream_of_any_tokens_gives_the_same_text(tokenizer: Tokenizer, ids: list[int]):
    stream = ByteStream(tokenizer)
    assert "".join(map(stream.feed, ids)) + stream.close() == tokenizer.decode(ids)


def test_a_stream_holds_back_an_unfinished_character(tokenizer: Tokenizer):
    stream = ByteStream(tokenizer)
    assert [stream.feed(i) for i in tokenizer.encode("🚀")] == ["", "", "", "🚀"]


def test_control_tokens_are_silent(tokenizer: Tokenizer):
    assert tokenizer.decode([PAD, UNKNOWN, BOS, EOS]) == ""


def test_words_it_was_trained_on_take_fewer_tokens_than_bytes(tokenizer: Tokenizer):
    sentence = "The harbour was dug in 1411, and the town grew around it."
    assert len(tokenizer.encode(sentence)) < 0.6 * len(sentence)


def test_every_digit_is_a_token(tokenizer: Tokenizer):
    assert [tokenizer.decode([i]) for i in tokenizer.encode("1411")] == list("1411")


def test_it_has_the_size_it_was_trained_for(tokenizer: Tokenizer):
    assert tokenizer.size == 400
    assert len(tokenizer.fingerprint) == 64


def test_training_leaves_only_the_model(tmp_path: Path):
    path = train(WORDS, tmp_path / "deep" / "toy", 280)
    assert [p.name for p in path.parent.iterdir()] == ["toy.model"]
    assert Tokenizer(path).size == 280


def test_training_twice_gives_the_same_tokenizer(tmp_path: Path):
    one, two = (train(WORDS, tmp_path / n, 280) for n in ("a", "b"))
    # the file also holds its own name
    assert Tokenizer(one).encode("one fourteen") == Tokenizer(two).encode("one fourteen")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(TokenizerError, match=r"cannot read .+none\.model: No such file"):
        Tokenizer(tmp_path / "none.model")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    prefix = tmp_path_factory.mktemp("model") / "toy"
    return train(WORDS, prefix, 280).read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda model: b"",
        lambda model: model[: len(model) // 2],
        lambda model: b"not a model",
        lambda model: model[::-1],
        lambda model: model.replace(b"\xe2\x96\x81", b"\xe2\x16\x81", 1),
        lambda model: model.replace(b"<0x41>", b"<0x\xb41>", 1),
    ],
    ids=("empty", "cut short", "another file", "scrambled", "a piece", "a byte piece"),
)
def test_a_corrupt_file_is_named(tmp_path: Path, model: bytes, damage):
    path = tmp_path / "bad.model"
    path.write_bytes(damage(model))
    assert path.read_bytes() != model
    with pytest.raises(TokenizerError, match=r"bad\.model is not a SentencePiece model"):
        Tokenizer(path)


@pytest.mark.parametrize("piece", (b"<pad>", b"</s>", b"<0x41>"))
def test_a_model_without_the_pieces_it_needs_is_refused(tmp_path: Path, model: bytes, piece: bytes):
    assert piece in model
    path = tmp_path / "bad.model"
    path.write_bytes(model.replace(piece, piece.replace(b"<", b"["), 1))
    with pytest.raises(TokenizerError, match=r"bad\.model"):
        Tokenizer(path)


def test_the_tokenizer_of_the_gopher_presets_has_32000_pieces_and_loses_nothing():
    path = Path(__file__).parents[1] / "engine/weights/gopher-32k.model"
    shipped = Tokenizer(path)
    assert shipped.size == preset("gopher-44m").vocab == 32_000
    everything = bytes(range(256)) * 2 + "naïve 🌊 水 \u2581 1411\n\n".encode()
    assert shipped.decode_bytes(shipped.encode(everything)) == everything
    assert len(shipped.encode("The harbour was dug in the year of the flood.")) < 15
