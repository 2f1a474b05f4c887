"""All stages in one call: what is skipped, what waits, and what is told, with stages that only
take time."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from engine.training import whole
from engine.training.command import Outcome, Workshop
from engine.training.corpus import CorpusError
from engine.training.origins import AFTER, TRAINED, Sources, keys_of
from engine.training.overrides import with_presets, with_stage
from engine.training.recipe import Recipe, RecipeError, Source, Stage, read_recipe
from engine.training.whole import Machine, Output, Whole
from tests.corpora import document, write

RECIPES = Path(whole.__file__).parent / "recipes"
STAGE = Stage(100, 1e-3, 10, 4)
RECIPE = Recipe(
    "retro-mini", "gopher-mini", 0, 400, 1000, ("a.jsonl.xz",), (Source("a.jsonl.xz"),),
    (Source("a.jsonl.xz"),), replace(STAGE, share=2.0), replace(STAGE, found=0.5), STAGE,
)  # fmt: skip


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@dataclass(frozen=True)
class Timed(Workshop):
    """Stages that take the seconds of `takes`, and leave behind how they were called."""

    clock: Clock = field(default_factory=Clock)
    takes: dict[str, float] = field(default_factory=dict)
    calls: list[tuple[str, float | None]] = field(default_factory=list)

    def _pass(self, name: str) -> str:
        self.clock.now += self.takes.get(name, 1.0)
        self.calls.append((name, self.by and self.by - self.clock.now))
        return "done"

    def _learn(self, name: str, seconds: float) -> Outcome:
        took = min(self.takes.get(name, 1.0), seconds)
        (self.work / name / "checkpoints").mkdir(parents=True, exist_ok=True)
        self.calls.append((name, self.by and self.by - self.clock.now))
        self.clock.now += took
        left = self.takes.get(name, 1.0) - took
        self.takes[name] = left
        return Outcome(left == 0, f"{name}: {'finished' if left == 0 else 'stopped'}")

    def tokenizer(self) -> str:
        return self._pass("tokenizer")

    def pack(self) -> str:
        return self._pass("pack")

    def examples(self) -> str:
        return self._pass("examples")

    def neighbours(self, embedder, progress) -> str:
        for done in range(1, 9):
            self.clock.now += self.takes.get("neighbours", 1.0) / 8
            progress("neighbours", done, 8)
        self.calls.append(("neighbours", None))
        return "done"

    def pretrain(self, seconds, report) -> Outcome:
        return self._learn("pretrain", seconds)

    def retrofit(self, seconds, report) -> Outcome:
        return self._learn("retrofit", seconds)

    def tune(self, seconds, report) -> Outcome:
        return self._learn("tune", seconds)

    def quantise(self, stage, directory, card, numbers, limit) -> str:
        directory.mkdir(exist_ok=True)
        (directory / "card.json").write_text(json.dumps(card))
        return self._pass("quantise")


Make = Callable[..., tuple[Whole, Timed, list[str]]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """make(takes, **changes of the recipe) -> the whole, its stages, and the lines it says."""
    clock = Clock()
    monkeypatch.setattr(whole, "time", clock)
    write(tmp_path / "raw/a.jsonl", [document(i) for i in range(3)])

    def build(takes: dict[str, float], **changes) -> tuple[Whole, Timed, list[str]]:
        lines: list[str] = []
        shop = Timed(
            replace(RECIPE, **changes), tmp_path, tmp_path / "w", lambda *a: "", None, None,
            clock, takes,
        )  # fmt: skip
        machine = Machine(lambda: None, lines.append, lambda row: None)  # type: ignore
        output = Output(tmp_path / "out", "int8", 15_000_000, {})
        return Whole(shop, Sources(tmp_path / "raw"), output, machine), shop, lines

    yield build


def test_all_stages_run_in_order_and_then_none(make: Make):
    run, shop, lines = make({})
    assert run(float("inf"))
    assert [name for name, _ in shop.calls] == [name for name in AFTER if name != "clean"]
    again, shop, lines = make({})
    assert again(float("inf")) and shop.calls == []
    assert sum("done before" in line for line in lines) == len(AFTER)


def test_without_a_limit_no_stage_is_planned_by_a_time(make: Make):
    run, shop, _ = make({})
    run(float("inf"))
    assert {by for name, by in shop.calls if name in TRAINED} == {None}


def test_trained_stages_have_the_time_that_is_left_in_their_shares(make: Make):
    run, shop, _ = make({"pack": 100, "pretrain": 400, "retrofit": 200, "tune": 150})
    assert run(900 + 3)  # three stages of files take a second each
    times = {name: by for name, by in shop.calls if name in TRAINED}
    assert times == {"pretrain": 400, "retrofit": 200, "tune": 200}


def test_a_stage_that_runs_into_the_limit_goes_on_in_the_next_call(make: Make):
    takes = {"pretrain": 250.0, "retrofit": 90.0, "tune": 90.0}
    run, shop, lines = make(takes)
    assert not run(204)
    assert "pretrain: stopped" in "\n".join(lines) and "Run it again" in lines[-1]
    again, shop, lines = make(takes)
    assert again(300)
    assert [name for name, _ in shop.calls] == [*TRAINED, "quantise"]


def test_a_stage_with_little_time_left_waits_for_the_next_call(make: Make):
    run, shop, lines = make({"pack": 500, "pretrain": 100})
    assert not run(900)
    assert [name for name, _ in shop.calls][-1] == "neighbours"
    assert any("begins in the next call" in line for line in lines)
    again, shop, _ = make({})
    assert again(900)


def test_neighbours_stop_at_the_limit_and_are_not_needed_without_found(make: Make):
    run, shop, lines = make({"neighbours": 100.0})
    assert not run(20)
    assert any("neighbours: stopped at the time limit" in line for line in lines)
    run, shop, lines = make({}, retrofit=STAGE)
    assert run(float("inf")) and "neighbours" not in [name for name, _ in shop.calls]
    assert any("neighbours: not needed" in line for line in lines)


def test_weights_are_written_even_where_training_took_all_the_time(make: Make):
    run, shop, lines = make({"pretrain": 100.0, "retrofit": 50.0, "tune": 50.0})
    assert run(204), lines
    assert shop.calls[-1][0] == "quantise"


def test_weights_that_were_removed_are_written_again(make: Make, tmp_path: Path):
    make({})[0](float("inf"))
    (tmp_path / "out/card.json").unlink()
    run, shop, _ = make({})
    assert run(float("inf")) and [name for name, _ in shop.calls] == ["quantise"]


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"smalltalk": 3}, {"examples", "tune", "quantise"}),
        ({"tune": replace(STAGE, rate=1e-4)}, {"tune", "quantise"}),
        ({"tune": replace(STAGE, share=9.0)}, set()),
        ({"neighbours": 3}, {"neighbours", "retrofit", "tune", "quantise"}),
        ({"seed": 2}, {"pack", "examples", "neighbours", *TRAINED, "quantise"}),
    ],
)
def test_a_stage_depends_on_its_part_of_the_recipe_and_on_the_stages_before(
    make: Make, tmp_path: Path, changes: dict, again: set
):
    make({})
    sources = Sources(tmp_path / "raw")
    before = keys_of(RECIPE, sources, ())
    after = keys_of(replace(RECIPE, **changes), sources, ())
    assert {name for name in AFTER if before[name] != after[name]} == again


def test_a_trained_stage_of_another_recipe_is_refused_until_it_is_removed(
    make: Make, tmp_path: Path
):
    make({})[0](float("inf"))
    with pytest.raises(RecipeError, match="tune was trained by another recipe"):
        make({}, smalltalk=3)
    (tmp_path / "w/tune/checkpoints").rmdir()
    (tmp_path / "w/tune").rmdir()
    run, shop, _ = make({}, smalltalk=3)
    assert run(float("inf"))
    assert [name for name, _ in shop.calls] == ["examples", "tune", "quantise"]


@pytest.mark.parametrize("preset_name", ["retro-44m", "retro-117m"])
def test_the_recipe_for_a_gpu_divides_every_kind_of_batch(preset_name: str):
    recipe = with_presets(read_recipe(RECIPES / "retro-44m.json"), preset_name)
    assert recipe.base == preset_name.replace("retro", "gopher") and recipe.vocab == 32_000
    for name in TRAINED:
        stage = getattr(with_stage(recipe, name, {}), name)
        sizes = [stage.batch, *([stage.batch // 2, stage.text] if name == "tune" else [])]
        assert [size % (stage.accumulate * stage.slices) for size in sizes] == [0] * len(sizes)
    tokens = recipe.pretrain.steps * recipe.pretrain.batch * recipe.pretrain.chunks * 64
    assert 0.6e9 <= tokens <= 1e9


@pytest.mark.parametrize("text", ["{", "[]", '{"pack": 3}', '{"pack": {"key": "a"}}'])
def test_a_damaged_ledger_is_named(make: Make, tmp_path: Path, text: str):
    (tmp_path / "w").mkdir()
    (tmp_path / "w/all.json").write_text(text)
    with pytest.raises(CorpusError, match=r"all\.json is damaged"):
        make({})
