"""Checkpoints of training: the last two, each whole, each of one run."""

import json
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from engine.training.checkpoints import Checkpoints, TrainingError
from engine.training.metrics import read_metrics

ROOT = Path(__file__).parents[1]
MADE_OF = {"preset": "tiny", "tokenizer": "ab12", "steps": 30, "rematerialise": False}


def state(value: float) -> dict:
    return {"weights": {"a.kernel": jnp.full((3, 2), value)}, "optimiser": (jnp.int32(7),)}


def expected() -> dict:
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state(0.0)
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A run's directory with three checkpoints written."""
    directory = tmp_path_factory.mktemp("run")
    checkpoints = Checkpoints(directory, MADE_OF)
    for step in (10, 20, 30):
        checkpoints.save(step, state(float(step)))
    return directory


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "run"))


def steps(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_the_last_two_are_kept_and_the_newest_comes_back(run):
    assert steps(run) == ["20", "30"]
    found = Checkpoints(run, MADE_OF).restore(expected())
    assert found is not None and found[0] == 30
    np.testing.assert_array_equal(found[1]["weights"]["a.kernel"], np.full((3, 2), 30.0))


@pytest.mark.parametrize(
    ("name", "value"), [("preset", "retro-44m"), ("tokenizer", "cd34"), ("steps", 40)]
)
def test_one_of_another_run_is_refused_by_what_differs(run, name, value):
    with pytest.raises(TrainingError, match=f"{name} {MADE_OF[name]!r}, now {value!r}"):
        Checkpoints(run, {**MADE_OF, name: value}).restore(expected())


def test_what_is_remembered_in_a_step_may_differ(run):
    assert Checkpoints(run, {**MADE_OF, "rematerialise": True}).restore(expected()) is not None


def test_what_a_killed_run_left_unfinished_is_removed(run):
    shutil.copytree(run / "checkpoints/30", run / "checkpoints/40.orbax-checkpoint-tmp")
    assert Checkpoints(run, MADE_OF).last == 30
    assert steps(run) == ["20", "30"]


def test_a_damaged_one_is_named_with_the_one_before(run):
    for path in (run / "checkpoints/30/state").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(TrainingError, match=r"checkpoints/30 is damaged .*go on from step 20"):
        Checkpoints(run, MADE_OF).restore(expected())


def test_a_full_disk_leaves_the_last_one(run, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(5 << 20))
    checkpoints = Checkpoints(run, MADE_OF)
    with pytest.raises(TrainingError, match=r"step 40 .* 5 MB are free; that of step 30 is kept"):
        checkpoints.save(40, state(40.0))
    assert steps(run) == ["20", "30"]
    assert checkpoints.restore(expected()) is not None


def test_a_state_file_of_an_earlier_version_is_not_passed_over(tmp_path):
    (tmp_path / "state.safetensors").touch()
    with pytest.raises(TrainingError, match="earlier version"):
        Checkpoints(tmp_path, MADE_OF)


@pytest.mark.slow
def test_nothing_but_training_loads_orbax():
    check = (
        "import sys, app.training, app.compose, engine.local, engine.scoring, engine.checkpoint\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('orbax', 'tensorstore')])"
    )
    found = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr


def toy_run(directory: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tests.kill_training", str(directory), *words],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_killed_in_the_middle_goes_on_with_the_same_losses(tmp_path):
    assert toy_run(tmp_path / "whole").returncode == 0
    for moment in ("step 7", "writing 13"):
        killed = toy_run(tmp_path / "killed", *moment.split())
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert toy_run(tmp_path / "killed").returncode == 0
    rows = [
        [(row["step"], row["loss"], row["norm"]) for row in read_metrics(tmp_path / name)]
        for name in ("whole", "killed")
    ]
    assert [step for step, _, _ in rows[0]] == [10, 20]
    assert rows[0] == rows[1]
    digests = [json.loads((tmp_path / n / "digest.json").read_text()) for n in ("whole", "killed")]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_a_disk_that_fills_while_writing_leaves_the_last_one(tmp_path):
    failed = toy_run(tmp_path, "full", "5")
    assert failed.returncode == 3
    (line,) = failed.stderr.splitlines()
    assert "step 5 could not be written" in line and "step 4 is kept" in line
    assert steps(tmp_path) == ["3", "4"]
    assert toy_run(tmp_path).returncode == 0
