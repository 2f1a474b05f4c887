"""Weights in pieces: what is written comes back, and what is damaged is refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from engine.card import CheckpointError, read_card
from engine.checkpoint import read_weights, save_weights
from engine.pieces import divide, join
from engine.presets import preset
from engine.quantised import floats_of
from tests.toys import random_arrays

LIMIT = 9_000  # bytes: less than the embedding table has


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return random_arrays(preset("tiny"))


def written(folder: Path, arrays: dict, limit: int | None, name: str = "w") -> Path:
    (folder / "given.model").write_bytes(b"a tokenizer")
    card = {"numbers": "int8"}
    save_weights(folder / name, "tiny", arrays, folder / "given.model", card, limit)
    return folder / name


@pytest.fixture
def directory(tmp_path: Path, arrays) -> Path:
    return written(tmp_path, arrays, LIMIT)


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("weights*"))


def with_card(directory: Path, **fields: object) -> None:
    path = directory / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_no_piece_is_larger_than_asked_and_the_card_names_all(directory: Path):
    names = files(directory)
    count = len(names)
    assert count > 3 and names == [f"weights-{i:05}-of-{count:05}.safetensors"
                                   for i in range(1, count + 1)]  # fmt: skip
    assert [piece["file"] for piece in read_card(directory)["pieces"]] == names
    assert all((directory / name).stat().st_size <= LIMIT for name in names)


def test_pieces_hold_what_one_file_holds(directory: Path, tmp_path: Path, arrays):
    _, whole = read_weights(written(tmp_path, arrays, None, "whole"))
    card, found = read_weights(directory)
    assert found.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(floats_of(name, found[name]), floats_of(name, whole[name]))
    assert card["sha256"] != read_card(tmp_path / "whole")["sha256"]


def test_what_fits_into_a_piece_stays_one_file(tmp_path: Path, arrays):
    directory = written(tmp_path, arrays, 10_000_000)
    assert files(directory) == ["weights.safetensors"] and "pieces" not in read_card(directory)


@pytest.mark.parametrize("limits", [(LIMIT, None), (None, LIMIT), (LIMIT, 2 * LIMIT)])
def test_weights_written_over_others_leave_nothing_of_them(tmp_path: Path, arrays, limits):
    written(tmp_path, arrays, limits[0])
    directory = written(tmp_path, arrays, limits[1])
    read_weights(directory)
    named = read_card(directory).get("pieces", [{"file": "weights.safetensors"}])
    assert files(directory) == [piece["file"] for piece in named]


def test_a_damaged_piece_is_named(directory: Path):
    path = directory / files(directory)[1]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=rf"{path.name} is damaged or was replaced"):
        read_weights(directory)


def test_a_missing_piece_is_named(directory: Path):
    (directory / (name := files(directory)[-1])).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: No such file"):
        read_weights(directory)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights-00009-of-00009.safetensors"])
def test_a_surplus_piece_is_named(directory: Path, name: str):
    (directory / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"{name} is none of the .* remove it"):
        read_weights(directory)


@pytest.mark.parametrize("change", ["order", "fewer", "hash", "text", "number"])
def test_a_card_whose_pieces_are_damaged_is_refused(directory: Path, change: str):
    named = read_card(directory)["pieces"]
    pieces = {
        "order": named[::-1],
        "fewer": named[:-1],
        "hash": [{**named[0], "sha256": "0" * 64}, *named[1:]],
        "text": "weights",
        "number": 3,
    }
    with_card(directory, pieces=pieces[change])
    with pytest.raises(CheckpointError, match=r"card\.json is damaged: its .pieces."):
        read_weights(directory)


def test_arrays_come_back_from_pieces_of_any_size(arrays):
    for limit in (1_000, 3_333, 20_000):
        pieces = divide(arrays, limit)
        found = join(item for piece in pieces for item in piece.items())
        assert found.keys() == arrays.keys()
        for name in arrays:
            np.testing.assert_array_equal(found[name], arrays[name])


def test_a_row_that_fits_no_piece_is_an_error_that_says_so():
    with pytest.raises(CheckpointError, match=r"wide has rows of 4,000 bytes.* give larger"):
        divide({"wide": np.zeros((3, 1000), np.float32)}, 2_000)


@pytest.mark.parametrize("lost", [0, 1, -1])
def test_rows_that_are_missing_in_the_middle_are_refused_and_at_the_end_make_another_shape(lost):
    parts = list(divide({"a": np.arange(900.0)}, 2_000))
    del parts[lost]
    items = [item for piece in parts for item in piece.items()]
    if lost == -1:
        assert len(join(items)["a"]) < 900
    else:
        with pytest.raises(CheckpointError, match="the rows of a do not follow each other"):
            join(items)


def test_an_array_that_is_there_twice_is_refused():
    with pytest.raises(CheckpointError, match="a is there twice"):
        join([("a", np.zeros(2)), ("a", np.zeros(2))])


def test_parts_whose_rows_differ_in_shape_are_refused():
    with pytest.raises(CheckpointError, match="the parts of a do not fit"):
        join([("a[0:2]", np.zeros((2, 3))), ("a[2:3]", np.zeros((1, 4)))])
