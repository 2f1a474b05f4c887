"""Weights directories: what is written comes back, and what is damaged is refused by name."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from engine.checkpoint import (
    CheckpointError,
    check_shapes,
    load_weights,
    read_card,
    read_weights,
    save_arrays,
    save_weights,
    shapes_of,
)
from engine.presets import preset
from engine.quantised import BITS, blocks_of, floats_of, is_matrix
from tests.toys import random_arrays

TINY = preset("tiny")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return random_arrays(TINY)


@pytest.fixture(scope="module")
def shapes() -> dict[str, jax.ShapeDtypeStruct]:
    return shapes_of(TINY)


@pytest.fixture
def directory(tmp_path: Path, arrays) -> Path:
    """A whole weights directory."""
    (tmp_path / "given.model").write_bytes(b"a tokenizer")
    save_weights(tmp_path / "w", "tiny", arrays, tmp_path / "given.model", {"note": "A toy."})
    return tmp_path / "w"


def with_card(directory: Path, **fields: object) -> None:
    path = directory / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_weights_come_back_rounded_to_bfloat16(directory: Path, arrays):
    _, loaded = load_weights(directory)
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == jnp.float32
        np.testing.assert_array_equal(loaded[name], jnp.asarray(array, jnp.bfloat16), name)


def test_weights_are_given_in_the_type_asked_for(directory: Path):
    _, loaded = load_weights(directory, jnp.bfloat16)
    assert {a.dtype for a in loaded.values()} == {jnp.dtype(jnp.bfloat16)}


def test_saving_what_was_loaded_writes_the_same_file(directory: Path, tmp_path: Path):
    card, loaded = load_weights(directory)
    save_weights(tmp_path / "again", "tiny", loaded, tmp_path / "given.model", {})
    assert read_card(tmp_path / "again")["sha256"] == card["sha256"]


def test_the_card_describes_the_weights(directory: Path, arrays):
    card = read_card(directory)
    assert (card["preset"], card["note"]) == ("tiny", "A toy.")
    assert card["parameters"] == sum(a.size for a in arrays.values())
    assert (directory / "tokenizer.model").read_bytes() == b"a tokenizer"


def test_what_is_measured_wins_over_an_old_card(directory: Path, tmp_path: Path, arrays):
    new = {name: array + 1 for name, array in arrays.items()}
    save_weights(tmp_path / "w", "tiny", new, tmp_path / "given.model", read_card(directory))
    assert load_weights(directory)[0]["note"] == "A toy."


def test_writing_leaves_no_temporary_file(directory: Path):
    names = {path.name for path in directory.iterdir()}
    assert names == {"weights.safetensors", "tokenizer.model", "card.json"}


@pytest.mark.parametrize("place", (0, 0.001, 0.5, -1))
def test_one_flipped_byte_is_refused(directory: Path, place: float):
    path = directory / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[place if place == -1 else int(place * len(data))] ^= 1  # type: ignore
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged or was replaced") as caught:
        load_weights(directory)
    assert str(path) in str(caught.value)


def test_weights_cut_short_are_refused(directory: Path):
    path = directory / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is damaged or was replaced"):
        load_weights(directory)


def test_a_file_that_is_not_safetensors_is_refused_even_with_its_own_hash(directory: Path):
    path = directory / "weights.safetensors"
    path.write_bytes(b"")
    with_card(directory, sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_weights(directory)


def test_weights_of_another_preset_are_refused(directory: Path):
    with_card(directory, preset="retro-mini")
    with pytest.raises(CheckpointError, match=r"does not fit the preset: .+ has shape .+ more"):
        load_weights(directory)


@pytest.mark.parametrize("name", ("weights.safetensors", "tokenizer.model", "card.json"))
def test_a_missing_file_is_named(directory: Path, name: str):
    (directory / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: No such file or directory"):
        load_weights(directory)


@pytest.mark.parametrize("text", (b"", b"{", b"[]", b"3", b'{"preset": "tiny"}', b"\xff\xfe{}"))
def test_a_damaged_card_is_named(directory: Path, text: bytes):
    (directory / "card.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=r"the model card .+card\.json is damaged"):
        load_weights(directory)


def test_a_card_with_an_unknown_preset_is_named(directory: Path):
    with_card(directory, preset="retro-9b")
    with pytest.raises(CheckpointError, match=r"card\.json.+'retro-9b'"):
        load_weights(directory)


def test_a_tokenizer_that_is_not_the_cards_is_refused(directory: Path):
    (directory / "tokenizer.model").write_bytes(b"another tokenizer")
    with pytest.raises(CheckpointError, match=r"tokenizer\.model is damaged or was replaced"):
        load_weights(directory)


def test_arrays_of_an_unexpected_type_are_refused(directory: Path):
    path = directory / "weights.safetensors"
    digest = save_arrays(path, {"decoder.norm.scale": np.zeros(32, np.int8)}, {})
    with_card(directory, sha256=digest)
    with pytest.raises(CheckpointError, match=r"arrays of type 'I8', expected BF16, F32"):
        load_weights(directory)


def test_an_array_is_written_as_it_reads_whatever_its_order_in_memory(tmp_path: Path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    save_arrays(tmp_path / "a", {"turned": array, "scalar": np.float32(3)}, {})
    stored = load_file(tmp_path / "a")
    np.testing.assert_array_equal(stored["turned"], array)
    assert stored["scalar"].shape == ()


def broken(arrays: dict, change: str) -> dict:
    match change:
        case "missing":
            return {k: a for k, a in arrays.items() if k != "decoder.norm.scale"}
        case "unknown":
            return arrays | {"decoder.norm.bias": np.zeros(32)}
    return arrays | {"decoder.norm.scale": np.zeros((32, 1))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"decoder\.norm\.scale is missing"),
        ("unknown", r"decoder\.norm\.bias is unknown"),
        ("mis-shaped", r"decoder\.norm\.scale has shape \(32, 1\), expected \(32,\)"),
    ],
)
def test_an_array_that_does_not_fit_is_named(arrays, shapes, change: str, message: str):
    with pytest.raises(CheckpointError, match=rf"here does not fit the preset: {message}$"):
        check_shapes(broken(arrays, change), shapes, "here")


def test_a_long_list_of_misfits_is_cut(shapes):
    with pytest.raises(CheckpointError, match=r"is missing and \d+ more$"):
        check_shapes({}, shapes, "here")


@pytest.mark.parametrize("numbers", ["int8", "int4"])
def test_quantised_weights_come_back_as_they_were_quantised(
    directory: Path, arrays, numbers: str, tmp_path: Path
):
    card = read_card(directory) | {"numbers": numbers}
    save_weights(tmp_path / "q", "tiny", arrays, tmp_path / "given.model", card)
    written, found = read_weights(tmp_path / "q")
    assert written["parameters"] == read_card(directory)["parameters"]
    for name, array in arrays.items():
        expected = blocks_of(name, array, BITS[numbers]) if is_matrix(name) else array
        np.testing.assert_array_equal(floats_of(name, found[name]), floats_of(name, expected), name)
    assert load_weights(tmp_path / "q")[1].keys() == arrays.keys()


def test_a_quantised_matrix_without_its_scales_is_refused_by_name(
    directory: Path, arrays, tmp_path: Path
):
    numbers = {"numbers": "int8"}
    save_weights(tmp_path / "q", "tiny", arrays, tmp_path / "given.model", numbers)
    held = load_file(tmp_path / "q" / "weights.safetensors")
    lost = held.pop("cross.0.attention.q.kernel.scales")
    held["cross.0.attention.q.kernel.stray"] = lost
    digest = save_arrays(tmp_path / "q" / "weights.safetensors", held, {})
    with_card(tmp_path / "q", sha256=digest)
    with pytest.raises(CheckpointError, match=r"q\.kernel is missing.*q\.kernel\.stray is unknown"):
        read_weights(tmp_path / "q")
