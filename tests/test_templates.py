"""prompts.templates: texts that are templates, what they render, and where a reply is cut off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.dialogue import DEFAULT, STOP, exchange, template_of
from prompts.templates import LIMIT, BadTemplate, Template, stop_of

texts = st.text(max_size=40)
words = st.text("abc {}:\n", max_size=12)
INSTRUCT = Template("Facts: {passage}\n\n\nAnswer.\nQ: {message}\nA:")


def as_it_was(message: str, passage: str = "", *, first: bool = True) -> str:
    """The prompt that the first weights were tuned on, before there were templates."""
    head = f"{passage}\n\n" if passage else ""
    return f"{'' if first else chr(10)}{head}USER: {message}\nGOPHER:"


@given(texts, texts, st.booleans())
def test_the_models_own_template_is_the_prompt_it_was_tuned_on(message, passage, first):
    assert exchange(message, passage, first=first) == as_it_was(message, passage, first=first)


def test_no_template_and_the_models_own_are_the_same():
    assert template_of("") == template_of(DEFAULT.text) == DEFAULT
    assert stop_of(DEFAULT) == STOP == ("\nUSER:",)


@given(texts, texts.filter(bool))
def test_braces_and_backslashes_in_what_is_put_in_stay_as_they_are(message, passage):
    rendered = INSTRUCT.render(message, passage)
    assert rendered == f"Facts: {passage}\n\n\nAnswer.\nQ: {message}\nA:"


def test_places_in_a_message_or_passage_are_not_filled():
    assert DEFAULT.render("{passage}", "{message}") == "{message}\n\nUSER: {passage}\nGOPHER:"


def test_without_a_passage_its_line_and_the_blank_lines_after_it_are_left_out():
    assert INSTRUCT.render("Why?") == "Answer.\nQ: Why?\nA:"
    below = Template("Be brief.\nRead “{passage}” first.\n \n\n{message}\nReply:")
    assert below.render("Why?") == "Be brief.\nWhy?\nReply:"


def test_a_passage_on_the_line_of_the_message_alone_is_left_out():
    assert Template("Say: {passage} {message}\n=").render("Why?") == "Say: Why?\n="


def test_a_template_without_a_place_for_a_passage_shows_none():
    assert Template("{message}\nA:").render("Why?", "Because.") == "Why?\nA:"


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("Q: {message}\nA:", ("\nQ:",)),
        ("Hello.\n  Me > {message}\nYou >", ("\n  Me >",)),
        ("{passage} Q: {message}\nA:", ("\n Q:",)),
        ("### Question\n{message}\n### Answer\n", ()),
        ("  {message}\nA:", ()),
    ],
)
def test_a_reply_is_cut_off_where_the_next_message_would_begin(text, stop):
    assert stop_of(Template(text)) == stop


@given(words, words)
def test_a_text_is_refused_or_ends_where_a_reply_begins(before, after):
    try:
        template = Template(before + "{message}" + after)
    except BadTemplate:
        return
    assert "{" not in before + after and "}" not in before + after
    assert template.render("Why?") == f"{before}Why?{after}"
    assert after.strip() and not after.endswith(" ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not have {message}"),
        ("USER: {message}\n{message} GOPHER:", "has 2 times {message}; give it exactly once"),
        ("{passage}{passage}{message}:", "has 2 times {passage}; give it at most once"),
        ("{message}\n{passage}\nGOPHER:", "{passage} after {message}"),
        ("USER: {mesage}\nGOPHER:", "has {mesage}; only {message} and {passage}"),
        ("{message} {0!r}:", "has {0!r}"),
        ("{{message}}:", "has {; only"),
        ("{message} }:", "has }"),
        ("USER: {message}", "ends with {message}"),
        ("USER: {message}\n \n", "ends with {message}"),
        ("{message}\nGOPHER: ", "ends in a space"),
        ("{message}\x00:", "U+0000 at character 9"),
        ("{message}:\r\n", "U+000D"),
        ("{message}:\ud800", "U+D800"),
        ("{message}:" + "x" * LIMIT, f"has 2,010 characters; the limit is {LIMIT:,}"),
    ],
)
def test_what_is_no_template_is_refused_with_the_reason(text, said):
    with pytest.raises(BadTemplate) as refused:
        template_of(text) if text else Template(text)
    assert said in str(refused.value)


def test_the_longest_template_is_one():
    text = "{message}:"
    assert Template(text.rjust(LIMIT, "x")).render("") == "x" * (LIMIT - len(text)) + ":"
