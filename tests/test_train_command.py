"""`python app.py train`: stages at toy size, other presets, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli import main
from engine.checkpoint import read_weights
from engine.presets import PRESETS, preset

ROOT = Path(__file__).parents[1]
STAGE = {"steps": 10, "rate": 3e-3, "warmup": 2, "batch": 4, "chunks": 2}
RECIPE = {
    "preset": "retro-mini", "base": "gopher-mini", "seed": 0, "vocab": 400, "characters": 20_000,
    "tokenizer": ["library.jsonl"], "plain": [{"file": "library.jsonl"}],
    "examples": [{"file": "library.jsonl", "made": 20}],
    "pretrain": STAGE, "retrofit": STAGE, "tune": STAGE,
}  # fmt: skip


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """`train(stage, *flags)` with a toy preset, its recipe and a few real articles."""
    p = preset("tiny")
    assert p.retrieval
    small = replace(p.retrieval, layers=(1,), neighbour_tokens=256)
    toy = replace(p, name="toy", layers=1, chunk=128, context=1024, retrieval=small)
    monkeypatch.setitem(PRESETS, "toy", toy)
    monkeypatch.setitem(PRESETS, "toy-gopher", replace(toy, name="toy-gopher", retrieval=None))
    articles = sorted((ROOT / "retrieval/library").rglob("*.md"))[:12]
    records = [{"title": a.stem, "text": a.read_text()} for a in articles]
    (tmp_path / "library.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))

    def run(stage: str, *flags: str) -> tuple[int, str, str]:
        places = ["--corpus", tmp_path, "--recipe", tmp_path / "recipe.json"]
        words = ["train", stage, *places, "--work", tmp_path / "work", *flags]
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return run


def test_a_mesh_that_does_not_fit_is_refused_before_anything_is_written(train, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    for name in ("tokens.bin", "tokenizer.model"):
        (work / name).write_bytes(bytes(100_000))
    status, out, error = train("pretrain", "--preset", "toy", "--mesh", "data=4,model=2")
    assert (status, out) == (2, "")
    assert error.startswith("error: ") and "is for 8 devices, this machine has 1" in error
    assert sorted(path.name for path in work.iterdir()) == ["tokenizer.model", "tokens.bin"]


def test_a_preset_that_does_not_exist_is_refused(train):
    status, _, error = train("pretrain", "--preset", "retro-45m")
    assert status == 2 and "no preset named 'retro-45m'" in error


def test_a_plot_of_nothing_is_refused(train):
    status, _, error = train("plot")
    assert status == 2 and "train a stage there first" in error


def test_a_machine_that_only_trains_needs_nothing_of_the_page(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n")
    words = ["train", "all", "--corpus", str(tmp_path), "--work", str(tmp_path / "w"), "--out", "o"]
    barred = ["gradio", "faiss", "sqlite_utils", "httpx", "starlette", "uvicorn", "tqdm", "PIL"]
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({barred}))\n"  # importing one is an ImportError now
        f"sys.argv[1:] = {words}\n"
        "from app.entry import main\n"
        "import retrieval.embedder\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the recipe names wikipedia.jsonl.xz")


def test_the_help_leads_through_all_stages_in_their_order(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = capsys.readouterr().out
    stages = ["clean", "tokenizer", "pack", "examples", "neighbours", "pretrain", "retrofit"]
    places = [told.index(f"  {stage} ") for stage in [*stages[1:], "tune", "quantise", "export"]]
    assert places == sorted(places) and told.index("app.py clean") < places[0]
    assert "app.py train all" in told


@pytest.mark.slow
def test_all_stages_run_and_are_plotted(train, tmp_path):
    toy = ("--preset", "toy")
    for stage in ("tokenizer", "pack", "examples"):
        assert train(stage, *toy)[0] == 0
    assert train("pretrain", *toy, "--time-limit", "0")[1].endswith("start it again to go on\n")
    faster = ("--accumulate", "2", "--compute", "bfloat16", "--rematerialise")
    status, _, error = train("pretrain", *toy, *faster)
    assert status == 2 and "accumulate 1, now 2; compute 'float32', now 'bfloat16'" in error
    assert train("pretrain", *toy)[0] == 0
    assert train("retrofit", *toy, *faster)[0] == 0
    status, out, _ = train("tune", *toy, "--steps", "20")
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines()[:-1]]
    assert [row["step"] for row in rows] == [10, 20]
    assert all(row["flops"] > 1e6 and row["share_of_peak"] == "unknown" for row in rows)
    assert rows[1]["loss"] < rows[0]["loss"]
    status, out, _ = train("quantise", *toy, "--out", str(tmp_path / "out"), "--pieces", "0.05")
    assert status == 0 and "MB of int8 in" in out
    assert read_weights(tmp_path / "out")[0]["numbers"] == "int8"
    assert train("plot")[0] == 0
    text = (tmp_path / "work/metrics.svg").read_text()
    assert all(f"{stage}: loss" in text for stage in ("pretrain", "retrofit", "tune"))
