"""`python app.py train all`: from raw files to quantised weights that answer, in one command."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from app import training
from engine.card import read_card
from engine.local import LocalEngine
from engine.presets import PRESETS, preset
from engine.protocol import DoneEvent, Request, Sampling, Segment
from engine.training import command
from engine.training.fitting import Trial
from tests.bag import BagEmbedder
from tests.corpora import QUESTION, write

ROOT = Path(__file__).parents[1]
STAGE = {"steps": 400, "rate": 3e-3, "warmup": 2, "batch": 4, "chunks": 2}
RECIPE = {
    "preset": "toy", "base": "toy-gopher", "seed": 0, "vocab": 400, "characters": 20_000,
    "tokenizer": ["library.jsonl.xz"],
    "plain": [{"file": "library.jsonl.xz", "weight": 3}, {"file": "asked.jsonl.xz", "weight": 1}],
    "examples": [{"file": "library.jsonl.xz", "made": 20}],
    "pretrain": {**STAGE, "share": 2},
    "retrofit": {**STAGE, "found": 1.0, "accumulate": 2},
    "tune": STAGE,
}  # fmt: skip
LIMIT = 0.03  # MB a piece
SLOW = Trial(20.0, 0.0)  # seconds a step, as if measured
TRAINED = ("pretrain", "retrofit", "tune")


@pytest.fixture(scope="module")
def toys():
    """A small RETRO and its Gopher among the presets, and keys that need no encoder."""
    p = preset("tiny")
    assert p.retrieval
    small = replace(p.retrieval, layers=(1,), neighbour_tokens=256)
    toy = replace(p, name="toy", layers=1, chunk=128, context=1024, retrieval=small)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "toy", toy)
        patch.setitem(PRESETS, "toy-gopher", replace(toy, name="toy-gopher", retrieval=None))
        patch.setattr(training, "_embedder", lambda flags: BagEmbedder())
        patch.setattr(command, "try_steps", lambda *args, **named: SLOW)
        yield patch


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    articles = sorted((ROOT / "retrieval/library").rglob("*.md"))[:12]
    records = [{"title": a.stem, "text": a.read_text()} for a in articles]
    write(folder / "library.jsonl.xz", [*records, {"text": "Too short."}])
    questions = [{**QUESTION, "question": f"Who dug {i}?"} for i in range(40)]
    write(folder / "asked.jsonl", questions)
    return folder


@pytest.fixture(scope="module")
def train(toys, raw: Path):
    """train(work, *flags, **changes of the recipe) -> the exit status."""

    def run(work: Path, *flags: object, **changes: object) -> int:
        work.mkdir(exist_ok=True)
        (work / "recipe.json").write_text(json.dumps({**RECIPE, **changes}))
        words = ["train", "all", "--recipe", work / "recipe.json", "--corpus", raw]
        places = ["--work", work / "w", "--out", work / "out", "--pieces", LIMIT]
        return training.main([str(word) for word in (*words, *places, *flags)])

    return run


@pytest.fixture(scope="module")
def told(toys, train, tmp_path_factory) -> tuple[Path, list[str]]:
    """A directory in which all was told to end in the middle of RETROfitting, and run again: and
    what each of the two calls printed."""
    work, lines, steps = tmp_path_factory.mktemp("told"), [""], [0]

    def ending(self, row: dict) -> None:
        steps.append(row["step"])
        if steps[-1] < steps[-2] and len(lines) == 1:  # the first row of the second stage
            signal.raise_signal(signal.SIGTERM)

    def kept(line: object = "", **named: object) -> None:
        lines[-1] += f"{line}\n"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._Rows, "__call__", ending)
        patch.setattr(training, "print", kept, raising=False)
        assert train(work, "--minutes", 16) == 0
        lines.append("")
        assert train(work, "--minutes", 16) == 0
    return work, lines


def plans(work: Path) -> dict[str, dict]:
    return {name: json.loads((work / "w" / name / "plan.json").read_text()) for name in TRAINED}


@pytest.mark.slow
def test_raw_files_become_quantised_pieces_that_answer(told):
    work, _ = told
    card = read_card(work / "out")
    assert card["numbers"] == "int8" and len(card["pieces"]) > 1
    sizes = [path.stat().st_size for path in (work / "out").glob("weights*")]
    assert len(sizes) == len(card["pieces"]) and max(sizes) <= LIMIT * 1e6
    steps = {name: plan["steps"] for name, plan in plans(work).items()}
    assert steps == {name: card["training"][name]["steps"] for name in TRAINED}
    engine = LocalEngine.load(work / "out", "int8", 1)
    segment = Segment("USER: Who dug it?\nGOPHER:", ends_chunk=True)
    asked = Request((segment,), "", Sampling(max_tokens=5, seed=1), retrieve=False)
    *_, last = engine.generate(asked)
    engine.close()
    assert isinstance(last, DoneEvent) and last.reason in ("length", "stop")


@pytest.mark.slow
def test_steps_are_as_many_as_the_time_allows_and_the_cosine_ends_with_them(told):
    work, _ = told
    for plan in plans(work).values():
        assert 10 <= plan["steps"] < 60 and plan["recipe_steps"] == 400
        fits = plan["planned_for_seconds"] / SLOW.step
        assert 0.9 * fits - 1 <= plan["steps"] <= fits


@pytest.mark.slow
def test_what_is_finished_is_skipped_and_says_so(told, train, capsys):
    work, (first, second) = told
    assert "Stopped" in first and "tune:" not in first.split("stage ")[0]
    assert "pretrain: done before" in second and "retrofit: finished after" in second
    assert "Stopped" not in second and "python app.py --weights" in second
    assert train(work) == 0
    assert capsys.readouterr().out.count("done before") == 9


@pytest.mark.slow
def test_a_stopped_run_ends_as_one_run_of_the_same_plan(told, train, tmp_path):
    work, _ = told
    same = {
        name: {**RECIPE[name], "steps": plan["steps"], "warmup": plan["warmup"]}
        for name, plan in plans(work).items()
    }
    assert train(tmp_path, **same) == 0
    for name in TRAINED:
        one, two = (load_file(w / "w" / name / "weights.safetensors") for w in (work, tmp_path))
        assert one.keys() == two.keys()
        for array in one:
            np.testing.assert_array_equal(one[array], two[array], f"{name} {array}")
    shas = [read_card(w / "out")["sha256"] for w in (work, tmp_path)]
    assert shas[0] == shas[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"retrofit": {**RECIPE["retrofit"], "rate": 1e-4}}, {"seed": 1}]
)
def test_a_trained_directory_of_another_recipe_is_refused(told, train, capsys, changes):
    assert train(told[0], **changes) == 2
    assert "was trained by another recipe" in capsys.readouterr().err


def test_a_file_of_the_recipe_that_is_not_there_is_named_before_any_work(train, tmp_path, capsys):
    assert train(tmp_path, plain=[{"file": "books.jsonl.xz"}]) == 2
    error = capsys.readouterr().err
    assert "names books.jsonl.xz" in error and "asked.jsonl.xz, library.jsonl.xz" in error
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--pieces", "0"), "--pieces is 0.0"),
        (("--steps", "5"), "--steps is of one stage"),
        (("--card", "none.json"), "cannot read the card none.json"),
    ],
)
def test_flags_without_sense_are_refused(train, tmp_path, capsys, flags, problem):
    assert train(tmp_path, *flags) == 2
    assert problem in capsys.readouterr().err
