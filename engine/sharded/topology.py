"""Compiles a served model for TPUs that are not here, and says what it would take there.

libtpu's compiler needs no TPU: it gives the memory of every chip, or says what does not fit. What
it cannot give is speed; `Report.bound` is arithmetic from the chips' data sheets: the time a chip
takes to read once what a step reads, which no program on it can beat.
"""

import logging
import math
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp

from engine.presets import Preset
from engine.sharded.programs import Form, Programs
from engine.sharding import DATA, MODEL, MeshError, serving_mesh

GIB = 2**30
BANDWIDTH = {"v4": 1228, "v5e": 819, "v5p": 2765, "v6e": 1640}  # 1e9 bytes/s a chip, data sheets
HBM = {"v4": 32, "v5e": 16, "v5p": 95, "v6e": 32}  # GiB a chip, data sheets
_NEEDS = (r"Used (\S+) of (\S+) hbm", r"\((\S+)\) exceeds available HBM \((\S+)\)")
_UNUSED_BY_STEP = ("encoder.", "cross.attention.k.", "cross.attention.v.")


class TopologyError(ValueError):
    """A topology that cannot be compiled for; the message says why and what to do."""


class DoesNotFit(TopologyError):
    """A model that a topology's chips do not hold; the message gives the numbers."""

    def __init__(self, message: str, needed: str, available: str):
        super().__init__(message)
        self.needed, self.available = needed, available  # as the compiler writes them, "16.45G"


@dataclass(frozen=True)
class Compiled:
    """One function as compiled, sizes in bytes a chip."""

    name: str
    seconds: float  # of compiling
    peak: int
    temporary: int
    code: int


@dataclass(frozen=True)
class Report:
    """What a model takes on a topology. Sizes are bytes a chip."""

    preset: str
    topology: str
    form: Form
    chips: int
    functions: tuple[Compiled, ...]
    weights: int
    memory: int
    tables: int
    moved: int  # read for one step, which gives one token in every slot

    @property
    def resident(self) -> int:
        """What stays on a chip while it serves."""
        return self.weights + self.memory + self.tables

    @property
    def peak(self) -> int:
        """The most on a chip at any time: what stays, and what the hungriest function adds."""
        extra = max(f.temporary + f.code for f in self.functions)
        return self.resident + extra

    @property
    def seconds(self) -> float:
        return sum(f.seconds for f in self.functions)

    @property
    def step_seconds(self) -> float:
        """The least time of a step: what it moves over the bandwidth of the chip's memory."""
        return self.moved / (BANDWIDTH[kind_of(self.topology)] * 1e9)

    @property
    def bound(self) -> float:
        """The most tokens a second, of all slots together."""
        return self.form.slots / self.step_seconds


def kind_of(topology: str) -> str:
    return topology.partition(":")[0]


def devices_of(topology: str) -> Sequence[Any]:
    """The chips of a topology such as "v5e:2x4". Raises TopologyError."""
    if kind_of(topology) not in BANDWIDTH or not re.fullmatch(r"\w+:\d+(x\d+)+", topology):
        raise TopologyError(
            f"{topology!r} is not a topology; write it as v5e:2x4, with one of "
            f"{', '.join(BANDWIDTH)}"
        )
    if find_spec("libtpu") is None:
        raise TopologyError(
            "the compiler for TPUs, libtpu, is not installed; add it with: pip install "
            "'libtpu==0.0.42.*'"
        )
    os.environ.update(  # libtpu looks for the machine it is on, and would have it alone
        TPU_SKIP_MDS_QUERY="1", TPU_ACCELERATOR_TYPE="v5litepod-8",
        TPU_WORKER_HOSTNAMES="localhost", ALLOW_MULTIPLE_LIBTPU_LOAD="1",
    )  # fmt: skip
    from jax.experimental import topologies

    kind: dict[str, Any] = {"chip_config_name": "megacore"} if kind_of(topology) == "v4" else {}
    if topology.partition(":")[2] == "1x1":  # hosts have four chips otherwise
        kind["chips_per_host_bounds"] = (1, 1, 1)
    try:
        return topologies.get_topology_desc(topology, "tpu", **kind).devices
    except (RuntimeError, ValueError, NotImplementedError) as error:
        told = str(error).splitlines()[0]
        raise TopologyError(f"{topology} is not a topology that libtpu knows: {told}") from None


def form_of(
    p: Preset, topology: str, slots: int, *, narrow_weights: bool = False,
    narrow_memory: bool = False, mesh: str | None = None,
) -> Form:  # fmt: skip
    """The form in which a preset is served on a topology, in bfloat16 but for what is narrow."""
    devices = devices_of(topology)
    form = Form(
        p, serving_mesh(devices, p.heads, mesh), slots, p.context, jnp.bfloat16,
        narrow_weights, narrow_memory,
    )  # fmt: skip
    if slots % form.groups:
        raise MeshError(
            f"{slots} slots cannot be divided over data={form.groups}; give a multiple of it"
        )
    return form


def compile_for(topology: str, form: Form, *, only: Sequence[str] = ()) -> Report:
    """Compiles all functions of a form, or `only` some. Raises DoesNotFit."""
    report = sized(topology, form)
    done = []
    for name, lower in Programs(form).by_name().items():
        if only and name not in only:
            continue
        start = time.monotonic()
        try:
            compiled = lower().compile()
        except jax.errors.JaxRuntimeError as error:
            raise refused(report, name, str(error)) from None
        found = compiled.memory_analysis()
        done.append(Compiled(
            name, time.monotonic() - start, found.peak_memory_in_bytes, found.temp_size_in_bytes,
            found.generated_code_size_in_bytes,
        ))  # fmt: skip
    report = replace(report, functions=tuple(done))
    most = HBM[kind_of(topology)]
    if report.peak > most * GIB:  # each function alone would fit
        raise _too_large(report, "what is kept", f"{report.peak / GIB:.2f}G", f"{most}.00G")
    return report


def sized(topology: str, form: Form) -> Report:
    used = {k: v for k, v in form.weights.items() if not _only_for_tables(k)}
    stepping = {k: v for k, v in used.items() if not k.startswith(_UNUSED_BY_STEP)}
    return Report(
        form.preset.name, topology, form, form.mesh.size, (), on_a_chip(form.weights),
        on_a_chip(form.memory), on_a_chip(form.tables),
        on_a_chip((stepping, form.memory, form.tables)),
    )  # fmt: skip


def _only_for_tables(name: str) -> bool:
    return name.endswith("attention.r.kernel") and not name.startswith("encoder.")


def on_a_chip(arrays: Any) -> int:
    """Bytes that one device holds of arrays."""
    return sum(
        math.prod(a.sharding.shard_shape(a.shape)) * a.dtype.itemsize
        for a in jax.tree.leaves(arrays)
    )


def refused(report: Report, name: str, told: str) -> TopologyError:
    logging.getLogger(__name__).debug("%s", told)
    numbers = next(filter(None, (re.search(p, told) for p in _NEEDS)), None)
    if numbers is None:
        return TopologyError(
            f"{name} of {report.preset} does not compile for {report.topology}: "
            f"{told.splitlines()[0]}"
        )
    return _too_large(report, name, numbers[1], numbers[2])


def _too_large(report: Report, name: str, needed: str, available: str) -> DoesNotFit:
    form, shape = report.form, report.form.mesh.shape
    return DoesNotFit(
        f"{report.preset} does not fit on {report.topology} (data={shape[DATA]}, "
        f"model={shape[MODEL]}, {form.slots} slots): {name} needs {needed} of the "
        f"{available} that a chip has; weights {report.weights / GIB:.2f} GiB, cache "
        f"{report.memory / GIB:.2f} GiB, position keys {report.tables / GIB:.2f} GiB a chip. Use "
        "more chips, fewer slots, --weights int8 or --cache int8",
        needed, available,
    )  # fmt: skip
