"""`python app.py eval`: the figures of the model card, measured, compared and written."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.evaluation.answers import Answer, intervals
from app.evaluation.bootstrap import share
from app.evaluation.command import with_what
from app.evaluation.effects import write_card
from app.evaluation.held import NothingToMeasure, cut
from app.evaluation.parts import Amount, Part, spread
from app.evaluation.quoted import MEANINGS, compare, figures_of, table
from app.evaluation.shown import Search
from app.ui.blocks import meaning_of
from app.ui.card import model_card
from retrieval.database import Database
from tests.bag import BagEmbedder, word_offsets
from tests.shelf import add, document, opened
from tests.terminal import ARTICLES


def interval(value: float, low: float | None, high: float | None) -> dict:
    return {"value": value, "low": low, "high": high}


RIGHT = {"what": "right", "way": "on", **interval(0.4, 0.3, 0.5)}

# ----- what is quoted and compared


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("eval", "eval card"),
        ("eval --quick --text FILE", "eval card --quick --text FILE"),
        ("eval facts FILE", "eval facts FILE"),
        ("eval --help", "eval --help"),
        ("ask eval", "ask eval"),
    ],
)
def test_without_what_the_card_is_measured(words, meant):
    assert with_what(words.split()) == meant.split()


def test_every_interval_of_a_part_becomes_a_figure():
    part = {
        "ways": [{"way": "on", "questions": 9, "bits_per_byte": interval(2, 1, 3), "more": None}],
        "rows": [{"sampling": "greedy", "way": "off", "seq_rep_4": interval(0, 0, 0)}],
        "used": {"used": interval(1, 1, 1), "beyond_random": interval(0.1, 0, 0.2)},
    }
    assert figures_of(part) == [
        {"what": "bits per byte", "way": "on", **interval(2, 1, 3)},
        {"what": "seq-rep-4", "way": "greedy, off", **interval(0, 0, 0)},
        {"what": "used beyond random", "way": "on", **interval(0.1, 0, 0.2)},
    ]


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.4, "within"), (0.3, "within"), (0.5, "within"), (0.29, "differs"), (0.51, "differs"),
     ("0.4", "not in the card"), (None, "not in the card"), (True, "not in the card")],
)  # fmt: skip
def test_a_value_of_the_card_lies_in_the_interval_or_differs(value, verdict):
    ((row, _, found),) = compare([RIGHT], {"rows": [{**RIGHT, "value": value}]})
    assert (row, found) == (RIGHT, verdict)


@pytest.mark.parametrize(
    "card", [None, "text", [], {}, {"rows": 7}, {"rows": [7, {"what": "right"}]}]
)
def test_a_card_of_another_shape_has_no_such_figure(card):
    assert [verdict for *_, verdict in compare([RIGHT], card)] == ["not in the card"]
    assert "not in the card" in "\n".join(table({"facts": [RIGHT]}, {"facts": card}))


@pytest.mark.parametrize("bound", [None, 0.3])
def test_one_document_or_some_that_agree_have_no_interval_to_lie_in(bound):
    row = {**RIGHT, **interval(0.3, bound, bound)}
    assert [verdict for *_, verdict in compare([row], {"rows": [RIGHT]})] == ["no interval"]


def test_figures_without_an_interval_may_be_the_same():
    row = {**RIGHT, **interval(0.4, 0.4, 0.4)}
    assert [verdict for *_, verdict in compare([row], {"rows": [RIGHT]})] == ["within"]


def test_the_table_says_what_differs():
    lines = table({"facts": [RIGHT]}, {"facts": {"rows": [{**RIGHT, "value": 0.9}]}})
    assert lines[2] == "| facts | right | on | 0.4 [0.3, 0.5] | 0.9 | differs |"
    assert lines[-1] == "of 1 figures: 1 differs"


def test_meanings_are_drawn_as_terms():
    assert {meaning_of(text)["kind"] for text in MEANINGS.values()} == {"terms"}


def test_a_share_of_cases_that_agree_has_an_interval():
    none = share([False] * 40)
    assert none and none.value == 0 and none.high == pytest.approx(0.0876, abs=1e-4)
    assert share([]) is None


def test_answers_are_counted_apart_where_the_passages_do_not_say():
    def answer(answered: bool, reply: str, f1: float) -> Answer:
        return Answer("none", "Why?", "", reply, answered, f1, 0.0)

    said = [answer(True, "the passages do not say", 0.0), answer(True, "So.", 0.5)]
    found = intervals([*said, answer(False, "The passages do not say.", 1.0)], 0)
    assert (found["f1"]["value"], found["declined"]["value"]) == (0.25, 0.5)
    assert found["rightly_declined"]["value"] == 1


# ----- articles of the library


def test_a_few_are_taken_from_all_of_a_list():
    assert spread(range(10), 4) == [0, 2, 5, 7]
    assert spread(range(3), 9) == [0, 1, 2]
    assert spread([], 3) == []


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Database:
    directory = tmp_path_factory.mktemp("shelf")
    add(directory, [document(name, sentences=60) for name in ("ant", "bee", "cow")])
    return opened(directory)


def test_a_document_is_shown_no_passage_of_its_own(shelf: Database):
    search = Search(shelf, BagEmbedder(), k=2, seed=3)
    titles = {entry.title: entry.id for entry in shelf.documents()}
    title, id = next((t, i) for t, i in titles.items() if "bee" in t.lower())
    held = cut(" ".join(f"Sentence {i} of bee says little." for i in range(30)), word_offsets, 8, 6)
    own = search.of(held, 0, figures=False)
    others = search.of(held, 0, figures=False, without=title)

    def shown(ways) -> set[int]:
        return {n.document_id for way in ways.values() for passages in way for n in passages}

    assert id in shown(own.ways) and id not in shown(others.ways)
    assert [len(passages) for passages in others.ways["k=2"]] == [0, 2, 2, 2, 2, 2]
    assert max(own.overlaps) > max(others.overlaps)


# ----- the command


@pytest.fixture
def card(terminal, tmp_path) -> Iterator[Path]:
    """The card of the terminal's weights, as it was before at the end."""
    path = terminal.options.weights / "card.json"
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    amount = Amount(2, 2, 1, 1, 2, 5, 1)
    monkeypatch.setattr("app.evaluation.card.QUICK", amount)
    file = tmp_path / "facts.jsonl"
    fact = {"question": "When was the harbour dug?", "article": "Harbour", "facts": [["1411"]]}
    file.write_text(json.dumps(fact))
    monkeypatch.setattr("app.evaluation.card.FILE", file)


def test_what_was_measured_is_written_and_measured_again(terminal, card, tmp_path, monkeypatch):
    small(monkeypatch, tmp_path)
    write_card(card.parent, {"evaluation": {"reading": "It is a toy.", "facts": {"rows": []}}})
    before = json.loads(card.read_bytes())
    ran = terminal("eval", "--quick", "--write")
    assert (ran.status, ran.err) == (0, "")
    assert "differs" not in ran.out and "not in the card" in ran.out
    after = json.loads(card.read_bytes())
    found = after.pop("evaluation")
    assert after == {k: v for k, v in before.items() if k != "evaluation"}
    assert set(found) == {"reading", "facts", "library", "repetition"}
    assert found["facts"]["command"] == "python app.py eval --quick"
    ran = terminal("eval", "--quick")
    assert "differs" not in ran.out and "not in the card" not in ran.out
    (section,) = [
        s for s in model_card(after | {"evaluation": found}, _ready())["sections"]
        if s["title"] == "How well it does"
    ]  # fmt: skip
    assert [b["caption"] for b in section["blocks"] if b["kind"] == "table"] == [
        "Facts", "Library", "Repetition",
    ]  # fmt: skip


def _ready():
    from app.compose import Status

    return Status("ready", "Ready")


@pytest.mark.slow
def test_files_that_are_given_are_measured_too(terminal, tmp_path, monkeypatch):
    small(monkeypatch, tmp_path)
    records = {
        "text": {"text": ARTICLES["Harbour"]},
        "wikitext": {"text": " = Tide = \n \n The <unk> rises .\n"},
        "lambada": {"text": "The boats land in the old harbour"},
        "answers": {"context": ARTICLES["Bread"], "question": "Why?", "answers": ["yeast"]},
    }
    words = []
    for name, record in records.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(record) + "\n")
        words += [f"--{name}", tmp_path / f"{name}.jsonl"]
    ran = terminal("eval", "--quick", *words)
    assert (ran.status, ran.err) == (0, "")
    parts = {line.split(" | ")[0] for line in ran.out.splitlines()}
    assert {f"| {name}" for name in (*records, "facts", "library", "repetition")} <= parts


def test_ctrl_c_tells_what_was_measured_and_leaves_the_card(terminal, card, monkeypatch):
    def rows():
        yield {}
        raise KeyboardInterrupt

    def summarise(rows):
        return {"ways": [{"way": "on", "right": interval(0.4, 0.3, 0.5)}]}

    parts = [Part("facts", 2, rows, summarise), Part("library", 2, rows, summarise)]
    monkeypatch.setattr("app.evaluation.card.parts_of", lambda *given: parts)
    before = card.read_bytes()
    ran = terminal("eval", "--write")
    assert ran.status == 130
    assert "| facts | right | on | 0.4 [0.3, 0.5] |" in ran.out and "library" not in ran.out
    assert ran.err == "ended early in facts; the card is as it was\n"
    assert card.read_bytes() == before


def test_a_card_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    (tmp_path / "card.json").write_text('{"preset": "tiny"}')
    monkeypatch.setattr("app.evaluation.effects.write_file", full)
    with pytest.raises(NothingToMeasure, match="No space left on device; it is as it was"):
        write_card(tmp_path, {"evaluation": {}})
    assert (tmp_path / "card.json").read_text() == '{"preset": "tiny"}'


def test_the_card_of_an_engine_elsewhere_is_not_written(terminal):
    ran = terminal("eval", "--write", "--engine", "http://127.0.0.1:9")
    assert "leave --engine away" in ran.problem


@pytest.mark.parametrize("flag", ["--text", "--answers"])
def test_a_file_that_cannot_be_measured_is_named_before_the_card_is(terminal, tmp_path, flag):
    assert "nowhere.jsonl" in terminal("eval", flag, tmp_path / "nowhere.jsonl").problem


def test_help_names_the_ways_to_measure(terminal):
    ran = terminal("eval", "--help")
    assert ran.status == 0
    assert all(f"\n    {what} " in ran.out for what in ("card", "facts", "report", "answers"))
    assert "within the measured 95 % interval" in " ".join(
        terminal("eval", "card", "-h").out.split()
    )
