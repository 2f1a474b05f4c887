"""app.failures.unsupported and support: what stands in no passage that was shown by then."""

import pytest

from app.failures import support, unsupported
from app.failures.protocol import NotApplicable
from app.records import Turn
from tests.asked import passage, turn

HARBOUR = "The harbour was dug in 1411 by the guild of masons of Melby under Ole Brandt."
GEESE = "Migrating geese take turns at the front of the flock, where flying is hardest."


def found(asked: Turn) -> list[tuple[str, str]]:
    return [(f.kind.removeprefix("unsupported."), f.quote) for f in unsupported.find(asked)]


def test_a_number_names_those_that_the_passages_have():
    (finding,) = unsupported.find(turn("It was dug in 1633.", HARBOUR))
    assert (finding.kind, finding.quote) == ("unsupported.number", "1633")
    assert "Numbers there: 1411." in finding.explanation
    assert finding.evidence["numbers_in_passages"] == ["1411"]


def test_many_numbers_of_a_sentence_are_one_finding():
    asked = turn("Primes: 3, 5, 7, 11 and 13 of 1411.", HARBOUR)
    assert found(asked) == [("number", "3, 5, 7, 11 and 13")]


def test_names_that_follow_each_other_are_one_finding():
    assert found(turn("It was dug by Karl Lind in 1411.", HARBOUR)) == [("name", "Karl Lind")]


def test_half_a_name_is_found_alone():
    assert found(turn("It was dug under Ole Lind.", HARBOUR)) == [("name", "Lind")]


@pytest.mark.parametrize(
    "reply",
    ["It was dug in 1411.", "In the fifteenth century Brandt dug it.", "The Melby harbour is old.",
     "The masons' guild dug it.", "Ole did."],
)  # fmt: skip
def test_what_the_passage_has_in_other_forms_is_not_found(reply: str):
    assert found(turn(reply, HARBOUR)) == []


def test_what_the_message_says_is_not_found():
    message = "Did Karl Lind dig it in 1633?"
    assert found(turn("Karl Lind in 1633? No.", HARBOUR, message=message)) == []


def test_the_passage_in_the_prompt_counts():
    assert found(turn("It was dug in 1411.", GEESE, passage=HARBOUR)) == []


def test_a_passage_counts_from_where_it_was_shown():
    reply = "It was dug in 1411. The year 1411 was dry."
    early = found(turn(reply, GEESE, later={len("It was dug in 1411."): HARBOUR}))
    assert early == [("number", "1411")]
    assert found(turn(reply, HARBOUR, later={10: GEESE})) == []


def test_a_sentence_of_other_words_is_found_with_its_share():
    reply = "It is old. Tourists photograph puffins from wooden balconies every summer evening."
    (finding,) = unsupported.find(turn(reply, HARBOUR))
    assert (finding.kind, finding.start) == ("unsupported.coverage", 11)
    assert finding.score == 1 >= finding.threshold
    assert "puffin" in finding.evidence["absent"]


def test_a_sentence_that_declines_claims_nothing():
    reply = "The passages do not say whether Ole Brandt dug wells, canals, mines, moats or tunnels."
    assert found(turn(reply, HARBOUR)) == []


def test_words_of_another_language_are_not_compared():
    reply = "Der Hafen wurde von Maurern gegraben, und viele Leute kamen jeden Sommer zum Fest."
    assert found(turn(reply, HARBOUR)) == []


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (turn("It was dug in 1633."), "no passage was shown"),
        (turn(" ", HARBOUR), "the reply is empty"),
        (turn("In 1633 a whale sang.", HARBOUR, message="Write a poem."), "something made up"),
    ],
)
@pytest.mark.parametrize("detector", [unsupported, support])
def test_a_turn_that_has_nothing_to_compare_is_skipped(detector, asked: Turn, why: str):
    with pytest.raises(NotApplicable, match=why):
        detector.find(asked)


def test_a_sentence_of_two_documents_is_scattered():
    reply = "The guild of masons take turns at the front of the flock and dug geese in the harbour."
    harbour, geese = passage(HARBOUR, "Harbour"), passage(GEESE, "Geese", 2)
    (finding,) = support.find(turn(reply, harbour, geese))
    assert (finding.kind, finding.severity, finding.quote) == ("support.scattered", "info", reply)
    assert finding.evidence["documents"] == 2


def test_passages_of_one_document_are_not_scattered():
    reply = "The guild of masons take turns at the front of the flock and dug geese in the harbour."
    assert support.find(turn(reply, passage(HARBOUR, "All"), passage(GEESE, "All", 2))) == []


def test_a_reply_that_circles_is_told_once():
    assert found(turn("It was dug in 1633. " * 5, HARBOUR)) == [("number", "1633")]
