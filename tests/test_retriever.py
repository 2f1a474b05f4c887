"""retrieval.retriever: queries bring the right passages, and always an answer."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.database import Database
from retrieval.index import ExactIndex
from retrieval.ingest import ingest
from retrieval.protocol import Document
from retrieval.retriever import Retriever
from retrieval.words import informative, stem, words
from tests.bag import BagEmbedder, word_offsets

FILLER = "It was seen by many and is told here at some length for the sake of length. "
DOCUMENTS = [
    Document("Mitochondrion", "m.md", FILLER * 4 + "It turns food into energy for the cell. " * 3),
    Document("Volcano", "v.md", "Molten rock erupts and ash falls on the fields. " * 40),
    Document(
        "Bridge", "b.md", FILLER * 3 + "An arch carries the load to both banks. " + FILLER * 3
    ),
    Document("Page", "p.md", "<b onclick=alert(1)>zebra</b> " + FILLER),
]


def database_of(directory, documents):
    embedder = BagEmbedder()
    kinds = {"tokenizer_fingerprint": "words", "embedder": embedder}
    ingest(documents, directory, encode_offsets=word_offsets, **kinds)
    return Database(directory, embedder=embedder, tokenizer="words")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with database_of(tmp_path_factory.mktemp("passages"), DOCUMENTS) as database:
        yield database


@pytest.fixture(scope="module")
def retrieve(database):
    return Retriever(database, BagEmbedder())


def test_the_title_counts_although_the_passage_does_not_name_it(retrieve):
    assert retrieve("What does a mitochondrion do?", 1)[0].title == "Mitochondrion"
    assert retrieve("Tell me about mitochondria.", 1)[0].title == "Mitochondrion"


def test_a_rare_word_beats_common_ones(retrieve):
    assert "arch" in retrieve("Is it seen at some length, the arch?", 1)[0].text


def test_neighbours_come_best_first_with_their_distance_and_overlap(retrieve):
    best, *_ = retrieve("molten rock and ash", 2)
    assert best.title == "Volcano"
    assert best.overlap == 1.0
    key = BagEmbedder()(["molten rock and ash", best.text])
    assert best.distance == pytest.approx(((key[0] - key[1]) ** 2).sum(), rel=1e-4)


def test_no_two_neighbours_show_the_same_place(retrieve):
    found = [n for n in retrieve("molten rock ash fields", 8) if n.title == "Volcano"]
    positions = sorted(n.position for n in found)
    assert len(positions) > 1
    assert all(b - a > 1 for a, b in pairwise(positions))


def test_a_lexical_hit_has_a_distance_as_well(tmp_path):
    crowd = [Document(f"D{i}", f"{i}", f"zebra stripes number {i}") for i in range(60)]
    odd = Document("Odd", "odd", "quagga " + "unrelated words follow in great number " * 8)
    with database_of(tmp_path, [*crowd, odd]) as database:
        (best,) = Retriever(database, BagEmbedder())("zebra stripes number quagga", 60)[-1:]
        found = Retriever(database, BagEmbedder())("zebra stripes number quagga", 1)
        assert all(n.distance is not None for n in (best, *found))


def test_dense_only_is_the_order_of_the_keys(database):
    query = "the load of molten rock"
    exact = ExactIndex(database.index.width)
    ids = np.sort(database.index.ids)
    exact.add(database.index.keys(ids), ids)
    distances, nearest = exact.search(BagEmbedder()([query]), 5)
    found = Retriever(database, BagEmbedder(), dense_only=True)(query, 5)
    assert [n.chunk_id for n in found] == nearest[0].tolist()
    assert [n.distance for n in found] == pytest.approx(distances[0].tolist(), rel=1e-4)


@pytest.mark.parametrize("dense_only", [False, True])
@pytest.mark.parametrize("query", ["the load of molten rock", "mitochondria", "zzz", "?", ""])
def test_a_search_shows_what_a_reply_would_be_shown_and_where_it_came_from(
    database, query, dense_only
):
    retriever = Retriever(database, BagEmbedder(), dense_only=dense_only)
    found = retriever.search(query, 2)
    assert list(found.shown) == list(retriever(query, 2))
    distances = [n.distance or 0.0 for n in found.dense]
    assert distances == pytest.approx(sorted(distances))
    scores = [score for _, score in found.lexical]
    assert scores == sorted(scores, reverse=True) and all(score >= 0 for score in scores)
    candidates = {n.chunk_id: n for n in found.dense} | {n.chunk_id: n for n, _ in found.lexical}
    assert all(candidates[n.chunk_id] == n for n in found.shown)


def test_lexical_hits_hold_the_words_that_are_named(retrieve):
    found = retrieve.search("the arch over molten rock", 2)
    assert set(found.words) <= {"arch", "molten", "rock"}
    assert found.lexical
    for n, score in found.lexical:
        assert score > 0 and {stem(w) for w in found.words} & {
            stem(w) for w in words(f"{n.title} {n.text}")
        }


def test_with_nearest_keys_alone_matching_words_are_found_but_not_shown(database):
    query = "mitochondrion banks"
    found = Retriever(database, BagEmbedder(), dense_only=True).search(query, 2)
    assert found.lexical
    assert found.shown == found.dense[:2]


@pytest.mark.parametrize("dense_only", [False, True])
@pytest.mark.parametrize(
    "query", ["", "  \n", "?", "the of and", "😀", "half \ud83d", '"(*', "x" * 1_000_000]
)
def test_any_query_gets_an_answer(database, query, dense_only):
    found = Retriever(database, BagEmbedder(), dense_only=dense_only)(query, 2)
    assert len(found) == (2 if query.strip() else 0)


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=50)
def test_no_text_can_break_a_search(retrieve, text):
    assert len(retrieve("volcano " + text, 2)) == 2


def test_k_bounds_the_answer(retrieve):
    assert retrieve("volcano", 0) == ()
    assert len(retrieve("volcano", 1)) == 1
    many = retrieve("volcano", 1000)
    assert len({n.chunk_id for n in many}) == len(many)


def test_an_empty_database_has_no_neighbours(tmp_path):
    with database_of(tmp_path, []) as database:
        assert Retriever(database, BagEmbedder())("anything", 2) == ()


def test_html_in_a_passage_arrives_verbatim(retrieve):
    assert retrieve("zebra", 1)[0].text.startswith("<b onclick=alert(1)>zebra</b>")


def test_another_embedder_than_the_database_was_made_with_is_refused(database):
    with pytest.raises(ValueError, match=r"other.*bag-of-words"):
        Retriever(database, BagEmbedder(fingerprint="other"))


def test_the_same_query_gets_the_same_answer(retrieve):
    assert retrieve("ash on the banks", 4) == retrieve("ash on the banks", 4)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("planet", "planets"),
        ("city", "cities"),
        ("box", "boxes"),
        ("branch", "branches"),
        ("dissolve", "dissolved"),
        ("spin", "spinning"),
        ("erupt", "erupts"),
        ("mitochondrion", "mitochondria"),
        ("bacterium", "bacteria"),
        ("store", "storing"),
        ("fall", "falling"),
    ],
)
def test_forms_of_a_word_share_their_stem(one, other):
    assert stem(one) == stem(other)


@pytest.mark.parametrize("word", ["gas", "this", "virus", "glass", "ring", "red", "sing"])
def test_endings_that_are_none_are_kept(word):
    assert stem(word) == word


def test_words_lose_case_accents_and_possessives_and_common_ones_do_not_inform():
    assert list(words("L'Été: the dog's BONE, don't!")) == ["l", "ete", "the", "dog", "bone", "don"]
    assert informative("What is the heart of a whale, the heart?") == ["heart", "whale"]
