"""app.passages: what can be looked at, added and removed while the application runs."""

from itertools import pairwise

import pytest

from app.passages import Passages
from retrieval.ingest import Cancelled
from retrieval.manifest import DatabaseBusy, DatabaseError
from retrieval.protocol import Document
from retrieval.writer import drafting
from tests.shelf import document
from tests.terminal import ARTICLES

FERRY = Document("Ferry", "ferry.md", "The ferry crosses the strait at noon with sheep. 🌊 " * 20)


def id_of(passages: Passages, title: str) -> int:
    (entry,) = (e for e in passages.documents() if e.title == title)
    return entry.id


def titles(passages: Passages) -> list[str]:
    return [entry.title for entry in passages.documents()]


def files_hold(passages: Passages, word: bytes) -> bool:
    directory = passages._options.passages
    return any(word in path.read_bytes() for path in directory.iterdir())


# ----- looking


def test_documents_are_listed_by_title_with_the_number_of_their_passages(passages):
    entries = passages.documents()
    assert [entry.title for entry in entries] == sorted(ARTICLES)
    for entry in entries:
        cut = passages.document(entry.id)
        assert entry.chunks == len(cut.bounds)
        assert (cut.document.title, cut.document.source) == (entry.title, entry.source)


def test_the_bounds_of_the_passages_tile_the_text_in_code_points(passages):
    passages.add([FERRY])
    cut = passages.document(id_of(passages, "Ferry"))
    assert cut.document == FERRY
    assert (cut.bounds[0][0], cut.bounds[-1][1]) == (0, len(FERRY.text))
    assert all(end == start for (_, end), (start, _) in pairwise(cut.bounds))
    shown = {n.position: n for n in passages.draw(999, 0) if n.title == "Ferry"}
    for position, (start, end) in enumerate(cut.bounds):
        assert shown[position].text == FERRY.text[start:end]


def test_a_passage_is_found_between_its_neighbours_by_its_place(passages):
    passages.add([FERRY])
    id = id_of(passages, "Ferry")
    texts = [FERRY.text[start:end] for start, end in passages.document(id).bounds]
    assert len(texts) > 2
    for position, text in enumerate(texts):
        found = passages.around(id, position)
        assert found.text == text
        assert found.before == (texts[position - 1] if position else None)
        assert found.after == (texts[position + 1] if position + 1 < len(texts) else None)
        assert found.chunks == len(texts)


def test_there_is_nothing_at_a_place_that_is_not_there(passages):
    id = id_of(passages, "Bread")
    assert passages.around(id, 10**6) is None
    assert passages.around(id, -1) is None
    assert passages.around(10**9, 0) is None
    assert passages.document(10**9) is None


def test_a_search_shows_both_lists_and_what_the_model_would_be_shown(passages):
    found = passages.search("Why does bread rise?", 2)
    assert found.shown == tuple(passages.retrieve("Why does bread rise?", 2))
    assert found.shown[0].title == "Bread"
    distances = [n.distance for n in found.dense]
    assert distances == sorted(distances)
    scores = [score for _, score in found.lexical]
    assert scores == sorted(scores, reverse=True) and scores[-1] >= 0
    assert {"bread", "rise"} >= set(found.words) > set()
    assert set(found.shown) <= {*found.dense, *(n for n, _ in found.lexical)}


# ----- changing


def test_what_is_added_is_there_at_once(passages):
    before = passages.fingerprint()
    report = passages.add([FERRY])
    assert report.added == 1
    assert passages.retrieve("a ferry with sheep", 1)[0].title == "Ferry"
    assert "Ferry" in titles(passages)
    assert passages.fingerprint() != before


def test_a_removed_document_is_not_shown_again_and_gone_from_the_files(passages):
    passages.add([FERRY])
    assert files_hold(passages, b"strait")
    passages.remove([id_of(passages, "Ferry")])
    assert all(n.title != "Ferry" for n in passages.retrieve("a ferry with sheep", 99))
    assert titles(passages) == sorted(ARTICLES)
    assert not files_hold(passages, b"strait")


def test_what_is_not_there_cannot_be_removed(passages):
    id = id_of(passages, "Bread")
    passages.remove([id])
    with pytest.raises(ValueError, match=f"no document {id}"):
        passages.remove([id])
    passages.add([FERRY])  # what was refused has left nothing locked


def test_a_second_writer_is_refused(passages):
    directory, kind = passages._options.passages, passages._made_with()
    tokenizer, embedder = kind["tokenizer_fingerprint"], kind["embedder"]
    with drafting(directory, tokenizer=tokenizer, embedder=embedder):
        for change in (lambda: passages.add([FERRY]), lambda: passages.remove([1])):
            with pytest.raises(DatabaseBusy, match="another process"):
                change()


class After:
    """Says that it is time to stop, once it was asked so many times."""

    def __init__(self, times: int):
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


MANY = [FERRY, *(document(f"number {i}") for i in range(6))]


def cancel(passages: Passages, times: int) -> None:
    with pytest.raises(Cancelled):
        passages.add(MANY, cancelled=After(times))


@pytest.mark.parametrize("times", [0, 3, len(MANY), len(MANY) + 1, len(MANY) + 2])
def test_a_cancelled_addition_changes_nothing_and_can_be_completed(passages, times, monkeypatch):
    monkeypatch.setattr("retrieval.ingest.BLOCK", 4)
    before = passages.fingerprint()
    cancel(passages, times)
    assert passages.fingerprint() == before
    assert passages.add(MANY).added == len(MANY)
    assert set(titles(passages)) == {*ARTICLES, *(d.title for d in MANY)}


def test_what_was_embedded_before_a_cancellation_is_not_embedded_again(passages, monkeypatch):
    monkeypatch.setattr("retrieval.ingest.BLOCK", 4)
    cancel(passages, len(MANY) + 3)
    seen = []
    passages.add(MANY, progress=lambda done, total: seen.append((done, total)))
    assert seen[0][0] >= 8
    assert seen[-1][0] == seen[-1][1]


def test_a_removal_does_not_finish_what_was_cancelled(passages, monkeypatch):
    monkeypatch.setattr("retrieval.ingest.BLOCK", 4)
    cancel(passages, len(MANY) + 3)
    embedded = passages._embedder.calls
    passages.remove([id_of(passages, "Bread")])
    assert titles(passages) == sorted(set(ARTICLES) - {"Bread"})
    assert passages._embedder.calls == embedded
    seen = []
    passages.add(MANY, progress=lambda done, total: seen.append((done, total)))
    assert seen[0][0] >= 8  # keys that were there before the removal
    assert set(titles(passages)) == {*ARTICLES, *(d.title for d in MANY)} - {"Bread"}


def test_a_removal_that_fails_does_not_lose_what_was_cancelled(passages, monkeypatch):
    monkeypatch.setattr("retrieval.ingest.BLOCK", 4)
    cancel(passages, len(MANY) + 3)

    def full(*_, **__) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("retrieval.draft.Draft.publish", full)
        for title in ("Bread", "Clock"):
            with pytest.raises(DatabaseError, match="No space left"):
                passages.remove([id_of(passages, title)])
    seen = []
    passages.add(MANY, progress=lambda done, total: seen.append((done, total)))
    assert seen[0][0] >= 8
    added = sorted(title for title in titles(passages) if title not in ARTICLES)
    assert added == sorted(d.title for d in MANY)


def test_a_removal_keeps_what_a_cancelled_addition_would_replace(passages):
    passages.add([FERRY])
    newer = Document("Ferry", "ferry.md", "No ferry crosses any more. " * 20)
    with pytest.raises(Cancelled):
        passages.add([newer], cancelled=After(2))
    passages.remove([id_of(passages, "Bread")])
    assert passages.document(id_of(passages, "Ferry")).document == FERRY
    assert passages.add([newer]).added == 1
    assert passages.document(id_of(passages, "Ferry")).document == newer


@pytest.mark.parametrize("times", [3, len(MANY) + 1])
def test_what_was_cancelled_can_be_given_up(passages, times):
    cancel(passages, times)
    assert files_hold(passages, b"strait")
    passages.discard()
    assert not files_hold(passages, b"strait")
    passages.add([document("other")])
    assert titles(passages) == sorted([*ARTICLES, "Other"])


def test_giving_up_takes_back_what_would_have_been_replaced(passages):
    passages.add([FERRY])
    newer = Document("Ferry", "ferry.md", "No ferry crosses any more. " * 20)
    with pytest.raises(Cancelled):
        passages.add([newer], cancelled=After(2))
    passages.discard()
    passages.add([document("other")])
    assert passages.document(id_of(passages, "Ferry")).document == FERRY


def test_a_source_that_is_given_whole_loses_its_older_texts(passages):
    parts = [Document(name, "uploads/all", f"About {name}.") for name in "xyz"]
    passages.add(parts)
    newer = Document("w", "uploads/all", "About w.")
    passages.add([newer, parts[2]], whole=lambda source: source == "uploads/all")
    assert titles(passages) == [*sorted(ARTICLES), "w", "z"]
