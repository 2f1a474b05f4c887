"""Opening a weights directory over a mesh: the same replies, and refusals with what is wrong."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from engine.card import CheckpointError
from engine.checkpoint import load_weights, save_weights
from engine.local import LocalEngine
from engine.presets import preset
from engine.protocol import Request, Sampling, Segment, TokenEvent
from engine.sharded.engine import Spread, open_engine
from engine.sharded.loading import Arrays, File, open_weights, place
from engine.sharded.programs import Form
from engine.sharding import serving_mesh

REQUEST = Request(
    (Segment("Who dug the harbour?", ends_chunk=True),), "harbour",
    Sampling(temperature=0.9, max_tokens=20, seed=4), retrieve=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def in_pieces(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights in pieces of 9,000 bytes, less than the embedding table has."""
    card, arrays = load_weights(weights)
    directory = tmp_path_factory.mktemp("pieces")
    save_weights(directory, "tiny", arrays, weights / "tokenizer.model", card, 9_000)
    return directory


@pytest.mark.parametrize(("kind", "numbers"), [("weights", "int8"), ("in_pieces", "float32")])
def test_a_directory_read_in_parts_gives_the_arrays_it_gives_whole(request, weights, kind, numbers):
    p = preset("tiny")
    form = Form(
        p, serving_mesh(jax.devices()[:1], p.heads), 1, 16, narrow_weights=numbers == "int8"
    )
    directory = request.getfixturevalue(kind)
    card, source = open_weights(directory)
    assert card == load_weights(directory)[0]
    parts, expected = place(form, source), place(form, Arrays(load_weights(weights)[1]))
    for name in expected:
        jax.tree.map(np.testing.assert_array_equal, parts[name], expected[name])


def test_rows_are_read_from_the_pieces_they_lie_in(weights: Path, in_pieces: Path):
    name = "decoder.embedding.table"
    source = open_weights(in_pieces)[1]
    whole = np.asarray(load_weights(weights)[1][name])
    for start in range(0, len(whole), 50):
        for rows in (slice(start), slice(start, None), slice(start, start + 7)):
            if len(whole[rows]):
                part = source.part(name, (rows, slice(2, 9)))
                np.testing.assert_array_equal(part.astype(np.float32), whole[rows, 2:9])


def test_only_the_part_that_is_asked_for_is_read(weights: Path):
    file = File(weights / "weights.safetensors")
    name = "decoder.embedding.table"
    rows, columns = slice(3, 5), slice(0, None, None)
    part = file.part(name, (rows, columns))
    assert part.shape == (2, preset("tiny").width)
    whole = np.asarray(load_weights(weights)[1][name])
    assert np.array_equal(part.astype(np.float32), whole[3:5])


@pytest.mark.slow
def test_the_engine_over_a_mesh_writes_what_the_plain_one_writes(weights: Path):
    engines = [open_engine(weights, Spread(slots=2)), LocalEngine.load(weights, "float32")]
    try:
        written, expected = (
            [event.id for event in e.generate(REQUEST) if isinstance(event, TokenEvent)]
            for e in engines
        )
    finally:
        for engine in engines:
            engine.close()
    assert written == expected and len(written) > 5


@pytest.mark.parametrize("kind", ["weights", "in_pieces"])
def test_a_flipped_byte_is_found(request, tmp_path: Path, kind: str):
    shutil.copytree(request.getfixturevalue(kind), tmp_path / "copy")
    path = max((tmp_path / "copy").glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{path.name} is damaged or was replaced: its SHA"):
        open_weights(tmp_path / "copy")


def test_a_missing_piece_and_a_surplus_one_are_named(in_pieces: Path, tmp_path: Path):
    shutil.copytree(in_pieces, tmp_path / "copy")
    surplus = tmp_path / "copy" / "weights.safetensors"
    surplus.write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"{surplus.name} is none of the .* remove it"):
        open_weights(tmp_path / "copy")
    surplus.unlink()
    missing = min((tmp_path / "copy").glob("*.safetensors"))
    missing.unlink()
    with pytest.raises(CheckpointError, match=f"{missing.name}: No such file"):
        open_weights(tmp_path / "copy")


def test_what_is_no_weights_file_is_refused(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"not one")
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        File(path)
