"""Slots over a mesh: of one device here, and in other processes of eight and of two hosts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from engine.checkpoint import graph_of
from engine.protocol import Sampling
from engine.retro import Retro
from engine.sharded.loading import Arrays
from engine.sharded.programs import Form
from engine.sharding import serving_mesh
from engine.slots import Block, Draw, Step
from tests import toys
from tests.ports import free_port
from tests.sharded_serving import (
    WIDE,
    Line,
    Watched,
    blocks,
    defined,
    drive,
    largest_difference,
    lines,
    log_softmax,
)

ROOT = Path(__file__).parents[1]
GREEDY = Draw(Sampling(temperature=0), 0)


@pytest.fixture(scope="module")
def toy() -> toys.Toy:
    return toys.toy(WIDE)


@pytest.fixture(scope="module")
def slots(toy: toys.Toy) -> Watched:
    mesh = serving_mesh(jax.devices()[:1], WIDE.heads)
    return Watched(Form(WIDE, mesh, 8, WIDE.context), Arrays(toy.arrays))


def read(slots: Watched, line: Line, slot: int) -> list[np.ndarray]:
    """Logits after each block of what a line reads."""
    seen = slots.watch()
    for block in blocks(WIDE, line):
        slots.read(slot, block, GREEDY)
    return seen


@pytest.mark.slow
def test_reading_and_stepping_equal_the_full_pass(toy: toys.Toy, slots: Watched):
    expected = [defined(WIDE, toy, line) for line in lines(WIDE)]
    seen = slots.watch()
    drawn = drive(slots, WIDE, lines(WIDE), Sampling(temperature=0.8, seed=3))
    assert len(drawn) > 50
    assert largest_difference(drawn, seen, expected) < 2e-5


@pytest.mark.slow
def test_a_sequence_has_the_same_bits_whatever_the_other_slots_hold(slots: Watched):
    first, other = lines(WIDE)[0], lines(WIDE, seed=5)[1]
    step = Step(3, first.read, int(first.tokens[first.read]), GREEDY)
    alone = read(slots, first, 3)
    slots.step([step])
    read(slots, other, 2)
    beside = read(slots, first, 3)
    slots.step([Step(2, other.read, int(other.tokens[other.read]), GREEDY), step])
    assert len(alone) > 2
    assert np.array_equal(alone[:-1], beside[:-2])  # after each block
    assert np.array_equal(alone[-1], beside[-1])


@pytest.mark.slow
def test_what_rests_while_others_step_is_not_changed(slots: Watched):
    first, other = lines(WIDE)[:2]
    held = [np.asarray(a) for a in jax.tree.leaves(_of_slot(slots, first, 1))]
    slots.step([Step(4, 0, int(other.tokens[0]), GREEDY)])
    after = [np.asarray(a) for a in jax.tree.leaves(slots.cache(1, first.read, WIDE.context))]
    assert all(np.array_equal(a, b) for a, b in zip(held, after, strict=True))


def _of_slot(slots: Watched, line: Line, slot: int) -> Any:
    read(slots, line, slot)
    return slots.cache(slot, line.read, WIDE.context)


@pytest.mark.slow
def test_a_slots_cache_goes_on_in_the_model_as_it_is_defined(toy: toys.Toy, slots: Watched):
    from engine.decode import compile_decoding
    from engine.retro import Passages

    line = lines(WIDE)[1]
    cache = _of_slot(slots, line, 6)
    model = nnx.merge(graph_of(WIDE), slots.weights)
    assert isinstance(model, Retro)
    tables = compile_decoding(WIDE).tables(slots.weights, WIDE.context)
    token = line.tokens[line.read]
    none: Passages | None = None
    x, _, _ = jax.jit(model.step)(np.array([[token]]), cache, tables, none)
    expected = log_softmax(np.asarray(model.read(x[0, 0])))
    slots.watch()
    slots.step([Step(6, line.read, int(token), GREEDY)])
    assert np.abs(log_softmax(slots.seen[0]) - expected).max() < 2e-5


@pytest.mark.parametrize(
    ("slot", "at", "count", "told"),
    [(0, 0, 5, "it takes 1 to 4 tokens"), (0, 0, 0, "a block of 0 tokens"),
     (8, 0, 1, "slots 0 to 7"), (0, 23, 2, "up to position 23")],
)  # fmt: skip
def test_a_block_that_does_not_fit_is_refused(slots: Watched, slot, at, count, told):
    block = Block(at, np.zeros(count, np.int32), np.ones(count, bool))
    with pytest.raises(ValueError, match=told):
        slots.read(slot, block)


def test_a_slot_is_not_stepped_twice_at_once(slots: Watched):
    with pytest.raises(ValueError, match="give each of 0 to 7 once"):
        slots.step([Step(1, 0, 1, GREEDY), Step(1, 1, 1, GREEDY)])
    with pytest.raises(ValueError, match="not all below 24"):
        slots.step([Step(1, 24, 1, GREEDY)])


@pytest.mark.slow
def test_the_memory_is_written_in_place(slots: Watched):
    before = slots._memory.keys
    slots.step([Step(1, 0, 1, GREEDY)])
    assert before.is_deleted()


@pytest.fixture(scope="module")
def on_eight() -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-m", "tests.sharded_serving"], cwd=ROOT, capture_output=True, text=True,
        timeout=1800,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.slow
def test_eight_devices_give_what_the_model_gives_on_any_mesh(on_eight: dict[str, Any]):
    rows = on_eight["rows"]
    assert len(rows) == 6
    for row in rows:
        assert row["apart"] < 2e-5, row
        assert row["drawn"] == next(r for r in rows if r["model"] == row["model"])["drawn"]
        assert row["memory"] < 0.14, row  # of its bytes on one device; an eighth is 0.125
    shares = [row["weights"] for row in rows if row["model"] == "gopher"]
    assert shares[0] < 0.14 and 0.24 < shares[1] < 0.27 and shares[2] == 1


@pytest.mark.slow
def test_int8_weights_are_the_model_of_the_rounded_weights_and_an_int8_cache_is_near_it(
    on_eight: dict[str, Any],
):
    narrow = on_eight["narrow"]
    assert narrow["weights"] < 2e-5
    assert 1e-4 < narrow["cache"] < 0.1


@pytest.mark.slow
def test_two_hosts_write_the_same_tokens_as_one(on_eight: dict[str, Any]):
    address = f"127.0.0.1:{free_port()}"
    hosts = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.two_hosts", address, str(number)], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in (0, 1)
    ]  # fmt: skip
    try:
        told = [host.communicate(timeout=1200) for host in hosts]
    finally:
        for host in hosts:
            host.kill()
    assert [host.returncode for host in hosts] == [0, 0], told
    leading, following = (json.loads(out.splitlines()[-1]) for out, _ in told)
    retro = next(row for row in on_eight["rows"] if row["model"] == "retro")
    assert leading["drawn"] == retro["drawn"]
    assert following["calls"] > 20
    assert "2 hosts" in leading["device"]
