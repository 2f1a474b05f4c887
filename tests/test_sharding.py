"""Where arrays live on several devices, and that training there is the same training."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from engine.checkpoint import shapes_of
from engine.presets import preset
from engine.sharding import MeshError, master_sharding, open_mesh, put_batch, weight_sharding

MESH = AbstractMesh((4, 2), ("data", "model"))
LARGE = shapes_of(preset("retro-44m"))


def spec(place, name: str) -> PartitionSpec:
    return place(MESH, name, LARGE[name].shape).spec


@pytest.mark.parametrize(
    ("name", "weight", "master"),
    [
        ("decoder.embedding.table", ("model", None), ("model", "data")),
        ("decoder.blocks.3.attention.q.kernel", (None, "model"), ("data", "model")),
        ("cross.0.attention.o.kernel", ("model", None), ("model", "data")),
        ("encoder.blocks.0.mlp.up.kernel", (None, "model"), ("data", "model")),
        ("encoder.blocks.0.mlp.down.kernel", ("model", None), ("model", "data")),
        ("decoder.blocks.0.attention.content_bias", ("model", None), ("model", "data")),
        ("decoder.blocks.0.norm1.scale", (None,), ("data",)),
    ],
)
def test_weights_are_divided_by_model_and_masters_by_data_as_well(name, weight, master):
    assert spec(weight_sharding, name) == PartitionSpec(*weight)
    assert spec(master_sharding, name) == PartitionSpec(*master)


def test_every_array_of_a_model_but_its_norms_is_divided_by_model():
    whole = [k for k in LARGE if "model" not in spec(weight_sharding, k)]
    assert whole and all(name.endswith("norm.scale") or ".norm" in name for name in whole)


def test_a_dimension_that_an_axis_does_not_divide_stays_whole():
    mesh = AbstractMesh((3, 5), ("data", "model"))
    name = "decoder.blocks.3.attention.q.kernel"
    assert weight_sharding(mesh, name, (512, 512)).spec == PartitionSpec(None, None)
    assert master_sharding(mesh, name, (512, 510)).spec == PartitionSpec(None, "model")
    assert master_sharding(mesh, name, (510, 512)).spec == PartitionSpec("data", None)


@pytest.mark.parametrize("text", ["data=64", "data=3,model=5"])
def test_a_mesh_for_another_number_of_devices_is_refused_with_the_numbers(text):
    with pytest.raises(MeshError, match=r"is for (64|15) devices, this machine has 1"):
        open_mesh(text)


@pytest.mark.parametrize("text", ["", "8x1", "data=0", "rows=2", "data=-1", "data=2;model=4"])
def test_a_mesh_that_cannot_be_read_is_refused(text):
    with pytest.raises(MeshError, match="write it as data=4,model=2"):
        open_mesh(text)


def test_a_batch_that_cannot_be_divided_is_refused_with_the_numbers():
    with pytest.raises(MeshError, match="6 sequences cannot be divided over data=4"):
        put_batch(SimpleNamespace(shape={"data": 4}), np.zeros((6, 3)))  # type: ignore[arg-type]


@pytest.mark.slow
def test_steps_on_eight_devices_equal_those_on_one():
    run = subprocess.run(
        [sys.executable, "-m", "tests.sharded"], cwd=Path(__file__).parents[1],
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert len(found["rows"]) == 6
    for row in found["rows"]:
        assert row["numbers"] < 1e-5 and row["moments"] < 1e-5, row
        assert row["share"] < 0.15, (
            row
        )  # of the optimiser's state on one device; an eighth is 0.125
        assert row["restored"] in (True, None), row
    assert "16 devices, this machine has 8" in found["refused"]
