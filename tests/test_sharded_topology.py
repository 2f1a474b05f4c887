"""Compiling for TPUs that are not here, and the arithmetic beside it.

The slow tests need libtpu (the extra `tpu`) and are skipped without.
"""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh

from app.dryrun import HEADINGS, TABLE, describe, weights_of
from engine.presets import Preset, preset
from engine.sharded.programs import Form
from engine.sharded.topology import (
    GIB,
    Compiled,
    DoesNotFit,
    TopologyError,
    compile_for,
    devices_of,
    form_of,
    refused,
    sized,
)

DOCUMENT = Path(__file__).parents[1] / "docs" / "tpu.md"
SHALLOW = replace(preset("gopher-7.1b"), layers=2)


def form(p: Preset = SHALLOW, slots: int = 8, **kept: bool) -> Form:
    mesh = AbstractMesh((1, 8), ("data", "model"))
    return Form(p, mesh, slots, p.context, jnp.bfloat16, **kept)  # type: ignore[arg-type]


def test_a_chip_holds_its_part_of_weights_cache_and_position_keys():
    report = sized("v5e:2x4", form())
    kernels = 2 * (5 * 4096**2 + 2 * 4096 * 16384) + 32_000 * 4096
    assert report.weights == pytest.approx(2 * kernels / 8, rel=0.01)
    assert report.memory == pytest.approx(8 * 2 * 2 * 2048 * 4096 * 2 / 8, rel=0.01)
    assert report.tables == 2 * 2048 * 4096 * 2 / 8


def test_a_step_reads_all_but_what_only_made_the_position_keys():
    report = sized("v5e:2x4", form())
    assert report.resident - report.moved == 2 * 4096 * 4096 * 2 / 8
    assert report.step_seconds == report.moved / 819e9
    assert report.bound == 8 / report.step_seconds


def test_int8_halves_what_it_is_asked_for():
    wide, narrow = sized("v5e:2x4", form()), sized("v5e:2x4", form(narrow_weights=True))
    assert narrow.memory == wide.memory and 0.5 < narrow.weights / wide.weights < 0.75
    cache = sized("v5e:2x4", form(narrow_memory=True))
    assert cache.weights == wide.weights and 0.5 < cache.memory / wide.memory < 0.52


def test_a_report_says_that_its_bound_is_no_measurement():
    done = (Compiled("step", 12.0, 0, 3 * GIB, 0), Compiled("read 64", 5.0, 0, GIB, 0))
    report = replace(sized("v5e:2x4", form()), functions=done)
    assert report.peak == report.resident + 3 * GIB and report.seconds == 17
    told = "\n".join(describe(report))
    assert "8 chips, data=1, model=8, 8 slots of 2048 tokens, weights bf16" in told
    assert "step: compiled in 12 s, 3.000 GiB" in told
    assert "A bound by data sheet, not a measurement" in told


@pytest.mark.parametrize(
    "told",
    ["RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 16.45G of 15.75G hbm. "
     "Exceeded hbm capacity by 717.03M.",
     "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries "
     "(16.45G) exceeds available HBM (15.75G)."],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_numbers(told: str):
    error = refused(sized("v5e:2x4", form()), "step", told)
    assert isinstance(error, DoesNotFit)
    assert (error.needed, error.available) == ("16.45G", "15.75G")
    assert "step needs 16.45G of the 15.75G that a chip has; weights 0." in str(error)


def test_another_failure_of_the_compiler_is_told_as_it_is():
    error = refused(sized("v5e:2x4", form()), "step", "INTERNAL: Mosaic failed\nat ...")
    assert not isinstance(error, DoesNotFit)
    assert str(error) == "step of gopher-7.1b does not compile for v5e:2x4: INTERNAL: Mosaic failed"


@pytest.mark.parametrize("text", ["v5e", "v9:2x4", "v5e:8", "v5e:2x", "2x4", ""])
def test_what_is_no_topology_is_refused(text: str):
    with pytest.raises(TopologyError, match="write it as v5e:2x4"):
        devices_of(text)


@pytest.mark.skipif(find_spec("libtpu") is not None, reason="libtpu is installed")
def test_without_the_compiler_it_is_said_how_to_get_it():
    with pytest.raises(TopologyError, match=r"pip install 'libtpu==0\.0\.42\.\*'"):
        devices_of("v5e:2x4")


def test_weights_are_numbers_in_a_dry_run():
    assert [weights_of(w) for w in ("int8", "bf16", "engine/weights/x")] == ["int8", "bf16", "bf16"]


def test_the_document_has_a_row_for_every_case_of_the_table():
    rows = [
        tuple(cell.strip() for cell in line.strip("|\n").split("|"))
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith(("| gopher-", "| retro-"))
    ]
    assert all(len(row) == len(HEADINGS) for row in rows)
    found = [(row[0], row[1], row[3], row[4], int(row[5])) for row in rows]
    assert found == list(TABLE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "topology", "slots", "narrow", "most"),
    [("gopher-7.1b", "v5e:2x4", 8, False, 3.0), ("retro-7.5b", "v5e:2x4", 8, False, 3.4),
     ("gopher-280b", "v5e:8x8", 8, True, 6.6)],
)  # fmt: skip
def test_large_models_fit_where_the_table_says(name, topology, slots, narrow, most):
    pytest.importorskip("libtpu")
    made = form_of(preset(name), topology, slots, narrow_weights=narrow)
    report = compile_for(topology, made, only=("step", "read 64", "encode"))
    assert 0.5 * most < report.peak / GIB < most
    step = report.functions[0]
    assert step.temporary < 0.05 * report.resident  # no copies of weights or cache


@pytest.mark.slow
def test_a_model_that_is_too_large_is_refused_by_the_compiler():
    pytest.importorskip("libtpu")
    made = form_of(preset("gopher-280b"), "v5e:4x8", 4)
    with pytest.raises(DoesNotFit, match=r"step needs 1\d\.\d+G of the 15\.75G that a chip has"):
        compile_for("v5e:4x8", made, only=("step",))
