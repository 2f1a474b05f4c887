"""Runs of words that a reply shares with a passage: one it was shown, or another one.

A run is found by an index of word sequences and made as long as it goes, so the time grows with
the lengths of the texts, not with their product.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.failures.loops import Words
from app.failures.protocol import Detector, NotApplicable, finding, first_of_each
from app.failures.reading import sentences
from app.records import Finding, Turn
from retrieval.protocol import Neighbour

Lookup = Callable[[str], Sequence[Neighbour]]

# Words in a row. Of the 2,597 sentences of the starter library 0.9 % share as many with another
# article, 1.5 % share 7, 2.9 % share 6 and 9 % share 5; what is shared so is a name or a fact.
LEAST = 8
LOOKUPS = 3  # sentences of a reply that are looked up in the database


@dataclass(frozen=True)
class Copy:
    """Words [start, end) of the reply that stand in a row in `neighbour`."""

    start: int
    end: int
    neighbour: Neighbour


def find_from_neighbours(turn: Turn) -> list[Finding]:
    """`copy.neighbour`: words in a row shared with a passage shown for that chunk or before.

    What a retrieval model does by design, so it is never more than information. Words that also
    stand in a row in the message are no copy.
    """
    shown = _shown(turn)
    if not shown:
        raise NotApplicable("no passage was shown for this reply")
    reply, quoted = Words.of(turn.reply.text), Words.of(turn.message)
    findings = []
    for copy in copies(reply, [neighbour for _, neighbour in shown]):
        first = next(start for start, n in shown if n is copy.neighbour)
        _, end = reply.span(copy.start, copy.end)
        if end <= first or _contains(quoted, reply.folded[copy.start : copy.end]):
            continue
        where = f"a passage of “{copy.neighbour.title}” that the model was shown"
        findings.append(_finding("copy.neighbour", turn, reply, copy, where))
    return first_of_each(findings)


def copy_from_database(lookup: Lookup | None) -> Detector:
    """`copy.database`: words in a row shared with a passage that `lookup` finds by the reply's
    longest sentences and that was not shown. Passages that a neighbour repeats are left out."""

    def find(turn: Turn) -> list[Finding]:
        if lookup is None:
            raise NotApplicable("no passage database was given to look in")
        reply = Words.of(turn.reply.text)
        shown = [neighbour for _, neighbour in _shown(turn)]
        known = copies(reply, shown)
        found: dict[int, Neighbour] = {}
        for sentence in sorted(sentences(turn.reply.text), key=lambda s: s.start - s.end)[:LOOKUPS]:
            if len(Words.of(sentence.text).folded) >= LEAST:
                found |= {n.chunk_id: n for n in lookup(sentence.text)}
        hidden = [n for n in found.values() if n.chunk_id not in {s.chunk_id for s in shown}]
        return [
            _finding(
                "copy.database", turn, reply, copy,
                f"a passage of “{copy.neighbour.title}” in the database that was not shown",
            )
            for copy in copies(reply, hidden)
            if not any(k.start < copy.end and copy.start < k.end for k in known)
            and not _contains(Words.of(turn.message), reply.folded[copy.start : copy.end])
        ]  # fmt: skip

    return Detector("copy.database", "1", find)


def copies(reply: Words, passages: Sequence[Neighbour]) -> list[Copy]:
    """Runs of `LEAST` words or more, in the order of the reply; of overlapping ones the longest."""
    runs = []
    places: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(reply.folded) - LEAST + 1):
        places.setdefault(reply.folded[i : i + LEAST], []).append(i)
    for neighbour in passages:
        words, index = _indexed(neighbour.text + neighbour.continuation)
        common = sorted((i, index[gram]) for gram in places.keys() & index for i in places[gram])
        runs += [Copy(a, b, neighbour) for a, b in _runs(reply.folded, words, common)]
    kept: list[Copy] = []
    for run in sorted(runs, key=lambda run: (run.start, -run.end)):
        if kept and run.start < kept[-1].end:
            if run.end - run.start > kept[-1].end - kept[-1].start:
                kept[-1] = run
            continue
        kept.append(run)
    return kept


def _runs(
    reply: Sequence[str], words: Sequence[str], common: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Runs that begin at places (in the reply, in the passage) where `LEAST` words are the same."""
    end = 0
    for start, place in common:
        if start < end:
            continue
        length = LEAST
        while (
            start + length < len(reply)
            and place + length < len(words)
            and reply[start + length] == words[place + length]
        ):
            length += 1
        end = start + length
        yield start, end


@lru_cache(maxsize=1024)
def _indexed(text: str) -> tuple[tuple[str, ...], dict[tuple[str, ...], int]]:
    words = Words.of(text).folded
    places = range(len(words) - LEAST, -1, -1)  # the first place of each sequence wins
    return words, {words[i : i + LEAST]: i for i in places}


def _contains(text: Words, words: Sequence[str]) -> bool:
    return f" {' '.join(words)} " in f" {' '.join(text.folded)} "


def _shown(turn: Turn) -> list[tuple[int, Neighbour]]:
    """Each passage once, with the code point of the reply from which it was shown."""
    first: dict[tuple[int, str], tuple[int, Neighbour]] = {}
    for chunk in turn.reply.chunks:
        for neighbour in chunk.neighbours:
            place = (neighbour.chunk_id, neighbour.text)
            first.setdefault(place, (chunk.start, neighbour))
    return list(first.values())


def _finding(kind: str, turn: Turn, reply: Words, copy: Copy, where: str) -> Finding:
    count = copy.end - copy.start
    return finding(
        kind,
        turn.reply.text,
        reply.span(copy.start, copy.end),
        score=count,
        threshold=LEAST,
        severity="info",
        explanation=f"{count} words in a row stand in {where}.",
        evidence={
            "words": count,
            "title": copy.neighbour.title,
            "chunk_id": copy.neighbour.chunk_id,
            "share": count / len(reply.folded),
        },
    )


COPY = Detector("copy.neighbour", "1", find_from_neighbours)
DATABASE_COPY = copy_from_database(None)
