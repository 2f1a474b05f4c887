"""Steps that fit into a time: fixed once, at most the recipe's, and kept."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.training.checkpoints import TrainingError
from engine.training.fitting import SPARED, Trial, fit
from engine.training.step import Plan

PLAN = Plan(1000, 1e-3, 100)


def by(seconds: float) -> float:
    return time.monotonic() + seconds


def fitted(directory: Path, seconds: float, trial: Trial, plan: Plan = PLAN) -> Plan:
    return fit(plan, directory, by(seconds), lambda: trial)


def test_as_many_steps_as_the_time_holds_without_its_start(tmp_path: Path):
    plan = fitted(tmp_path, 120, Trial(0.5, 20))
    assert plan.steps in (int(100 * (1 - SPARED) / 0.5) - 1, int(100 * (1 - SPARED) / 0.5))
    assert plan == replace(PLAN, steps=plan.steps, warmup=plan.steps // 10)


def test_never_more_than_the_recipe(tmp_path: Path):
    assert fitted(tmp_path, 1e6, Trial(0.5, 20)) == PLAN


def test_a_plan_is_kept_whatever_time_a_later_call_has(tmp_path: Path):
    plan = fitted(tmp_path, 120, Trial(0.5, 20))
    for when in (None, by(1), by(1e9)):
        assert fit(PLAN, tmp_path, when, lambda: pytest.fail("measured again")) == plan


def test_without_a_time_or_for_a_stage_that_was_begun_the_recipe_stays(tmp_path: Path):
    assert fit(PLAN, tmp_path, None, lambda: pytest.fail("measured")) == PLAN
    (tmp_path / "checkpoints").mkdir()
    assert fit(PLAN, tmp_path, by(60), lambda: pytest.fail("measured")) == PLAN
    assert not (tmp_path / "plan.json").exists()


def test_a_time_that_holds_hardly_a_step_is_refused(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"30 seconds are too few .* give more --minutes"):
        fitted(tmp_path, 30, Trial(5, 10))
    assert not (tmp_path / "plan.json").exists()


def test_a_plan_of_another_recipe_is_refused(tmp_path: Path):
    fitted(tmp_path, 120, Trial(0.5, 20))
    with pytest.raises(TrainingError, match="of the 1,000 steps of a recipe that has 2,000 now"):
        fitted(tmp_path, 120, Trial(0.5, 20), replace(PLAN, steps=2000))


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"steps": 3}), '{"steps": "x"}'])
def test_a_damaged_plan_is_named(tmp_path: Path, text: str):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(TrainingError, match=r"plan\.json is damaged"):
        fitted(tmp_path, 120, Trial(0.5, 20))
