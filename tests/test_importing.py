"""Bringing weights that others made: a round trip, and what is refused by name and shape."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from engine.card import CheckpointError
from engine.checkpoint import load_weights
from engine.importing import import_weights, plain_name
from engine.presets import preset
from engine.sharded.loading import open_weights
from tests.toys import random_arrays

TINY = preset("tiny")


def config() -> dict[str, Any]:
    """As a JSON file has it: everything but the name, tuples as lists."""
    made = json.loads(json.dumps(asdict(TINY)))
    del made["name"]
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny RETRO in the plain layout, in two files."""
    plain = {}
    for name, array in random_arrays(TINY).items():
        to, turned = plain_name(name)
        plain[to] = np.ascontiguousarray(array.T if turned else array)
    names = sorted(plain)
    path = tmp_path / "plain"
    path.mkdir()
    save_file({n: plain[n] for n in names[::2]}, path / "model-1.safetensors")
    save_file({n: plain[n] for n in names[1::2]}, path / "model-2.safetensors")
    (path / "config.json").write_text(json.dumps(config()))
    return path


def change(path: Path, **arrays: np.ndarray | None) -> None:
    held: dict[str, Any] = load_file(path) | arrays
    save_file({k: v for k, v in held.items() if v is not None}, path)


def test_imported_weights_are_those_that_were_given(
    folder: Path, tokenizer_file: Path, tmp_path: Path
):
    out = tmp_path / "out"
    assert import_weights(folder, out, tokenizer_file, {"note": "Theirs."}).name == "tiny"
    card, arrays = load_weights(out)
    assert (card["note"], card["preset"]) == ("Theirs.", "tiny")
    assert open_weights(out)[0] == card
    for name, expected in random_arrays(TINY).items():
        assert np.abs(np.asarray(arrays[name]) - expected).max() <= np.abs(expected).max() / 256
    assert sum(a.size for a in arrays.values()) == card["parameters"]


def test_names_of_the_plain_layout_are_as_they_are_documented():
    assert plain_name("decoder.blocks.0.attention.q.kernel") == (
        "decoder.layers.0.attention.q.weight", True,
    )  # fmt: skip
    assert plain_name("embedding.table") == ("embedding.weight", False)
    assert plain_name("blocks.3.norm1.scale") == ("layers.3.norm1.weight", False)
    assert plain_name("cross.1.attention.content_bias") == (
        "cross.1.attention.content_bias", False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arrays", "told"),
    [({"decoder.norm.weight": None}, "decoder.norm.weight is missing"),
     ({"lm_head.weight": np.zeros((4, 4), np.float32)}, "lm_head.weight is unknown"),
     ({"decoder.norm.weight": np.zeros(31, np.float32)},
      r"decoder.norm.weight has shape \(31,\), expected \(32,\)"),
     ({"decoder.norm.weight": np.full(32, np.inf, np.float32)}, "not finite"),
     ({"decoder.norm.weight": np.zeros(32, np.int32)}, "arrays of type I32")],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name_and_shape(
    folder: Path, tokenizer_file: Path, tmp_path: Path, arrays, told
):
    held = [p for p in folder.glob("*.safetensors") if "decoder.norm.weight" in load_file(p)]
    change(held[0], **arrays)
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match=told):
        import_weights(folder, out, tokenizer_file, {})
    assert not (out / "card.json").exists() and not list(out.glob("*.part"))


def test_an_array_in_two_files_is_refused(folder: Path, tokenizer_file: Path, tmp_path: Path):
    change(folder / "model-2.safetensors", **load_file(folder / "model-1.safetensors"))
    with pytest.raises(CheckpointError, match=r"is in model-1.safetensors and in model-2"):
        import_weights(folder, tmp_path / "out", tokenizer_file, {})


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"layers": 5}, "the nearest, tiny, differs: layers 5 instead of 4"),
     ({"depth": 4}, "depth is no field; there are chunk"),
     ({"layers": None}, "describes no preset")],
)  # fmt: skip
def test_a_configuration_that_is_no_preset_is_refused(
    folder: Path, tokenizer_file: Path, tmp_path: Path, changes, told
):
    (folder / "config.json").write_text(json.dumps(config() | changes))
    with pytest.raises(CheckpointError, match=told):
        import_weights(folder, tmp_path / "out", tokenizer_file, {})


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"retrieval": 3}', "nonsense"])
def test_a_damaged_configuration_is_refused(
    folder: Path, tokenizer_file: Path, tmp_path: Path, text: str
):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="does not describe a model"):
        import_weights(folder, tmp_path / "out", tokenizer_file, {})


def test_a_directory_that_holds_something_is_left_alone(
    folder: Path, tokenizer_file: Path, tmp_path: Path
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="is not empty; name a new directory"):
        import_weights(folder, tmp_path / "out", tokenizer_file, {})
