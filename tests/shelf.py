"""Small passage databases: made with the stand-ins of tests/bag.py, and read back whole."""

from pathlib import Path

import numpy as np

from retrieval.database import Database
from retrieval.ingest import Report, ingest
from retrieval.protocol import Document
from tests.bag import BagEmbedder, word_offsets


def document(name: str, text: str = "", sentences: int = 30) -> Document:
    text = text or " ".join(f"Sentence {i} of {name} says little." for i in range(sentences))
    return Document(name.title(), f"{name}.md", text)


DOCUMENTS = [document("ant"), document("bee"), document("cow")]


def add(
    directory: Path | str, items=DOCUMENTS, embedder=None, tokenizer="words", **kinds
) -> Report:
    return ingest(
        items,
        directory,
        encode_offsets=word_offsets,
        tokenizer_fingerprint=tokenizer,
        embedder=embedder or BagEmbedder(),
        **kinds,
    )


def opened(directory: Path | str, embedder=None, tokenizer="words") -> Database:
    return Database(directory, embedder=embedder or BagEmbedder(), tokenizer=tokenizer)


def content(directory: Path | str, embedder=None, tokenizer="words") -> dict[str, str]:
    """Titles -> texts, put together from chunks that also carry the right keys."""
    embedder = embedder or BagEmbedder()
    with opened(directory, embedder, tokenizer) as database:
        found = database.neighbours(database.index.ids)
        assert len(found) == database.manifest.chunks
        texts = {}
        for n in sorted(found.values(), key=lambda n: (n.document_id, n.position)):
            texts[n.title] = texts.get(n.title, "") + n.text
        ids = np.array(list(found))
        keys = embedder([n.text for n in found.values()])
        assert abs(database.index.keys(ids) - keys).max() < 1e-5
        return texts


def texts(*documents: Document) -> dict[str, str]:
    return {d.title: d.text for d in documents}
