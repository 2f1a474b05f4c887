"""Stacking a model's layers: their runs, their names, their places on a mesh, their int8 form."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx, traverse_util
from jax.sharding import AbstractMesh, PartitionSpec

from engine.checkpoint import graph_of, shapes_of
from engine.presets import preset
from engine.sharded.loading import Arrays, place
from engine.sharded.programs import Form
from engine.sharded.stacks import decoder_name, is_stacked, members, unstack
from engine.sharded.stacks import stacked_shapes as shapes
from engine.sharding import MeshError, serving_mesh
from tests import toys

MESH = AbstractMesh((2, 4), ("data", "model"))
RETRO = preset("retro-7.5b")
assert RETRO.retrieval
SHALLOW = {  # as wide as they are, so that all divides as it does, but quick to describe
    "gopher-7.1b": replace(preset("gopher-7.1b"), layers=7),
    "gopher-280b": replace(preset("gopher-280b"), layers=7),
    "retro-7.5b": replace(RETRO, layers=7, retrieval=replace(RETRO.retrieval, layers=(4, 6))),
}


@pytest.mark.parametrize(
    "p", [toys.TOY, replace(toys.TOY, retrieval=None)], ids=["retro", "gopher"]
)
def test_stacked_weights_come_apart_into_the_model_they_were_made_of(p):
    arrays = toys.random_arrays(p)
    held = place(Form(p, serving_mesh(jax.devices(), p.heads), 1, p.context), Arrays(arrays))
    nested = unstack(p, held, np.float32)
    assert nnx.merge(graph_of(p), nested)
    flat: dict = dict(traverse_util.flatten_dict(nested))
    found = {".".join(map(str, path)): array for path, array in flat.items()}
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(np.asarray(found[name]), arrays[name]) for name in arrays)


@pytest.mark.parametrize("p", SHALLOW.values(), ids=SHALLOW)
def test_every_array_of_a_checkpoint_is_in_one_stack_and_most_bytes_are_divided(p):
    rows = members(p)
    names = [name for stack in rows.values() for name in stack]
    assert sorted(names) == sorted(shapes_of(p))
    found = shapes(p, MESH, np.float32)
    size = {name: a.size for name, a in found.items()}
    divided = sum(size[n] for n, a in found.items() if "model" in a.sharding.spec)
    assert divided > 0.95 * sum(size.values())
    assert sum(size.values()) == sum(a.size for a in shapes_of(p).values())


def test_a_gopher_is_stacked_under_the_names_of_a_retros_decoder():
    assert decoder_name(preset("gopher-7.1b"), "norm.scale") == "decoder.norm.scale"
    gopher, retro = members(SHALLOW["gopher-7.1b"]), members(SHALLOW["retro-7.5b"])
    assert set(gopher) <= set(retro)
    assert gopher["decoder.blocks.mlp.up.kernel"][6] == "blocks.6.mlp.up.kernel"


def test_int8_kernels_are_off_by_half_a_step_at_most_and_divided_as_the_kernels_are():
    p = toys.TOY
    arrays = toys.random_arrays(p)
    mesh = serving_mesh(jax.devices(), p.heads)
    held = place(Form(p, mesh, 1, p.context, narrow_weights=True), Arrays(arrays))
    kernel = held["decoder.blocks.mlp.down.kernel"]
    exact = np.stack([arrays[name] for name in members(p)["decoder.blocks.mlp.down.kernel"]])
    assert kernel.values.dtype == np.int8
    scale = np.asarray(kernel.scale)[:, None]
    assert np.abs(np.asarray(kernel.values) * scale - exact).max() <= (scale / 2 * 1.001).max()
    assert np.allclose(scale[:, 0], np.abs(exact).max(1) / 127)
    narrow = shapes(SHALLOW["retro-7.5b"], MESH, np.float32, narrow=True)
    up, down = (narrow[f"decoder.blocks.mlp.{n}.kernel"] for n in ("up", "down"))
    assert up.scale.sharding.spec == PartitionSpec(None, "model")
    assert down.scale.sharding.spec == PartitionSpec(None, None)
    assert not is_stacked("decoder.embedding.table")
    assert narrow["decoder.embedding.table"].dtype == np.float32


@pytest.mark.parametrize(
    ("heads", "text", "told"),
    [(6, "data=2,model=4", "model=4 does not divide the 6 heads"),
     (8, "data=3,model=4", "is for 12 devices, there are 8"),
     (8, "model=x", "write it as data=4,model=2")],
)  # fmt: skip
def test_a_mesh_that_cannot_serve_is_refused_with_the_numbers(heads, text, told):
    with pytest.raises(MeshError, match=told):
        serving_mesh([None] * 8, heads, text)
