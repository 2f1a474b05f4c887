"""python app.py log evaluate-detectors, on a few of the cases."""

import json
import shutil

import pytest

from app.cli import main
from app.failures.labelled import CASES


@pytest.fixture
def few(tmp_path):
    for name in ("passages.json", "numbers.jsonl"):
        shutil.copy(CASES / name, tmp_path)
    return tmp_path


def test_the_table_has_counts_and_intervals(few, capsys):
    assert main(["log", "evaluate-detectors", "--cases", str(few)]) == 0
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("unsupported.number ")]
    assert "/" in row and "[" in row and row.split()[-1] in ("info", "warn", "alert")


def test_json_is_the_same_in_numbers(few, capsys):
    assert main(["log", "evaluate-detectors", "--json", "--cases", str(few)]) == 0
    told = json.loads(capsys.readouterr().out)["unsupported.number"]["held-out"]["precision"]
    low, high = told["interval"]
    assert told["value"] == told["hits"] / told["of"]
    assert low <= told["value"] <= high


def test_a_directory_without_cases_is_one_line_on_stderr(tmp_path, capsys):
    assert main(["log", "evaluate-detectors", "--cases", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: there are no labelled cases") and err.count("\n") == 1
