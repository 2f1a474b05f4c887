"""The documents behind the passages: listed, looked at, searched, removed.

Every method takes one JSON value, which any page may send, and answers with a dictionary; where
something could not be done, that is {"problem": why}.
"""

import time
from collections.abc import Mapping
from typing import Any

from app.compose import Application
from app.passages import Passages
from app.store.connection import LogError
from app.uploads import UNDER
from retrieval.database import Entry
from retrieval.manifest import DatabaseBusy, DatabaseError
from retrieval.protocol import Neighbour

ROWS = 50  # documents on one page of the list
HITS = 10  # of each kind of search
WINDOW = 60  # passages of a document that are sent at a time
FRESH = 3.0  # seconds that counts from the log are used again
LONGEST = 2000  # characters of what is searched for

Answer = dict[str, Any]


class Catalogue:
    """What the corpus page asks for, about documents."""

    def __init__(self, app: Application):
        self._app = app
        self._shown: dict[tuple[str, str], int] = {}
        self._counted = -FRESH

    def documents(self, wanted: Any) -> Answer:
        """{"filter", "sort": title|passages|shown, "descending", "page": from 0} -> the rows of
        that page, and how many documents are `found` of the `total`."""
        words = field(wanted, "filter", str, "").casefold().split()
        sort, descending = field(wanted, "sort", str, ""), field(wanted, "descending", bool, False)
        try:
            entries = self._passages().documents()
        except DatabaseError as problem:
            return {"problem": str(problem)}
        shown = self._shown_counts()
        found = [entry for entry in entries if matches(entry, words)]
        if sort == "passages":
            found.sort(key=lambda entry: entry.chunks, reverse=descending)
        elif sort == "shown":
            found.sort(key=lambda e: shown.get((e.source, e.title), 0), reverse=descending)
        else:
            found.sort(key=lambda entry: entry.title.casefold(), reverse=descending)
        pages = max(1, -(-len(found) // ROWS))
        page = min(max(field(wanted, "page", int, 0), 0), pages - 1)
        rows = found[page * ROWS : (page + 1) * ROWS]
        return {
            "rows": [row(entry, shown.get((entry.source, entry.title), 0)) for entry in rows],
            "found": len(found),
            "total": len(entries),
            "page": page,
            "pages": pages,
            "first": page * ROWS,
        }

    def document(self, wanted: Any) -> Answer:
        """{"id", "first"} -> passages in a row from the first on, counted from 0; or from a few
        before "passage" on."""
        id, place = field(wanted, "id", int, -1), field(wanted, "passage", int, 0)
        try:
            found = self._passages().document(id)
        except DatabaseError as problem:
            return {"problem": str(problem)}
        if found is None:
            return {"problem": "This document is gone: it was removed or replaced by a newer one."}
        document, count = found.document, len(found.bounds)
        first = field(wanted, "first", int, min(place - WINDOW // 2, count - WINDOW))
        first = max(first, 0)
        entry = Entry(id, document.title, document.source, document.topic, count)
        passages = [
            {"position": first + i, "start": start, "end": end, "text": document.text[start:end]}
            for i, (start, end) in enumerate(found.bounds[first : first + WINDOW])
        ]
        shown = self._shown_counts().get((document.source, document.title), 0)
        return {**row(entry, shown), "characters": len(document.text), "list": passages}

    def search(self, wanted: Any) -> Answer:
        """{"text"} -> `shown`, the passages that a reply to this text would begin with, and the
        first candidates by `dense` key and by `lexical` match, each with its rank there."""
        text, k = field(wanted, "text", str, "")[:LONGEST], self._app.defaults.k
        started = time.monotonic()
        try:
            found = self._passages().search(text, k)
        except DatabaseError as problem:
            return {"problem": str(problem)}
        seconds = time.monotonic() - started
        places = {n.chunk_id: rank for rank, n in enumerate(found.shown, 1)}
        near = {n.chunk_id: rank for rank, n in enumerate(found.dense, 1)}
        worded = {n.chunk_id: rank for rank, (n, _) in enumerate(found.lexical, 1)}
        scores = {n.chunk_id: score for n, score in found.lexical}

        def hit(n: Neighbour) -> Answer:
            names = ("document_id", "position", "title", "source", "text", "distance")
            return {
                **{name: getattr(n, name) for name in names},
                "score": scores.get(n.chunk_id),
                "near": near.get(n.chunk_id),
                "worded": worded.get(n.chunk_id),
                "shown": places.get(n.chunk_id),
            }

        return {
            "text": text,
            "words": list(found.words),
            "shown": [{**hit(n), "continuation": n.continuation} for n in found.shown],
            "dense": [hit(n) for n in found.dense[:HITS]],
            "lexical": [hit(n) for n, _ in found.lexical[:HITS]],
            "seconds": seconds,
        }

    def remove(self, wanted: Any) -> Answer:
        """{"id"} -> {"removed": id}; from the next reply on the document is not shown."""
        id = field(wanted, "id", int, -1)
        try:
            self._passages().remove([id])
        except ValueError:
            return {"problem": "This document is gone already."}
        except DatabaseBusy:
            return {
                "problem": "Documents are being added at the moment; remove this one when that has "
                "finished or was cancelled."
            }
        except DatabaseError as problem:
            return {"problem": str(problem)}
        return {"removed": id}

    def counts(self) -> Answer:
        """How many documents and passages there are."""
        manifest = self._passages().manifest
        return {"documents": manifest.documents, "passages": manifest.chunks}

    def _passages(self) -> Passages:
        """Raises DatabaseError while there are none."""
        if self._app.passages is None:
            raise DatabaseError("The passages are not loaded; try again when they are.")
        return self._app.passages

    def _shown_counts(self) -> Mapping[tuple[str, str], int]:
        now = time.monotonic()
        if now - self._counted > FRESH:
            try:
                self._shown = self._app.log.shown_counts()
            except LogError:
                self._shown = {}  # the log says elsewhere what is wrong with it
            self._counted = now
        return self._shown


def matches(entry: Entry, words: list[str]) -> bool:
    """Whether each of the words stands in title, source or topic."""
    if not words:
        return True
    text = f"{entry.title}\n{entry.source}\n{entry.topic}".casefold()
    return all(word in text for word in words)


def row(entry: Entry, shown: int) -> Answer:
    return {
        "id": entry.id,
        "title": entry.title,
        "source": entry.source.removeprefix(UNDER),
        "uploaded": entry.source.startswith(UNDER),
        "topic": entry.topic,
        "passages": entry.chunks,
        "shown": shown,
    }


def field(value: Any, name: str, kind: type, otherwise: Any) -> Any:
    """A field of what a page has sent, if it is of that kind."""
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        return otherwise
    if isinstance(found, int) and abs(found) > 2**53:  # more than SQLite takes
        return otherwise
    return found
