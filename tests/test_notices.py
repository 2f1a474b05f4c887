"""What is said round the conversation."""

from types import SimpleNamespace

import pytest

from app.compose import Application
from app.ui.notices import about, library_notice
from retrieval.manifest import DatabaseDamaged, Manifest


class Damaged:
    @property
    def manifest(self) -> Manifest:
        raise DatabaseDamaged("a file is missing")


def holding(documents: int, chunks: int) -> SimpleNamespace:
    return SimpleNamespace(manifest=Manifest(1, "e", "t", 8, documents, chunks, "0"))


@pytest.mark.parametrize(
    ("passages", "words"),
    [
        (None, "parameters. It"),
        (holding(104, 1234), "parameters; 104 documents in 1,234 passages. It"),
        (holding(1, 1), "parameters; 1 document in 1 passage. It"),
        (Damaged(), "parameters. It"),
    ],
)
def test_the_note_says_what_answers_and_what_it_reads_from(
    scripted: Application, passages, words: str
):
    scripted.passages = passages
    assert about(scripted).startswith("scripted, 1.23 million ") and words in about(scripted)


def test_an_empty_library_says_what_to_do(scripted: Application):
    scripted.passages = holding(0, 0)  # type: ignore[assignment]
    notice = library_notice(scripted)
    assert notice and notice["link"] == {"text": "Add documents", "href": "corpus"}
    for passages in (None, holding(1, 5), Damaged()):
        scripted.passages = passages  # type: ignore[assignment]
        assert library_notice(scripted) is None
