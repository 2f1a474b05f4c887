"""retrieval.database: passages come back as they were stored, and no word can break a search."""

import threading
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.protocol import Document
from tests.bag import word_offsets
from tests.shelf import add, opened

SCRIPT = "<script>alert('passage')</script> & \"quotes\" </div>"
DOCUMENTS = [
    Document("Planet", "planet.md", "A planet moves round a star. " * 40 + SCRIPT, "Space"),
    Document("Heron", "heron.md", "The heron waits in the reeds 😀. " * 20, "Living things"),
    Document("Loaf", "loaf.md", "Bread rises in the warm kitchen.", "Food"),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    directory = tmp_path_factory.mktemp("made")
    add(directory, DOCUMENTS)
    with opened(directory) as database:
        yield database


def test_a_passage_has_its_title_and_the_next_chunk_as_continuation(database):
    (planet,) = (e for e in database.documents() if e.title == "Planet")
    everything = database.neighbours(database.index.ids).values()
    mine = (n for n in everything if n.document_id == planet.id)
    found = sorted(mine, key=lambda n: n.position)
    assert len(found) == planet.chunks > 2
    for n, following in pairwise(found):
        assert (n.title, n.source) == ("Planet", "planet.md")
        assert (n.continuation, n.continuation_tokens) == (following.text, following.tokens)
        assert n.end == following.start
    assert (found[-1].continuation, found[-1].continuation_tokens) == ("", ())
    assert "".join(n.text for n in found) == DOCUMENTS[0].text


def test_tokens_and_offsets_come_back_as_they_were(database):
    (heron,) = (e for e in database.documents() if e.title == "Heron")
    text = DOCUMENTS[1].text
    ids = [id for id, _, _ in word_offsets(text)]
    found = database.neighbours(database.index.ids).values()
    parts = sorted((n for n in found if n.document_id == heron.id), key=lambda n: n.position)
    assert [id for n in parts for id in n.tokens] == ids
    assert all(n.text == text[n.start : n.end] for n in parts)


def test_html_in_a_passage_stays_verbatim(database):
    (found,) = database.neighbours(database.match(["alert"], 9)).values()
    assert SCRIPT in found.text


def test_ids_that_are_not_there_are_left_out(database):
    assert database.neighbours([-1, 0, 10**9]) == {}


def test_words_match_in_other_forms_and_in_the_title(database):
    assert database.match(["planets"], 3)
    (loaf,) = database.neighbours(database.match(["loaves", "loaf"], 9)).values()
    assert loaf.text == "Bread rises in the warm kitchen."


def test_frequency_counts_the_chunks_with_a_word(database):
    herons = [e.chunks for e in database.documents() if e.title == "Heron"]
    assert database.frequency("heron") == herons[0]
    assert database.frequency("zeppelin") == 0


@given(st.lists(st.text(), max_size=5))
@settings(deadline=None)
def test_no_word_can_break_the_search_syntax(database, words):
    database.match(words, 5)
    for word in words:
        database.frequency(word)


@pytest.mark.parametrize(
    "word",
    [
        '"',
        'a" OR "b',
        "NEAR(a b)",
        "title:a",
        "a*",
        "^a",
        "-a",
        "NOT",
        "(",
        "\0",
        "😀",
        "\ud83d",
        "",
    ],
)
def test_search_operators_are_only_words(database, word):
    assert database.match([word, "planet"], 50)


def test_several_threads_may_read_at_once(database):
    failures = []

    def read():
        try:
            for _ in range(20):
                assert database.neighbours(database.match(["star", "reeds"], 9))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_documents_are_listed_by_title(database):
    listed = [(e.title, e.source, e.topic) for e in database.documents()]
    assert listed == sorted((d.title, d.source, d.topic) for d in DOCUMENTS)
