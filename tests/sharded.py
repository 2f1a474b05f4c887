"""Training steps on 8 virtual devices beside the same steps on one, as a process of its own.

`python -m tests.sharded` prints, for each model and mesh, how far apart losses, gradient norms and
first moments (a tenth of the gradients) are after two steps, and the share of the optimiser's state
that one device holds.
"""

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from engine.checkpoint import build, flatten, graph_of
from engine.presets import Preset, preset
from engine.sharding import MeshError, open_mesh, put_batch
from engine.training.batches import plain_batch
from engine.training.checkpoints import Checkpoints
from engine.training.loop import lay_out, like
from engine.training.neighbours import retrofit_batch
from engine.training.step import Batch, Plan, compile_step

SMALL = preset("tiny")
assert SMALL.retrieval
RETRO = replace(SMALL, layers=2, retrieval=replace(SMALL.retrieval, layers=(1, 2)))
MODELS = {"gopher": replace(RETRO, retrieval=None), "retro": RETRO}
MESHES = ("data=8,model=1", "data=2,model=4", "data=1,model=8")
PLAN = Plan(9, 1e-3, 1)
STREAM = np.random.default_rng(0).integers(4, RETRO.vocab, 4000).astype(np.uint16)


def batch_for(p: Preset, step: int) -> Batch:
    if p.retrieval is None:
        return plain_batch(STREAM, step, batch=8, length=3 * p.chunk, seed=0)
    return retrofit_batch(STREAM, step, batch=8, chunks=3, chunk=p.chunk, k=2, seed=0)


def steps(p: Preset, mesh: Any) -> tuple[Any, Any, list[float]]:
    arrays = flatten(nnx.state(build(p, 0), nnx.Param))
    kept, trained, state = lay_out(arrays, lambda name: False, PLAN, mesh)
    step = compile_step(graph_of(p), PLAN, 2 if p.retrieval else 1, mesh)
    numbers = []
    for number in range(2):
        batch = put_batch(mesh, batch_for(p, number))
        trained, state, metrics = step(trained, kept, state, batch)
        numbers += [float(metrics["loss"]), float(metrics["norm"])]
    return trained, state, numbers


def moments(state: Any) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in state[1][0].mu.items()}


def refused(text: str) -> str:
    try:
        open_mesh(text)
    except MeshError as error:
        return str(error)
    return ""


def main() -> None:
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"
    alone = Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("data", "model"))
    rows = []
    for name, p in MODELS.items():
        _, state, expected = steps(p, alone)
        wanted = moments(state)
        scale = max(float(np.abs(v).max()) for v in wanted.values())
        for text in MESHES:
            mesh = open_mesh(text)
            trained, state, numbers = steps(p, mesh)
            found = moments(state)
            apart = max(float(np.abs(found[k] - v).max()) for k, v in wanted.items())
            leaves = jax.tree.leaves(state)
            on_one = sum(a.addressable_shards[0].data.nbytes for a in leaves)
            rows.append({
                "model": name,
                "mesh": text,
                "numbers": float(np.max(np.abs(np.divide(numbers, expected) - 1))),
                "moments": apart / scale,
                "share": on_one / sum(a.nbytes for a in leaves),
                "restored": restored_elsewhere(trained, state) if text == MESHES[1] else None,
            })  # fmt: skip
    print(json.dumps({"rows": rows, "refused": refused("data=4,model=4")}))


def restored_elsewhere(trained: Any, state: Any) -> bool:
    """Whether a checkpoint of one mesh comes back whole on another."""
    with tempfile.TemporaryDirectory() as directory:
        Checkpoints(Path(directory), {}).save(1, {"weights": trained, "optimiser": state})
        arrays = {k: np.asarray(v) for k, v in trained.items()}
        _, other, fresh = lay_out(arrays, lambda name: False, PLAN, open_mesh(MESHES[0]))
        expected = jax.tree.map(like, {"weights": other, "optimiser": fresh})
        found = Checkpoints(Path(directory), {}).restore(expected)
        assert found is not None
        same = jax.tree.map(
            lambda a, b, c: np.array_equal(a, b) and a.sharding == c.sharding,
            found[1], {"weights": trained, "optimiser": state}, expected,
        )  # fmt: skip
    return jax.tree.all(same)


if __name__ == "__main__":
    main()
