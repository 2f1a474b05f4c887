"""The model card as the runs page shows it, for cards of every shape."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.compose import Status
from app.settings import ROOT
from app.ui.blocks import curves_of, fact, meaning_of, table
from app.ui.card import model_card
from engine.card import read_card
from engine.protocol import Info
from retrieval.manifest import Manifest

READY, LOADING = Status("ready", "Ready"), Status("loading", "Reading the library", 3, 10)
INFO = Info("retro-mini", 8_201_216, "f" * 64, "e" * 64, 1024, "Often wrong.")
MANIFEST = Manifest(7, "b" * 64, "e" * 64, 384, 104, 957, "d" * 64)
SHIPPED = read_card(ROOT / "engine/weights/retro-mini")


def blocks(card: dict, title: str) -> list[dict]:
    return next((s["blocks"] for s in card["sections"] if s["title"] == title), [])


def facts(card: dict, title: str) -> dict[str, str]:
    rows = [row for b in blocks(card, title) if b["kind"] == "facts" for row in b["rows"]]
    return {row["name"]: row.get("full", row["value"]) for row in rows}


def test_the_weakness_and_what_it_cannot_do_come_first():
    shown = model_card(SHIPPED, READY, INFO, MANIFEST)
    assert shown["weakness"] == "Often wrong."
    first = shown["sections"][0]
    assert first["title"] == "What it cannot do"
    assert first["blocks"][0]["items"] == SHIPPED["cannot"]


def test_everything_in_the_shipped_card_is_shown():
    shown = json.dumps(model_card(SHIPPED, READY, None, MANIFEST), ensure_ascii=False)
    said = SHIPPED["evaluation"]
    assert said["reading"] in shown
    for part in (said["answers"], said["text"]):
        assert json.dumps(part["command"]) in shown and json.dumps(part["data"]) in shown
    for text in (SHIPPED["note"], SHIPPED["skill"], SHIPPED["architecture"]):
        assert json.dumps(text, ensure_ascii=False) in shown
    for source in SHIPPED["data"]:
        assert source["source"] in shown and source["licence"] in shown
    for text in SHIPPED["training"].values():
        assert text in shown


def test_evaluation_rows_are_a_table_with_their_meanings_beside():
    found = blocks(model_card(SHIPPED, READY, INFO), "How well it does")
    first = next(b for b in found if b["kind"] == "table")
    rows = next(part["rows"] for part in SHIPPED["evaluation"].values() if "rows" in part)
    assert [c["name"] for c in first["columns"]] == list(rows[0])
    assert [row[0] for row in first["rows"]] == [next(iter(row.values())) for row in rows]
    meanings = next(b for b in found if b["kind"] == "terms")
    assert {"right", "declined", "found"} <= {row["name"] for row in meanings["rows"]}


def test_what_is_answering_comes_from_the_engine_and_fingerprints_are_whole():
    shown = facts(model_card(SHIPPED, READY, INFO, MANIFEST, "cpu, float32"), "What is answering")
    assert shown["Parameters"] == "8,201,216"
    assert shown["Context"] == "1,024 tokens" and shown["Chunk"] == "64 tokens"
    assert (shown["Weights"], shown["Tokenizer"]) == ("f" * 64, "e" * 64)
    assert shown["Runs on"] == "cpu, float32"
    passages = facts(model_card(SHIPPED, READY, INFO, MANIFEST), "The passages it is shown")
    assert (passages["Documents"], passages["Passages"]) == ("104", "957")
    assert (passages["Generation"], passages["Encoder"]) == ("7", "b" * 64)


def test_the_card_is_shown_before_the_model_is_ready():
    shown = model_card(SHIPPED, LOADING)
    assert shown["title"] == "retro-mini" and shown["weakness"] == SHIPPED["note"]
    assert shown["message"] == "Reading the library (3 of 10) …"
    assert facts(shown, "What is answering")["Runs on"] == "known when the model is loaded"
    assert "Known when" in blocks(shown, "The passages it is shown")[0]["text"]


def test_a_failure_says_why_and_nothing_is_said_to_be_loading():
    shown = model_card({}, Status("failed", "the weights have a flipped byte"))
    assert shown["message"].endswith("the weights have a flipped byte")
    assert "known when" not in json.dumps(shown).casefold()


@pytest.mark.parametrize("missing", list(SHIPPED))
def test_a_card_that_lacks_a_part_shows_the_rest(missing: str):
    card = {name: part for name, part in SHIPPED.items() if name != missing}
    whole = {s["title"] for s in model_card(SHIPPED, READY)["sections"]}
    assert len(whole - {s["title"] for s in model_card(card, READY)["sections"]}) <= 1


def test_thresholds_are_said_in_words_with_how_they_were_set():
    effects = {"used": 1.25, "hurt": -0.5, "copied": 6, "random gain": {"5%": -1.5, "95%": 2},
               "command": "python app.py eval effects"}  # fmt: skip
    found = blocks(model_card({"effects": effects}, READY), "When an effect has a word")
    words = {row["name"]: row["value"] for row in found[0]["rows"]}
    assert "likelier by more than 1.25 nats" in words["used"]
    assert "a run of 6 words" in words["copied"]
    assert "less likely by more than 0.5 nats" in words["hurt"]
    assert found[1]["rows"] == [{"name": "Random gain", "value": "5%: -1.5, 95%: 2"}]
    assert found[-1] == {"kind": "command", "text": "python app.py eval effects"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
parts = st.sampled_from(
    ("preset", "note", "cannot", "skill", "architecture", "parameters", "training", "evaluation",
     "data", "effects", "loss", "sha256")
)  # fmt: skip


@settings(max_examples=50)
@given(st.dictionaries(parts, values))
def test_a_card_of_any_shape_is_shown(card: dict):
    shown = model_card(card, READY)
    json.dumps(shown)
    assert all(section["blocks"] for section in shown["sections"])


# ----- blocks


def test_numbers_of_a_column_end_at_one_place_and_gaps_stay_empty():
    shown = table("t", [{"way": "a", "f1": 0.09, "n": 1200}, {"way": "b", "f1": 0.233}])
    assert shown["rows"] == [["a", "0.090", "1,200"], ["b", "0.233", ""]]
    assert [c["number"] for c in shown["columns"]] == [False, True, True]


def test_a_meaning_that_is_no_list_of_terms_stays_text():
    assert meaning_of("higher is better; mostly")["kind"] == "text"


def test_nothing_is_no_fact_but_zero_and_false_are():
    assert fact("a", None) is None and fact("a", "") is None
    assert fact("a", 0, "tokens") == {"name": "a", "value": "0 tokens"}
    assert fact("a", False) == {"name": "a", "value": "false"}


def test_a_fingerprint_among_the_facts_is_shortened():
    assert fact("Database", "ab" * 32) == {"name": "Database", "value": "ab" * 6, "full": "ab" * 32}


def test_a_loss_curve_needs_two_points_and_is_in_the_order_of_its_steps():
    assert curves_of({"tune": [[20, 3.0], [10, 4.0]]}) == [("tune", [(10.0, 4.0), (20.0, 3.0)])]
    assert curves_of([[0, 9.0], [5, 8]]) == [("", [(0.0, 9.0), (5.0, 8.0)])]
    assert curves_of([[0, 9.0]]) == curves_of({"a": "b"}) == curves_of(None) == []


def test_a_loss_curve_says_where_it_begins_and_ends():
    found = blocks(
        model_card({"loss": {"tune": [[0, 9.0], [1500, 2.5]]}}, READY), "How it was trained"
    )
    assert found[0]["text"] == "from 9.00 nats a token at step 0 to 2.50 at 1,500"
