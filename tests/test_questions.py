"""Questions made by rule, and answers as sentences of a passage."""

import random

import pytest

from engine.training.grounded import UNANSWERED, Example, in_sentences
from engine.training.questions import COMMON, WORD, ask, questions_about

ASKED = {
    "The harbour was built in 1411 by the people of the town.": "When was the harbour built?",
    "The old mill was opened in 1411 by a miller.": "When was the old mill opened?",
    "The bell was cast by Anna of Brandt and hung there.": None,
    "The chapel was designed by Anna Brandt.": "Who designed the chapel?",
    "A heron is a long-legged bird of the shore.": "What is a heron?",
    "Anna Brandt was a painter from the islands.": "Who was Anna Brandt?",
    "The tower is 40 metres high.": "How high is the tower?",
    "A spider has eight legs.": "How many legs does a spider have?",
    "The lake has a shore of sand.": "What does the lake have?",
    "The lake has frozen twice.": "What does the lake have?",
    "Bees carry pollen between flowers.": "What do bees carry?",
    "Herons live in the reeds.": "Where do herons live?",
    "Anna Brandt invented the tide clock in 1911.": "When did Anna Brandt invent the tide clock?",
    "The wool is used for clothes.": "What is the wool used for?",
    "The lake is green because algae grow in it.": "Why is the lake green?",
}


@pytest.mark.parametrize(("sentence", "question"), ASKED.items())
def test_a_sentence_of_a_known_form_is_asked_about_as_a_person_would(sentence, question):
    found = questions_about(sentence)
    assert question in found if question else not found


def test_a_pronoun_is_asked_about_by_the_title():
    assert "When was Harbour (town) built?" not in questions_about("It was built in 1411.", "Hull")
    assert "When was Hull built?" in questions_about("It was built in 1411.", "Hull (town)")
    assert questions_about("It was built in 1411.") == []


@pytest.mark.parametrize(
    "sentence",
    [
        "Among its towers is a bell.", "There was a wall.", "Its walls are made of stone.",
        "Walls that are old were built in 1411.", "", "Stone", "Why was it built in 1411?",
    ],
)  # fmt: skip
def test_a_subject_that_points_elsewhere_is_not_asked_about(sentence):
    assert questions_about(sentence) == []


def test_a_sentence_without_informative_words_is_not_asked_about():
    assert ask("It is as it was.", "", random.Random(0)) is None


def test_words_strung_together_are_those_of_the_sentence():
    sentence = "Grey herons wait patiently among tall reeds."
    for seed in range(50):
        asked = ask(sentence, "", random.Random(seed))
        assert asked is not None
        said = {word.lower() for word in WORD.findall(sentence)}
        assert {word.lower() for word in WORD.findall(asked)} & said - COMMON


PASSAGE = "The harbour was dug in 1411. A wall of grey stone keeps the storms outside. Boats land."


@pytest.mark.parametrize(
    ("question", "answer", "sentence"),
    [
        ("What keeps the storms out?", "a wall of grey stone", PASSAGE[29:75]),
        ("When was it dug?", "1411", PASSAGE[:28]),
        ("What is the wall made of?", "It is a wall of stone, and grey.", PASSAGE[29:75]),
        ("Who dug it?", "Many patient people of the islands.", None),
    ],
)
def test_an_answer_becomes_the_sentence_that_says_most_of_it(question, answer, sentence):
    found = in_sentences(Example(PASSAGE, ((question, answer),)))
    assert (found and found.turns[0]) == (sentence and (question, sentence))


def test_what_is_not_answered_stays_as_it_is():
    example = Example(PASSAGE, (("Who was the mayor?", UNANSWERED),), answered=False)
    assert in_sentences(example) == example
