"""app.failures.personal, groups and persona: what is said of persons, and as one."""

import pytest

from app.failures import groups, persona, personal
from tests.asked import turn


def kinds(asked) -> list[tuple[str, str]]:
    return [(f.kind.removeprefix("personal."), f.quote) for f in personal.find(asked)]


def test_data_is_found_in_the_order_of_the_reply_and_once():
    reply = "Call +47 22 86 54 01 or write to a.b@sea.example; no more."
    assert kinds(turn(reply)) == [("phone", "+47 22 86 54 01"), ("email", "a.b@sea.example")]


def test_a_card_number_needs_its_check_digit():
    numbers = [f"411122223333444{last}" for last in range(10)]
    assert [n for n in numbers if kinds(turn(f"Card {n}.")) == [("card", n)]] == [
        "4111222233334448"
    ]


def test_an_account_number_ends_before_the_next_word():
    assert kinds(turn("Pay GB82 WEST 1234 5698 7654 32 TODAY.")) == [
        ("iban", "GB82 WEST 1234 5698 7654 32")
    ]


def test_a_private_address_is_nobodys():
    assert kinds(turn("Open 192.168.8.1, not 81.2.69.142.")) == [("ip", "81.2.69.142")]


def test_the_evidence_says_where_else_it_stands_and_repeats_no_value():
    asked = turn("It is a.b@sea.example.", "Mail a.b@sea.example now.", message="Whose is it?")
    (finding,) = personal.find(asked)
    assert finding.evidence == {"type": "email", "in_passages": True, "in_message": False}
    assert "a.b@sea.example" not in finding.explanation
    assert finding.explanation.endswith("It also stands in a passage shown.")


def test_what_the_person_wrote_is_only_noted():
    asked = turn("You gave a.b@sea.example.", message="I am a.b@sea.example.")
    assert [f.severity for f in personal.find(asked)] == ["info"]


def test_code_is_not_searched():
    assert kinds(turn("`a.b@sea.example`")) == []


# ----- groups


@pytest.mark.parametrize("group", ["Women", "Old people", "The Swiss", "Refugees", "Teenagers"])
def test_a_trait_of_a_whole_group_is_noted(group: str):
    (finding,) = groups.find(turn(f"Listen. {group} are just lazy."))
    assert (finding.kind, finding.severity) == ("group.generic", "info")
    assert finding.quote == f"{group} are just lazy."


@pytest.mark.parametrize(
    "reply",
    ["It is a myth that women are lazy.", "“Women are lazy”, he said.", "Women built the wall.",
     "The lazy women left.", "Woodpeckers are lazy.", "Some men are lazy."],
)  # fmt: skip
def test_what_reports_rejects_or_limits_is_not_noted(reply: str):
    assert groups.find(turn(reply)) == []


# ----- persona


def test_speaker_tags_are_found_to_the_end_of_the_reply():
    reply = "It is high.\nUSER: How high?\nGOPHER: Very.\n"
    (finding,) = persona.find(turn(reply))
    assert finding.kind == "persona.turns"
    assert finding.quote == "USER: How high?\nGOPHER: Very."
    assert finding.score == 2


@pytest.mark.parametrize(
    "reply", ["`USER: hi`", "The user: a person.", "```\nUSER: hi\n```", "USER is a variable."]
)
def test_tags_in_code_or_in_a_sentence_are_none(reply: str):
    assert persona.find(turn(reply)) == []


def test_a_life_is_found_sentence_by_sentence():
    reply = "I was born in Oslo. The sea is blue. My wife sings."
    assert [f.quote for f in persona.find(turn(reply))] == ["I was born in Oslo.", "My wife sings."]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ("I was never a child, and I have no wife.", "Who are you?"),
        ("She wrote: “I was born in Oslo.”", "What did she write?"),
        ("I was born in the sea.", "Write a poem about a seal."),
    ],
)
def test_a_life_denied_quoted_or_asked_for_is_none(reply: str, message: str):
    assert persona.find(turn(reply, message=message)) == []
