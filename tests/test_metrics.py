"""Metrics of training: rows in a file, none twice, and their picture."""

import json
import math
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from engine.training.metrics import NAME, add_row, go_on_after, read_metrics
from engine.training.plot import curves_of, plot_metrics
from engine.training.recipe import RecipeError

STAGES = ("pretrain", "retrofit", "tune")


def rows(count: int) -> list[dict]:
    return [
        {"step": 10 * i, "loss": 9.0 / i, "norm": 1.0, "tokens_per_second": 1000 + i}
        for i in range(1, count + 1)
    ]


def fill(directory: Path, count: int) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for row in rows(count):
        add_row(directory, row)
    return directory


def test_rows_come_back(tmp_path):
    assert read_metrics(fill(tmp_path, 3)) == rows(3)


def test_a_line_that_a_killed_run_did_not_finish_is_left_out(tmp_path):
    with open(fill(tmp_path, 2) / NAME, "a") as file:
        file.write('{"step": 30, "lo')
    assert read_metrics(tmp_path) == rows(2)


def test_going_on_drops_what_comes_again(tmp_path):
    with open(fill(tmp_path, 4) / NAME, "a") as file:
        file.write('{"step"')
    go_on_after(tmp_path, 25)
    add_row(tmp_path, {"step": 30, "loss": 1.0})
    assert read_metrics(tmp_path) == [*rows(2), {"step": 30, "loss": 1.0}]


def test_the_plot_shows_the_stages_that_have_rows(tmp_path):
    fill(tmp_path / "pretrain", 40)
    fill(tmp_path / "tune", 1)
    picture = plot_metrics(tmp_path, STAGES)
    text = picture.read_text()
    assert picture.name == "metrics.svg"
    assert "pretrain: loss" in text and "tune: loss" in text and "retrofit" not in text


def test_the_line_of_the_plot_falls_as_the_loss_does(tmp_path):
    fill(tmp_path / "pretrain", 40)
    tree = ElementTree.parse(plot_metrics(tmp_path, STAGES))
    line = tree.find(".//{*}polyline[@class='raw']")
    assert line is not None
    points = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    assert len(points) == 40
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(points))
    assert all(0 < x < 360 and 0 < y < 220 for x, y in points)


@pytest.mark.parametrize("loss", [math.nan, 0.0, 5.0, -3e-9])
def test_a_plot_is_drawn_of_any_numbers(tmp_path, loss):
    (tmp_path / "tune").mkdir()
    for step in (10, 20):
        add_row(tmp_path / "tune", {"step": step, "loss": loss})
    assert ElementTree.parse(plot_metrics(tmp_path, STAGES)).find(".//{*}text") is not None


def test_each_kind_of_batch_has_a_curve_of_its_own(tmp_path):
    (tmp_path / "tune").mkdir()
    for step in (10, 20, 30):
        losses = {"questions": 1.0, "plain": 5.0} if step > 10 else {"questions": 2.0}
        add_row(tmp_path / "tune", {"step": step, "loss": losses["questions"], "losses": losses})
    assert curves_of(tmp_path, STAGES) == {
        "tune, questions": [[10, 2.0], [20, 1.0], [30, 1.0]],
        "tune, plain": [[20, 5.0], [30, 5.0]],
    }
    text = plot_metrics(tmp_path, STAGES).read_text()
    assert "tune, questions: loss" in text and "tune, plain: loss" in text


def test_the_curves_of_a_card_are_short_and_keep_the_end(tmp_path):
    fill(tmp_path / "pretrain", 100)
    (curve,) = curves_of(tmp_path, STAGES, most=9).values()
    assert len(curve) <= 9 and curve[-1][0] == 1000
    assert all(a[1] > b[1] for a, b in pairwise(curve))


def test_a_plot_of_nothing_says_so(tmp_path):
    with pytest.raises(RecipeError, match="train a stage there first"):
        plot_metrics(tmp_path, STAGES)


def test_rows_are_one_object_a_line(tmp_path):
    lines = (fill(tmp_path, 2) / NAME).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]
