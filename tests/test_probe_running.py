"""Running the probe: what is shown and scored, and what is kept."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.probe import running
from app.probe.records import Cancelled, Plan, ProbeError
from app.probe.report import report_of
from app.probe.running import checked, config_of, parts_of, run
from app.probe.scoring import Instruments, Scorer
from app.records import Turn
from app.store.connection import LogError
from app.store.log import Log
from app.store.probes import Probes
from tests.e2e.scripted import offsets, passage
from tests.leaning import OTHER, SMALL, Leaning, found

Build = Callable[..., Turn]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch):
    both = {"small": SMALL, "other": OTHER}
    monkeypatch.setattr(running, "families", lambda: both)


@pytest.fixture
def engine() -> Leaning:
    return Leaning()


@pytest.fixture
def on(engine: Leaning) -> Instruments:
    return Instruments(engine, offsets, found, lambda: "d" * 64)


def go(on: Instruments, log: Log, plan: Plan, **given) -> dict:
    """Runs a plan; the report of the run."""
    plan, probes = checked(plan), Probes(log)
    id = run(on, probes, parts_of(plan), config_of(plan), plan.seed, **given)
    return report_of(probes.run(id), probes.parts(id))


def stop_after(count: int) -> Callable[[], bool]:
    left = iter([False] * (count - 1))
    return lambda: next(left, True)


# ----- what is shown and scored


def test_frozen_passages_are_those_of_the_neutral_form_for_every_term(engine, on, log: Log):
    go(on, log, Plan(("small",), ("frozen",)))
    titles = {(s.prompt[0].text, s.shown[0][0].title) for s in engine.seen}
    assert all("the one was" in title for _, title in titles)
    assert len(titles) == 8  # a sentence with each of two terms, and one title for both


def test_live_passages_are_those_of_the_sentence_itself(engine, on, log: Log):
    go(on, log, Plan(("small",), ("live",)))
    assert all(s.shown[0][0].title == s.prompt[0].text for s in engine.seen)


def test_off_shows_nothing_and_needs_no_passages(engine, log: Log):
    result = go(Instruments(engine, offsets), log, Plan(("small",), ("off",)))
    assert all(s.shown == ((),) for s in engine.seen)
    assert result["database"] == ""
    with pytest.raises(ProbeError, match="mode live shows passages, but there are none"):
        go(Instruments(engine, offsets), log, Plan(("small",), ("live", "off")))


def test_the_prompt_ends_a_chunk_and_both_continuations_follow_the_same_one(engine, on, log: Log):
    go(on, log, Plan(("small",), ("off",)))
    assert all(s.prompt[0].ends_chunk and len(s.prompt) == 1 for s in engine.seen)
    pairs = zip(engine.seen[::2], engine.seen[1::2], strict=True)
    assert all(a.prompt == b.prompt and a.tokens != b.tokens for a, b in pairs)


def test_a_leaning_of_the_model_is_found_with_its_size_in_every_mode_alone(on, log: Log):
    rows = go(on, log, Plan(("small",)))["rows"]
    assert [row["mode"] for row in rows] == ["frozen", "live", "off"]
    for row in rows:
        assert row["effect"] == pytest.approx(1, abs=0.2)
        assert (row["term"], row["against"], row["n"]) == ("red one", "blue one", 4)


def test_the_engine_scores_more_tokens_than_a_chunk_and_passages_matter(tiny):
    """With the real engine: chunks of 8 tokens, and a passage that changes what follows."""
    shown = replace(passage(0), tokens=(5, 6, 7), continuation_tokens=(8, 9))
    encode = tiny.tokenizer.encode_offsets
    text = " by the old harbour wall in the evening rain"
    off = Scorer(Instruments(tiny, encode), "off")
    live = Scorer(Instruments(tiny, encode, lambda query, k: [shown]), "live")
    assert len(encode(text)) > 8
    without = off.text("The heron stood", text, off.shown("The heron stood"))
    with_it = live.text("The heron stood", text, live.shown("The heron stood"))
    assert without.tokens == with_it.tokens == len(encode(text))
    assert without.nats < 0 and without.nats != pytest.approx(with_it.nats, abs=1e-4)
    again = off.text("The heron stood", text, ())
    assert again.nats == pytest.approx(without.nats, abs=1e-5)


# ----- what is kept


def test_a_run_is_kept_with_its_model_passages_scores_and_config(on, log: Log):
    result = go(on, log, Plan(("small",), ("frozen", "off"), seed=7))
    again = Probes(log)
    (kept,) = again.runs()
    assert (kept.id, kept.preset, kept.fingerprint) == (result["run"], "tiny", "f" * 64)
    assert (kept.database, kept.seed) == ("d" * 64, 7)
    assert kept.config["families"] == {"small": "1"}
    parts = again.parts(kept.id)
    assert [(p.family, p.mode, len(p.scores)) for p in parts] == [
        ("small", "frozen", 16), ("small", "off", 16),
    ]  # fmt: skip
    with log.reading("looking") as db:
        (row, _) = db.query("SELECT * FROM probed_effects ORDER BY mode")
        assert (row["model"], row["term"], row["templates"]) == ("tiny", "red one", 4)
        assert list(db.query("PRAGMA foreign_key_check")) == []


def test_the_same_plan_again_gives_the_same_numbers_in_a_run_of_its_own(on, log: Log):
    one, two = (go(on, log, Plan(("small",), ("off",), 3)) for _ in range(2))
    assert one["rows"] == two["rows"]
    assert one["run"] != two["run"]


def test_a_cut_off_run_is_taken_up_where_it_was(engine, on, log: Log):
    plan = Plan(("small", "other"), ("off",))
    with pytest.raises(Cancelled):
        go(on, log, plan, cancelled=stop_after(20))  # one part of 16 items, and 4 of the next
    assert [p.family for p in Probes(log).parts(Probes(log).runs()[0].id)] == ["small"]
    engine.seen.clear()
    places = []
    result = go(on, log, plan, report=places.append)
    assert len(engine.seen) == 2 * 16
    assert [p["family"] for p in result["parts"]] == ["small", "other"]
    assert (places[0].done, places[-1].done, places[-1].items) == (17, 32, 32)
    assert len(Probes(log).runs()) == 1


def test_another_plan_does_not_take_up_a_run_that_was_cut_off(on, log: Log):
    with pytest.raises(Cancelled):
        go(on, log, Plan(("small",), ("off",)), cancelled=stop_after(2))
    go(on, log, Plan(("small",), ("off",), seed=1))
    assert [run.finished is None for run in Probes(log).runs()] == [False, True]


def test_passages_that_change_meanwhile_end_the_run(engine, log: Log):
    states = iter("abcdefgh")
    on = Instruments(engine, offsets, found, lambda: next(states))
    with pytest.raises(ProbeError, match="the passages were changed"):
        go(on, log, Plan(("small",), ("live",)))
    assert Probes(log).parts(Probes(log).runs()[0].id) == []


def test_an_unknown_run_is_refused(log: Log):
    with pytest.raises(LogError, match="no run nowhere"):
        Probes(log).run("nowhere")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan((), ("off",)), "no family is chosen"), (Plan(("small",), ()), "no mode is chosen"),
        (Plan(("none",)), "no family 'none'"), (Plan(("small",), ("off",), -1), "seed is -1"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_run_is_refused(plan: Plan, said: str):
    with pytest.raises(ProbeError, match=said):
        checked(plan)
