"""prompts.dialogue: one form for training and for chat, cut off where the user's part begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.dialogue import ASSISTANT, STOP, USER, exchange

texts = st.text(max_size=40)


def test_an_exchange_ends_where_the_reply_begins():
    assert exchange("Why?") == "USER: Why?\nGOPHER:"


def test_a_passage_stands_before_the_message():
    assert exchange("Why?", "Because.") == "Because.\n\nUSER: Why?\nGOPHER:"


@given(texts, texts)
def test_later_exchanges_differ_by_a_line_break_alone(message, passage):
    assert exchange(message, passage, first=False) == "\n" + exchange(message, passage)


@given(texts, texts, st.booleans())
def test_message_and_passage_are_put_in_verbatim(message, passage, first):
    text = exchange(message, passage, first=first)
    assert text.endswith(f"{USER} {message}\n{ASSISTANT}")
    assert text.lstrip("\n").startswith(passage.lstrip("\n"))


@pytest.mark.parametrize("stop", STOP)
def test_a_stop_string_begins_every_later_exchange_without_a_passage(stop):
    assert exchange("And then?", first=False).startswith(stop)
    assert stop not in exchange("And then?")
