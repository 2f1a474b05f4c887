"""Where arrays live on several devices: a mesh of two axes, and rules from an array's name.

"data" divides the batch, "model" the inside of each layer (Megatron: what widens is split by
columns, what narrows by rows, so that two sums over devices a layer are enough; attention is split
by heads, the embedding by vocabulary). What only the optimiser touches, its moments and the float32
masters, is divided over both axes (ZeRO). An axis that does not divide a dimension evenly leaves
it whole. The compiler inserts the communication.
"""

from collections.abc import Mapping, Sequence
from math import gcd
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

DATA, MODEL = "data", "model"

# By the end of an array's name; the first that fits counts. The rest, norms, is on all devices.
RULES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    ("embedding.table", (MODEL, None)),  # [V D]
    ("q.kernel", (None, MODEL)),  # [D N*H]
    ("k.kernel", (None, MODEL)),
    ("v.kernel", (None, MODEL)),
    ("r.kernel", (None, MODEL)),
    ("o.kernel", (MODEL, None)),  # [N*H D]
    ("content_bias", (MODEL, None)),  # [N H]
    ("position_bias", (MODEL, None)),
    ("position_keys", (None, MODEL, None)),  # [W N H]
    ("up.kernel", (None, MODEL)),  # [D F]
    ("down.kernel", (MODEL, None)),  # [F D]
)


class MeshError(ValueError):
    """A mesh that does not fit the devices or the batch; the message gives the numbers."""


def open_mesh(text: str | None = None) -> Mesh:
    """The mesh that "data=4,model=2" describes, over all devices; None divides the batch alone."""
    devices = jax.device_count()
    sizes = {DATA: devices, MODEL: 1} if text is None else _parse(text)
    wanted = sizes[DATA] * sizes[MODEL]
    if wanted != devices:
        raise MeshError(
            f"the mesh data={sizes[DATA]},model={sizes[MODEL]} is for {wanted} devices, this "
            f"machine has {devices}; give two numbers whose product is {devices}"
        )
    shape = (sizes[DATA], sizes[MODEL])
    return jax.make_mesh(shape, (DATA, MODEL), axis_types=(AxisType.Auto, AxisType.Auto))


def _parse(text: str) -> dict[str, int]:
    sizes = {DATA: 1, MODEL: 1}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in sizes or not number.isdecimal() or int(number) == 0:
            raise MeshError(f"{text!r} is not a mesh; write it as data=4,model=2")
        sizes[name] = int(number)
    return sizes


def weight_sharding(mesh: Mesh | AbstractMesh, name: str, shape: tuple[int, ...]) -> NamedSharding:
    """For the array `name` of a model where it is computed with."""
    return NamedSharding(mesh, PartitionSpec(*_weight_axes(mesh, name, shape)))


def master_sharding(mesh: Mesh | AbstractMesh, name: str, shape: tuple[int, ...]) -> NamedSharding:
    """For the master of the array `name` and its moments: over "data" as well."""
    axes = _weight_axes(mesh, name, shape)
    for i in sorted(range(len(shape)), key=lambda i: -shape[i]):
        if axes[i] is None and shape[i] % mesh.shape[DATA] == 0:
            axes[i] = DATA
            break
    return NamedSharding(mesh, PartitionSpec(*axes))


def stack_sharding(mesh: Mesh | AbstractMesh, name: str, shape: tuple[int, ...]) -> NamedSharding:
    """For the arrays `name` of all layers, one after the other: each as it would lie alone."""
    return NamedSharding(mesh, PartitionSpec(None, *_weight_axes(mesh, name, shape[1:])))


def slot_sharding(mesh: Mesh | AbstractMesh, inside: int | None, ndim: int) -> NamedSharding:
    """For what slots remember, [A ...] with A parts of "data", and perhaps an axis, such as that
    of heads, that is divided by "model"."""
    axes: list[str | None] = [DATA] + [None] * (ndim - 1)
    if inside is not None:
        axes[inside] = MODEL
    return NamedSharding(mesh, PartitionSpec(*axes))


def serving_mesh(devices: Sequence[Any], heads: int, text: str | None = None) -> Mesh:
    """The mesh that serves a model of so many heads; None divides its inside as far as they go."""
    N = len(devices)
    sizes = {MODEL: gcd(N, heads)} if text is None else _parse(text)
    sizes.setdefault(DATA, N // sizes[MODEL])
    if sizes[DATA] * sizes[MODEL] != N:
        raise MeshError(
            f"the mesh data={sizes[DATA]},model={sizes[MODEL]} is for "
            f"{sizes[DATA] * sizes[MODEL]} devices, there are {N}; give two numbers whose "
            f"product is {N}"
        )
    if heads % sizes[MODEL]:
        raise MeshError(
            f"model={sizes[MODEL]} does not divide the {heads} heads of this model; choose a "
            f"divisor of both {heads} and {N}, up to {gcd(N, heads)}"
        )
    shape, types = (sizes[DATA], sizes[MODEL]), (AxisType.Auto, AxisType.Auto)
    try:  # neighbours on the mesh as neighbours on the chips' torus
        return jax.make_mesh(shape, (DATA, MODEL), axis_types=types, devices=devices)
    except (NotImplementedError, ValueError):  # not every torus can be divided so
        return Mesh(np.array(devices).reshape(shape), (DATA, MODEL), axis_types=types)


def _weight_axes(mesh: Mesh | AbstractMesh, name: str, shape: tuple[int, ...]) -> list[str | None]:
    rule = next((axes for end, axes in RULES if name.endswith(end)), (None,) * len(shape))
    return [
        axis if axis and size % mesh.shape[axis] == 0 else None
        for axis, size in zip(rule, shape, strict=True)
    ]


def whole(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """For a number that every device holds."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(mesh: Mesh, state: Any) -> Any:
    """For an optimiser's state: what is filed under an array's name lies as its master does."""

    def place(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        name = getattr(path[-1], "key", None) if path else None
        return master_sharding(mesh, name, leaf.shape) if isinstance(name, str) else whole(mesh)

    return jax.tree_util.tree_map_with_path(place, state)


def constrain(arrays: Mapping[str, jax.Array], mesh: Mesh, place: Any) -> dict[str, jax.Array]:
    """Inside a compiled function: arrays by name, laid out as `place` says."""
    return {
        name: jax.lax.with_sharding_constraint(array, place(mesh, name, array.shape))
        for name, array in arrays.items()
    }


def put_batch(mesh: Mesh, batch: Any, axis: int = 0) -> Any:
    """A pytree of host arrays whose `axis` counts sequences, divided over "data"."""

    def put(array: Any) -> jax.Array:
        rows, parts = np.shape(array)[axis], mesh.shape[DATA]
        if rows % parts:
            raise MeshError(
                f"a batch of {rows} sequences cannot be divided over data={parts}; choose a batch "
                "that is a multiple of it"
            )
        return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA)))

    return jax.tree.map(put, batch)
