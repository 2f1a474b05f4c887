"""The templates of the probe, and what follows from scores: effects and words."""

import hashlib
import json
import random
import re

import pytest

from app.probe.records import Measured, Run, Score, Scored
from app.probe.report import lines_of, reading, report_of
from app.probe.swaps import effects_of, swaps_of, terms_tested
from prompts.probes import CHECK, HERE, Family, Pair, Template, Terms, families

FAMILIES = list(families().values())
FINGERPRINTS = {  # of the files at version 1; a change needs a new version, in the file and here
    "agreement.json": "6c854c97fc8f",
    "occupation.json": "8527140c0268",
    "subject.json": "da8a0ac3606a",
    "sentiment.json": "d20723760451",
    "coreference.json": "b37067a361f2",
    "terms.json": "4a43ccda0b38",
}


# ----- templates


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_a_family_has_enough_templates_each_with_a_control_of_its_own(family: Family):
    templates = family.templates
    assert len(templates) >= 24
    for distinct in ("id", "prompt", "neutral"):
        assert len({getattr(t, distinct) for t in templates}) == len(templates)
    assert all(t.neutral != t.attribute for t in templates)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_every_sentence_is_whole_and_every_continuation_begins_with_a_space(family: Family):
    for swap in swaps_of(family):
        for sentence in (swap.prompt, swap.neutral):
            assert not re.search(r"[{}]|\s\s|\s$", sentence)
            assert sentence[0].isupper()
        assert swap.term.casefold() in swap.prompt.casefold()
        assert swap.first != swap.second
        assert all(re.fullmatch(r" \S(.*\S)?", text) for text in (swap.first, swap.second))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_the_same_continuations_are_scored_after_every_term(family: Family):
    pairs: dict[tuple, set] = {}
    for s in swaps_of(family):
        pairs.setdefault((s.template, s.terms, s.pair), set()).add((s.first, s.second, s.neutral))
    assert {len(found) for found in pairs.values()} == {1}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_every_list_of_terms_says_why_it_has_these(family: Family):
    for terms in family.lists:
        assert len(terms.terms) == len(set(terms.terms)) >= 2
        assert terms.neutral not in terms.terms
        assert len(terms.reason) > 40


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_file_of_templates_changes_only_with_its_version(name: str):
    data = json.loads((HERE / name).read_text(encoding="utf-8"))
    assert data["version"] == "1"
    found = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
    assert found == FINGERPRINTS[name]


def test_a_term_at_the_beginning_of_a_sentence_has_a_capital():
    template = Template("x", "{Term} met {first}.", Pair(" a", " b"), Pair(" c", " d"))
    assert template.render("my sister", template.attribute) == "My sister met a."


# ----- effects


def scored(family: Family, gap, seed: int = 0) -> list[Scored]:
    """Scores with noise; `gap(swap)` is how much likelier the first of a pair is."""
    rng = random.Random(seed)
    found = []
    for swap in swaps_of(family):
        noise = rng.gauss(0, 0.1)
        first, second = Score(gap(swap) + noise - 9, 2), Score(-9.0, 3)
        found.append(Scored(swap.template, swap.terms, swap.term, swap.pair, first, second))
    return found


def test_an_effect_is_what_a_term_moves_beyond_its_neutral_pairs():
    family = families()["subject"]

    def gap(swap) -> float:
        rare = 3.0 if swap.term == "she" else 0.0
        return rare + (1.0 if (swap.term, swap.pair) == ("she", "attribute") else 0.0)

    pronouns, relatives = effects_of(family, scored(family, gap), 0)
    assert (pronouns["term"], pronouns["against"], pronouns["n"]) == ("she", "he", 24)
    assert pronouns["attribute"] == pytest.approx(4, abs=0.1)
    assert pronouns["neutral"] == pytest.approx(3, abs=0.1)
    assert pronouns["effect"] == pytest.approx(1, abs=0.1)
    assert pronouns["p"] < 0.001 < relatives["p"]


def test_the_effects_of_a_list_are_against_the_mean_of_the_others():
    family = families()["occupation"]
    rows = effects_of(family, scored(family, lambda s: s.term == "nurse"), 0)
    assert [row["term"] for row in rows] == list(family.lists[0].terms)
    assert sum(row["effect"] for row in rows) == pytest.approx(0, abs=1e-9)


def test_a_list_turned_round_gives_the_opposite_effect():
    family = families()["coreference"]
    terms = family.lists[0]
    turned = Terms(terms.name, terms.title, terms.terms[::-1], terms.neutral, terms.reason)
    other = Family(**{**vars(family), "lists": (turned,)})
    scores = scored(family, lambda s: s.term == "he")
    ((one,), (two,)) = (effects_of(f, scores, 4) for f in (family, other))
    assert two["effect"] == pytest.approx(-one["effect"])
    assert two["per_token"] == pytest.approx(-one["per_token"])
    assert (two["low"], two["high"]) == pytest.approx((-one["high"], -one["low"]))


def test_of_two_terms_one_is_tested_because_the_other_mirrors_it():
    assert terms_tested(Terms("x", "", ("a", "b"), "c", "")) == ("a",)
    assert terms_tested(Terms("x", "", ("a", "b", "c"), "d", "")) == ("a", "b", "c")


# ----- words


def report(
    gap, name: str = "coreference", finished: str | None = "2026-01-02T00:00:00.000Z"
) -> dict:
    family = families()[name]
    rows = effects_of(family, scored(family, gap), 0)
    run = Run("r", "2026-01-01T00:00:00.000Z", finished, "tiny", "f" * 64, "", 0, {})
    return report_of(
        run, [Measured("r", family.name, "off", "1", run.created, 1.0, [], {"effects": rows})]
    )


def test_there_are_two_kinds_of_words_for_a_test():
    (differs,) = report(lambda s: s.term == "she" and s.pair == "attribute")["rows"]
    assert re.fullmatch(
        r"differs by \+\d\.\d\d nats \(\+\d\.\d\d to \+\d\.\d\d\)", differs["verdict"]
    )
    (cannot,) = report(lambda s: 0.0)["rows"]
    assert re.fullmatch(r"cannot tell \(would have seen ≥ \d\.\d\d nats\)", cannot["verdict"])


def test_a_report_says_what_it_is_about_and_gives_no_verdict_on_the_model():
    text = "\n".join(lines_of(report(lambda s: s.term == "she")))
    assert "these templates, this model and these passages only" in text
    assert not re.search(r"\b(un)?(fair|bias(ed)?)\b", text)


def test_where_the_check_finds_nothing_the_report_warns_of_its_silence():
    def leaning(nats: float) -> dict:
        return report(lambda s: nats * (s.pair == "attribute") * ("sister" in s.term), CHECK)

    assert "the language asks for (no passages)" in leaning(0.0)["warning"]
    assert "the language asks for (no passages)" in leaning(-5.0)["warning"]
    assert leaning(5.0)["warning"] == ""
    assert report(lambda s: 0.0)["warning"] == ""  # without the check


def test_a_run_that_was_cut_off_has_no_verdicts():
    (row,) = report(lambda s: s.term == "she", finished=None)["rows"]
    assert row["corrected"] is None
    assert row["verdict"].startswith("not finished")


def test_a_figure_whose_interval_has_chance_in_it_cannot_be_told_from_it():
    assert reading(0.4, 0.6, 0.5) == "cannot tell from 0.5"
    assert reading(0.6, 0.7, 0.5) == "above 0.5"
    assert reading(-0.9, -0.1, 0) == "below 0"
    assert reading(None, None, 0).startswith("cannot tell")
