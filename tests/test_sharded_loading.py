"""Opening a weights directory over a mesh: the same replies, and refusals with what is wrong."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from engine.card import CheckpointError
from engine.checkpoint import load_weights
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


def test_a_directory_read_in_parts_gives_the_arrays_it_gives_whole(weights: Path):
    p = preset("tiny")
    form = Form(p, serving_mesh(jax.devices()[:1], p.heads), 1, 16)
    card, file = open_weights(weights)
    whole = load_weights(weights)
    assert card == whole[0]
    parts, expected = place(form, file), place(form, Arrays(whole[1]))
    assert all(np.array_equal(parts[name], expected[name]) for name in expected)


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


def test_a_flipped_byte_is_found(weights: Path, tmp_path: Path):
    shutil.copytree(weights, tmp_path / "copy")
    path = tmp_path / "copy" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged or was replaced: its SHA-256"):
        open_weights(tmp_path / "copy")


def test_what_is_no_weights_file_is_refused(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"not one")
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        File(path)
