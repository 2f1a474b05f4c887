"""BBQ and Winogender from local files, and the command that runs the probe."""

import json
import lzma
from pathlib import Path

import pytest

from app.compose import Application
from app.probe import bbq, winogender
from app.probe.bbq import figures, question_of
from app.probe.files import Unfit, drawn, read_rows
from app.probe.records import ProbeError
from app.probe.report import lines_of
from app.probe.winogender import accuracies, sentence_of
from app.settings import Options
from prompts.probes import HERE, families, majorities
from tests.e2e.scripted import ScriptedEngine, offsets
from tests.terminal import Terminal

# ----- files


def question(**fields) -> dict:
    names = {"ans0": ["north", "North"], "ans1": ["no", "unknown"], "ans2": ["south", "South"]}
    row = {
        "category": "Towns",
        "context": "North met south.",
        "question": "Who ran?",
        "choices": ["North", "Nobody knows", "South"],
        "label": 1,
        "polarity": "neg",
        "condition": "ambig",
        "answer_info": names,
        "metadata": {"stereotyped_groups": ["North"]},
    }
    return {**row, **fields}


def test_a_biased_answer_names_the_group_where_it_is_bad_and_another_where_it_is_not():
    negative, other = question_of(question()), question_of(question(polarity="nonneg"))
    assert [negative.biased(pick) for pick in range(3)] == [True, False, False]
    assert [other.biased(pick) for pick in range(3)] == [False, False, True]


def test_the_scores_of_bbq_follow_their_formulas():
    clear = question_of(question(condition="disambig", label=2))
    vague = question_of(question())
    asked = [clear] * 10 + [vague] * 10
    picks = [0] * 6 + [2] * 2 + [1] * 2 + [0] * 3 + [2] * 1 + [1] * 6
    total, towns = figures(asked, picks, 0)
    assert total["s_dis"] == pytest.approx(2 * 6 / 8 - 1)
    assert total["s_amb"] == pytest.approx((1 - 0.6) * (2 * 3 / 4 - 1))
    assert (total["right_dis"], total["known_dis"], total["biased_dis"]) == (2, 8, 6)
    assert total["low_amb"] <= total["s_amb"] <= total["high_amb"]  # type: ignore
    assert towns == {**total, "category": "Towns"}
    assert figures([vague], [1], 0)[0]["s_amb"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"choices": ["one", "two"]}, "expected three texts"),
        ({"label": 3}, "expected 0, 1 or 2"),
        ({"polarity": "bad"}, "expected neg or nonneg"),
        ({"context": " "}, "expected a text"),
        ({"answer_info": {}}, "expected two texts"),
        ({"metadata": None}, "is missing"),
        ({"metadata": {"stereotyped_groups": ["East"]}}, "0 choices name a stereotyped group"),
    ],
)
def test_a_question_that_is_not_as_in_bbq_says_what_is_wrong(change: dict, said: str):
    with pytest.raises(Unfit, match=said):
        question_of(question(**change))


def sentence(id: str, text: str = "The nurse told the patient that she would wait.") -> dict:
    return {"id": id, "text": text}


@pytest.mark.parametrize(
    ("id", "gotcha"),
    [
        ("nurse.patient.0.female.txt", False), ("nurse.patient.1.female.txt", True),
        ("plumber.owner.0.female.txt", True), ("plumber.owner.1.female.txt", False),
        ("juggler.child.0.female.txt", None),
    ],
)  # fmt: skip
def test_a_gotcha_is_where_the_statistics_point_to_the_wrong_person(id: str, gotcha):
    assert sentence_of(sentence(id)).gotcha is gotcha


def test_accuracies_are_counted_by_pronoun_and_gotcha():
    ids = ("nurse.patient.0.female.txt", "nurse.patient.1.female.txt")
    sentences = [sentence_of(sentence(id)) for id in ids]
    rows = {row["group"]: (row["hits"], row["of"]) for row in accuracies(sentences, [0, 0])}
    assert rows["all"] == rows["female"] == (1, 2)
    assert rows["female, gotcha"] == (0, 1)
    assert rows["female, not gotcha"] == (1, 1)
    assert rows["male"] == (0, 0)
    assert rows["chose the occupation"] == (2, 2)


def test_no_occupation_has_both_majorities():
    found = json.loads((HERE / "terms.json").read_text())["majorities"]
    assert not set(found["women"]) & set(found["men"])
    assert majorities()["nurse"] == "female"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.xz"])
def test_a_line_that_does_not_fit_is_named_with_its_place_and_skipped(tmp_path: Path, name: str):
    lines = [
        json.dumps(sentence("nurse.patient.0.female.txt")), "", "{broken", '["no object"]',
        json.dumps(sentence("nurse.patient.female.txt")),
        json.dumps(sentence("nurse.patient.0.male.txt")), "\xff",
    ]  # fmt: skip
    data = "\n".join(lines).encode("latin-1")
    path = tmp_path / name
    path.write_bytes(lzma.compress(data) if name.endswith(".xz") else data)
    found = read_rows(path, sentence_of, winogender.EXPECTED)
    assert [s.id for s in found.rows] == ["nurse.patient.0.female.txt"]
    places = [line.removeprefix(f"{path}:").partition(":")[0] for line in found.skipped]
    assert places == ["3", "4", "5", "6", "7"]
    assert "no pronoun of gender male" in found.skipped[3]


@pytest.mark.parametrize("name", ["bbq", "winogender"])
def test_a_file_without_a_row_that_fits_is_refused_with_what_was_expected(
    tmp_path: Path, name: str
):
    part_of, expected = {
        "bbq": (bbq.part_of, "answer_info"), "winogender": (winogender.part_of, "participant"),
    }[name]  # fmt: skip
    path = tmp_path / "other.jsonl"
    path.write_text('{"text": "A document."}\n')
    with pytest.raises(ProbeError, match=f"no row that fits; expected .*{expected}.*other.jsonl:1"):
        part_of(path, "off", None, 0)
    path.unlink()
    with pytest.raises(ProbeError, match=r"cannot read .*No such file"):
        part_of(path, "off", None, 0)
    (tmp_path / "cut.xz").write_bytes(lzma.compress(b"{}")[:-9])
    with pytest.raises(ProbeError, match="cannot read"):
        part_of(tmp_path / "cut.xz", "off", None, 0)


def test_a_limit_draws_the_same_rows_for_a_seed_and_keeps_their_order():
    rows = tuple(range(100))
    assert drawn(rows, 10, 3) == drawn(rows, 10, 3) == tuple(sorted(drawn(rows, 10, 3)))
    assert drawn(rows, 10, 3) != drawn(rows, 10, 4)
    assert drawn(rows, None, 0) == drawn(rows, 500, 0) == rows


# ----- the command


def test_the_families_are_listed_without_a_model(terminal: Terminal):
    terminal.change(weights=Path("nowhere"))
    ran = terminal("probe", "--list")
    assert ran.status == 0
    assert all(name in ran.out for name in families())
    assert "24 templates, each with a neutral control" in ran.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--family", "horoscope"], "no family 'horoscope'; choose of agreement"),
        (["--mode", "on"], "no mode 'on'; choose of frozen, live, off"),
        (["--seed", "-1"], "the seed is -1"),
        (["--limit", "3"], "--limit is for --bbq and --winogender"),
        (["--bbq", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["--bbq", "x", "--mode", "frozen"], "nothing is swapped in a file"),
        (["--bbq", "x", "--family", "subject"], "runs of their own"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(terminal: Terminal, words, said: str):
    assert said in terminal("probe", *words).problem


def test_files_are_run_and_their_figures_printed(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def load(application: Application, options: Options) -> None:
        application.attach(ScriptedEngine(), None, encode_offsets=offsets)

    monkeypatch.setattr("app.compose.load", load)
    questions, sentences = tmp_path / "bbq.jsonl", tmp_path / "winogender.jsonl"
    questions.write_text(f"{json.dumps(question())}\nnot json\n")
    sentences.write_text(json.dumps(sentence("nurse.patient.0.female.txt")))
    ran = terminal("probe", "--bbq", questions, "--winogender", sentences, "--limit", 5, "--json")
    assert ran.status == 0
    assert f"skipped {questions}:2: not JSON" in ran.err
    found = json.loads(ran.out)
    assert [row["category"] for row in found["bbq"][0]["rows"]] == ["all", "Towns"]
    assert found["bbq"][0]["skipped"] == 1
    assert found["winogender"][0]["rows"][0]["of"] == 1
    assert found["limits"].startswith("This is about these templates")
    printed = "\n".join(lines_of(found))
    assert "BBQ, no passages; 1 lines skipped" in printed
    assert "s_DIS" in printed and "cannot tell" in printed
