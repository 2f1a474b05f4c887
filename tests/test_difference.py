"""app.difference: where two replies part, by tokens and by words."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.difference import Span, alike, difference, word_spans

texts = st.lists(
    st.sampled_from(
        ["the", "harbour", "was", "dug", "1411.", "海", "水", "naïve", "🌊", "\n", "  "]
    )
).map(" ".join)


def outside(text: str, spans: tuple[Span, ...]) -> list[str]:
    """The words of a text that are in no span."""
    for start, end in reversed(spans):
        text = f"{text[:start]} {text[end:]}"
    return text.split()


@given(texts)
def test_equal_texts_have_no_differences(text):
    assert word_spans(text, text) == ((), ())
    assert word_spans(text, "  " + text.replace(" ", "\n")) == ((), ())


@given(texts, texts)
def test_what_is_in_no_span_is_the_same_in_both(a, b):
    spans_a, spans_b = word_spans(a, b)
    assert "".join(outside(a, spans_a)) == "".join(outside(b, spans_b))


@given(texts, texts)
def test_spans_begin_and_end_with_words_and_follow_one_another(a, b):
    for text, spans in zip((a, b), word_spans(a, b), strict=True):
        assert all(text[s:e] and text[s:e] == text[s:e].strip() for s, e in spans)
        assert all(before[1] < after[0] for before, after in pairwise(spans))


@given(texts, texts)
def test_nothing_that_only_one_text_has_is_outside_its_spans(a, b):
    spans_a, spans_b = word_spans(a, b)
    assert set(outside(a, spans_a)) <= set(b.split())
    assert set(outside(b, spans_b)) <= set(a.split())


def test_a_changed_word_is_marked_alone():
    a, b = "It was dug in 1411 by hand.", "It was built in 1411 by hand."
    ((start, end),), ((start_b, end_b),) = word_spans(a, b)
    assert (a[start:end], b[start_b:end_b]) == ("dug", "built")


def test_a_long_loop_is_compared_with_all_its_words():
    loop = "and then it rained again " * 100
    assert word_spans(loop, "So " + loop) == ((), ((0, 2),))


def test_the_first_differing_token_is_found_in_both_texts(toy_turn):
    a, b = toy_turn("The old harbour was dug."), toy_turn("The old harbour was dug.")
    assert difference(a.reply, b.reply).token is None
    longer = toy_turn("The old harbour was dug. Twice.")
    found = difference(a.reply, longer.reply)
    assert (found.token, found.at_a, found.at_b) == (5, 24, 24)
    assert longer.reply.text[slice(*found.spans_b[0])] == "Twice."


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_the_common_start_is_common_and_ends_where_they_part(a, b):
    n = alike(a, b)
    assert a[:n] == b[:n]
    assert n == len(a) or n == len(b) or a[n] != b[n]
