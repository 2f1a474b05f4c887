"""retrieval.webpages: what a page says, without its markup."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.webpages import text_of

PAGE = """<!doctype html>
<html><head><meta charset=utf-8><title>Tides &amp; moons</title>
<style>p { color: red }</style><script>var a = "<p>no</p>"; if (a < 3) b();</script></head>
<body><!-- not <b>this</b> -->
<h1>The <em>tides</em></h1>
<p>The tide rises
   <b>twice</b> a day&nbsp;&#x2014; <a href="x.html" title="a > b">always</a>.
<p>It falls<br>as often.
<ul><li>high water<li>low water</ul>
<pre>at   noon
at   night</pre>
<svg><title>No</title><text>no</text></svg>
<template><p>no</p></template>
</body></html>
"""


def test_a_page_becomes_its_title_and_its_text_in_paragraphs():
    title, text = text_of(PAGE)
    assert title == "Tides & moons"
    assert text.split("\n\n") == [
        "The tides",
        "The tide rises twice a day — always.",
        "It falls\nas often.",
        "high water\nlow water",
        "at   noon\nat   night",
    ]


def test_without_a_title_the_first_heading_is_the_title():
    assert text_of("<h1>One</h1><h1>Two</h1>")[0] == "One"
    assert text_of("<p>Text.</p>") == ("", "Text.")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("", ""),
        ("5 < 6 & 7 > 6, I <3 you", "5 < 6 & 7 > 6, I <3 you"),
        ("<p>one<p>two", "one\n\ntwo"),
        ("<script>alert(1)</SCRIPT >after", "after"),
        ("<script>never ended", ""),
        ("before<!-- never ended", "before"),
        ("before<a href='never ended", "before"),
        ("<svg/>after", "after"),
        ("<svg><svg></svg>no</svg>after", "after"),
        ("<textarea><b>typed</b></textarea>", "<b>typed</b>"),
        ("<a b=c'd>text</a>", "text"),
        ("<title>one</title><title>two</title>text", "text"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", "<script>alert(1)</script>"),
        ("&#99999999999999999999999;&#x110000;&#0;", "\ufffd\ufffd\ufffd"),
        ("&#" + "9" * 10_000 + ";", "\ufffd"),
    ],
)
def test_odd_markup_is_read_as_a_browser_would(page, text):
    assert text_of(page)[1] == text


WORDS = st.text("abcé漢😀<>&'\"=/", min_size=1, max_size=8)
TAGS = st.sampled_from(["p", "b", "i", "div", "td", "h1", "h2", "pre", "li", "a href='x>y'"])


@given(st.lists(st.tuples(TAGS, WORDS, st.booleans()), max_size=12))
def test_every_word_between_tags_arrives_in_order(parts):
    page = "".join(
        f"<{tag}> {html.escape(word)} " + (f"</{tag.split()[0]}>" if closed else "")
        for tag, word, closed in parts
    )
    assert text_of(page)[1].split() == [word for _, word, _ in parts]


PIECES = [
    "<", "<a", "<!--", "<![", "<a b=", "<a b='", "<a b=\"'", "</", "<script>", "</script", "&#",
    "&", "<p>", "<svg>", "</svg>", "<title>x</title", "<h1>", "<pre>", "\n", "<a\n=",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_a_hostile_page_is_read_in_a_moment(piece):
    """It would hang for hours if the time grew with the square of the length."""
    text_of(piece * (100_000 // len(piece)))
    text_of(piece * (100_000 // len(piece)) + ">")
