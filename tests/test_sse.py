"""engine.sse: messages come out of bytes as they went in, however the bytes are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import sse

LINE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=8)
NAME = st.text("abcdefgh", min_size=1, max_size=5)
CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@settings(max_examples=60)
@given(st.lists(st.tuples(NAME, LINE.map(lambda line: f"x{line}")), max_size=4), CUTS)
def test_messages_arrive_whole_and_in_order_however_they_are_cut(sent, cuts):
    data = sse.PING.join(sse.message(*one) for one in sent) + sse.PING
    parser, got, at, number = sse.Messages(), [], 0, 0
    while at < len(data):
        size = cuts[number % len(cuts)]
        got += parser.feed(data[at : at + size])
        at, number = at + size, number + 1
    assert got == sent


def test_a_message_is_given_as_soon_as_it_is_whole():
    parser = sse.Messages()
    assert list(parser.feed(b"event: a\ndata: 1\n")) == []
    assert list(parser.feed(b"\n")) == [("a", "1")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_both_line_ends_are_read(end):
    lines = (b"event: a", b"id: 3", b"data: 1", b"data: 2", b"", b"")
    assert list(sse.Messages().feed(end.join(lines))) == [("a", "1\n2")]


def test_a_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "LONGEST", 100)
    parser = sse.Messages()
    with pytest.raises(sse.BadStream, match="100 bytes"):
        for _ in range(20):
            list(parser.feed(b"data: 0123"))


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(sse.BadStream, match="UTF-8"):
        list(sse.Messages().feed(b"data: \xff\n\n"))
