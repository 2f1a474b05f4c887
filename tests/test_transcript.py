"""The transcript's text: shown exactly as it was, whatever it is."""

import html
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from app.ui.transcript import escape, unescape


class _Seen(HTMLParser):
    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.text, self.markup = "", []
        self.feed(text)
        self.close()

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.markup.append(tag)

    def handle_endtag(self, tag):
        self.markup.append(tag)

    def handle_comment(self, data):
        self.markup.append(data)

    def handle_decl(self, decl):
        self.markup.append(decl)

    handle_pi = unknown_decl = handle_comment


PIECES = (
    "<", ">", "&", "b", "/", "!", "?", "amp;", "#60;", "lt;", '"', "src=", "/file", " ", "🌊",
    "<img src=x>", "&amp;", "&lt;", "&quot;",
)  # fmt: skip
messages = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    st.lists(st.sampled_from(PIECES)).map("".join),
)


@given(messages)
def test_escaped_text_reads_as_it_was_typed(text: str):
    seen = _Seen(escape(text))
    assert (seen.text, seen.markup) == (text, [])
    assert html.unescape(escape(text)) == text
    assert unescape(escape(text)) == text


def test_text_without_markup_is_left_alone():
    text = "3 < 4 & 5 > 2; R & D, a/b <3"
    assert escape(text) == text
