"""app.ui.catalogue and app.ui.uploading: what the corpus page is answered, whatever it sends."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.compose import Application
from app.records import Settings
from app.ui.catalogue import HITS, ROWS, WINDOW, Catalogue
from app.ui.uploading import Uploading
from engine.protocol import ChunkEvent, DoneEvent, Reply
from retrieval.protocol import Document
from retrieval.writer import drafting
from tests.shelf import document
from tests.terminal import ARTICLES


@pytest.fixture
def application(log, passages):
    application = Application(log, Settings())
    application.passages = passages
    yield application
    application.jobs.close()


@pytest.fixture
def catalogue(application):
    return Catalogue(application)


@pytest.fixture
def arrivals(tmp_path) -> Path:
    (tmp_path / "arrivals").mkdir()
    return tmp_path / "arrivals"


@pytest.fixture
def uploading(application, arrivals):
    return Uploading(application, lambda: arrivals)


def titles(answer: dict) -> list[str]:
    return [row["title"] for row in answer["rows"]]


# ----- the list


def test_documents_are_sorted_by_what_is_asked_for(catalogue, passages):
    passages.add([document("zebra", sentences=90), Document("apple", "a.md", "An apple.")])
    everything = {*ARTICLES, "Zebra", "apple"}
    assert titles(catalogue.documents({})) == sorted(everything, key=str.casefold)
    backwards = catalogue.documents({"sort": "title", "descending": True})
    assert titles(backwards) == sorted(everything, key=str.casefold, reverse=True)
    assert titles(catalogue.documents({"sort": "passages", "descending": True}))[0] == "Zebra"
    assert titles(catalogue.documents({"sort": "passages"}))[0] == "apple"


def test_a_filter_wants_all_words_in_title_source_or_topic(catalogue):
    assert titles(catalogue.documents({"filter": "BREAD"})) == ["Bread"]
    assert titles(catalogue.documents({"filter": "village bread.md"})) == ["Bread"]
    nothing = catalogue.documents({"filter": "village nowhere"})
    assert (nothing["rows"], nothing["found"], nothing["total"]) == ([], 0, len(ARTICLES))


def test_pages_hold_every_document_once(catalogue, passages):
    count = ROWS + 5
    passages.add([document(f"number {i:03}", f"Short text {i}.") for i in range(count)])
    pages = [catalogue.documents({"filter": "number", "page": page}) for page in range(2)]
    assert [page["first"] for page in pages] == [0, ROWS]
    assert len({title for page in pages for title in titles(page)}) == count
    beyond = catalogue.documents({"filter": "number", "page": 10**9})
    assert (beyond["page"], beyond["pages"]) == (1, 2)


def test_how_often_a_document_was_shown_comes_from_the_log(catalogue, passages, log, toy_turn):
    bread = passages.retrieve("Why does bread rise?", 1)
    events = [ChunkEvent(i, "q", tuple(bread), 0.0) for i in range(3)]
    log.save(toy_turn(reply=Reply.of([*events, DoneEvent("stop", 1, {})])))
    rows = catalogue.documents({"sort": "shown", "descending": True})["rows"]
    assert (rows[0]["title"], rows[0]["shown"]) == ("Bread", 3)
    assert {row["shown"] for row in rows[1:]} == {0}


# ----- one document


def test_a_long_document_is_sent_in_windows_that_meet(catalogue, passages):
    text = "One sentence follows another sentence here. " * 1500
    passages.add([Document("Long", "long.md", text)])
    (row,) = catalogue.documents({"filter": "long"})["rows"]
    assert row["passages"] > 3 * WINDOW
    whole, first = "", 0
    while first < row["passages"]:
        answer = catalogue.document({"id": row["id"], "first": first})
        assert [p["position"] for p in answer["list"]][:1] == [first]
        whole += "".join(p["text"] for p in answer["list"])
        first += len(answer["list"])
    assert whole == text


@pytest.mark.parametrize("place", [0, 1, 100, 10**9, -5])
def test_the_passage_that_is_asked_for_is_among_those_sent(catalogue, passages, place):
    passages.add([Document("Long", "long.md", "One sentence follows another. " * 1500)])
    (row,) = catalogue.documents({"filter": "long"})["rows"]
    sent = catalogue.document({"id": row["id"], "passage": place})["list"]
    assert min(max(place, 0), row["passages"] - 1) in [p["position"] for p in sent]
    assert len(sent) == WINDOW


def test_a_document_that_is_gone_is_said_to_be(catalogue):
    assert "is gone" in catalogue.document({"id": 10**9})["problem"]
    assert "gone already" in catalogue.remove({"id": 10**9})["problem"]


# ----- searching and removing


def test_a_search_ranks_what_the_model_would_be_shown_in_both_lists(catalogue, passages):
    answer = catalogue.search({"text": "Why does bread rise in the oven?"})
    shown = passages.retrieve("Why does bread rise in the oven?", 2)
    assert [hit["text"] for hit in answer["shown"]] == [n.text for n in shown]
    assert answer["shown"][0]["continuation"] == shown[0].continuation
    assert [hit["near"] for hit in answer["dense"]] == list(range(1, len(answer["dense"]) + 1))
    assert [hit["worded"] for hit in answer["lexical"]][:1] == [1]
    assert len(answer["dense"]) <= HITS and len(answer["lexical"]) <= HITS
    marked = {hit["shown"]: hit["title"] for hit in answer["dense"] if hit["shown"]}
    assert marked.items() <= {i: hit["title"] for i, hit in enumerate(answer["shown"], 1)}.items()


@pytest.mark.parametrize("text", ["", "   ", "?", '"OR* NEAR(', "x" * 10**6, "\0"])
def test_any_text_can_be_searched_for(catalogue, text):
    assert "problem" not in catalogue.search({"text": text})


def test_a_removed_document_is_in_no_answer(catalogue):
    (row,) = catalogue.documents({"filter": "bread"})["rows"]
    assert catalogue.remove({"id": row["id"]}) == {"removed": row["id"]}
    assert catalogue.documents({"filter": "bread"})["rows"] == []
    found = catalogue.search({"text": "Why does bread rise?"})
    everything = found["shown"] + found["dense"] + found["lexical"]
    assert "Bread" not in {hit["title"] for hit in everything}
    assert catalogue.counts()["documents"] == len(ARTICLES) - 1


def test_while_documents_are_added_none_can_be_removed_and_it_is_said_why(catalogue, passages):
    made = passages._made_with()
    with drafting(
        passages._options.passages,
        embedder=made["embedder"],
        tokenizer=made["tokenizer_fingerprint"],
    ):
        assert "being added" in catalogue.remove({"id": 1})["problem"]


def test_without_passages_every_answer_is_a_problem(log):
    catalogue = Catalogue(Application(log, Settings()))
    for ask in (catalogue.documents, catalogue.document, catalogue.search, catalogue.remove):
        assert "not loaded" in ask({"id": 1, "text": "x"})["problem"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("filter", "sort", "descending", "page", "id", "passage", "first", "text", "files")


@given(JSON | st.dictionaries(st.sampled_from(FIELDS), JSON))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_that_a_page_may_send_breaks_an_answer(catalogue, uploading, value):
    for ask in (catalogue.documents, catalogue.document, catalogue.search):
        assert isinstance(ask(value), dict)
    if not isinstance(value, dict) or not isinstance(value.get("id"), int):
        assert "gone" in catalogue.remove(value)["problem"]
    assert "problem" in uploading.add(value)
    assert uploading.drive(value) == {"job": None} or value == "resume"


# ----- uploading


def test_only_what_this_server_was_sent_can_be_added(uploading, arrivals, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("Keep out.")
    (arrivals / "link.txt").symlink_to(secret)
    paths = [secret, arrivals / "link.txt", arrivals / ".." / "secret.txt", arrivals, "\0", ""]
    for path in paths:
        answer = uploading.add({"files": [{"path": str(path), "name": "a.txt"}]})
        assert "have not arrived" in answer["problem"] and answer["job"] is None
    assert secret.read_text() == "Keep out."


def test_files_that_are_refused_do_not_stay_behind(uploading, arrivals):
    (arrivals / "x").mkdir()
    path = arrivals / "x" / "film.mp4"
    path.write_bytes(b"0")
    answer = uploading.add({"files": [{"path": str(path), "name": "film.mp4"}]})
    assert "“film.mp4” is not read; expected .txt" in answer["problem"]
    assert list(arrivals.iterdir()) == []


def test_an_added_file_can_be_followed_to_its_end(uploading, arrivals, application):
    path = arrivals / "ferry.txt"
    path.write_text("The ferry crosses the strait.")
    job = uploading.add({"files": [{"path": str(path), "name": "ferry.txt"}]})["job"]
    assert (job["files"], job["names"]) == (1, ("ferry.txt",))
    application.jobs._thread.join()
    job = uploading.look()["job"]
    assert (job["stage"], job["report"]["added"]) == ("done", 1)
    assert uploading.drive("dismiss") == {"job": None}


def test_what_cannot_be_done_with_the_job_is_a_sentence(uploading, application):
    application.passages = None
    answer = uploading.drive("resume")
    assert answer["problem"] == "The passages are still being loaded; try again in a moment."
