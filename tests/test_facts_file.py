"""The questions about the library: app/evaluation/library.jsonl."""

from functools import cache

import pytest

from app.evaluation.facts import FILE, Fact, has, read_facts
from app.settings import ROOT
from retrieval.protocol import Document
from retrieval.readers import read


@cache
def articles() -> dict[str, str]:
    found = read(sorted((ROOT / "retrieval/library").glob("*.md")))
    return {found.title: found.text for found in found if isinstance(found, Document)}


@pytest.fixture(scope="module")
def facts() -> tuple[Fact, ...]:
    return read_facts(FILE)


def test_fifty_questions_are_about_fifty_articles_of_the_library(facts):
    titles = {fact.article for fact in facts}
    assert len(facts) == len(titles) == 50
    assert titles <= articles().keys()


def test_every_fact_stands_in_its_article(facts):
    lacking = [
        (fact.question, alternatives)
        for fact in facts
        for alternatives in fact.facts
        if not has(articles()[fact.article], (alternatives,))
    ]
    assert not lacking


def test_no_question_gives_its_answer_away(facts):
    given = [
        (fact.question, alternative)
        for fact in facts
        for alternatives in fact.facts
        for alternative in alternatives
        if has(fact.question, ((alternative,),))
    ]
    assert not given


def test_no_question_was_asked_to_find_thresholds(facts):
    asked = (FILE.parent / "questions.txt").read_text(encoding="utf-8").casefold().splitlines()
    assert not {fact.question.casefold() for fact in facts} & {line.strip() for line in asked}


@pytest.mark.parametrize(
    ("said", "alternative", "held"),
    [
        ("There are 8.", "8", True),
        ("It is 8,848 metres high.", "8", False),
        ("It weighs 1.8 tonnes.", "8", False),
        ("18 are known.", "8", False),
        ("KHUFU's tomb", "khufu", True),
        ("the warmth", "warm", False),
        ("about 15 million\ndegrees", "15 million", True),
    ],
)
def test_an_alternative_must_stand_at_word_boundaries(said, alternative, held):
    assert has(said, ((alternative,),)) == held


def test_every_list_must_have_an_alternative_in_the_reply():
    both = (("Tokyo",), ("Osaka", "Ōsaka"))
    assert has("From Tokyo to Osaka.", both) and not has("From Tokyo.", both)
