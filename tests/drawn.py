"""Records drawn by hypothesis. What is `wild` has the right types and nothing else in order."""

from hypothesis import strategies as st

from app.records import DetectorRun, Finding, Preset, Settings, Turn
from app.store.ids import new_id, now
from app.store.presets import NAME
from app.store.rows import legible
from engine.attribution import Attribution, ChunkEffect, NeighbourEffect
from engine.protocol import (
    ChunkEvent,
    DoneEvent,
    Event,
    Info,
    Reply,
    ReplyChunk,
    Sampling,
    TokenEvent,
)
from retrieval.protocol import Neighbour

texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "\x00", "a\x00b", "👩‍👧 é", "<script>alert(1)</script>", "'; DROP", "\r\n\x1b[0m"]
    ),
)
numbers = st.floats(allow_nan=False)
naturals = st.integers(0, 2**63 - 1)


def several(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, max_size=3).map(tuple)


def exactly(count: int, values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, min_size=count, max_size=count).map(tuple)


neighbours = st.builds(
    Neighbour, chunk_id=naturals, document_id=naturals, title=texts, source=texts,
    position=naturals, start=naturals, end=naturals, text=texts, continuation=texts,
    tokens=several(naturals),
    continuation_tokens=several(naturals),
    distance=st.none() | numbers, overlap=numbers,
)  # fmt: skip
wild_tokens = st.builds(
    TokenEvent, id=naturals, text=texts, logprob=numbers,
    top=several(st.tuples(texts, numbers)), chunk=naturals,
)  # fmt: skip
wild_chunks = st.builds(
    ReplyChunk, index=naturals, query=texts, neighbours=several(neighbours),
    seconds=numbers, error=st.none() | texts, first=naturals, last=naturals, start=naturals,
    end=naturals,
)  # fmt: skip
endings = st.builds(
    DoneEvent, reason=st.sampled_from(["stop", "length", "context"]), prompt_tokens=naturals,
    seconds=st.dictionaries(texts | st.sampled_from(["first_token", "total"]), numbers),
)  # fmt: skip
wild_replies = st.builds(
    Reply, text=texts, tokens=several(wild_tokens), chunks=several(wild_chunks),
    done=st.none() | endings,
)  # fmt: skip
asked = st.builds(
    Settings, retrieve=st.booleans(), in_context=st.booleans(), k=naturals,
    follow=st.sampled_from(["chunk", "question+chunk"]), history=naturals,
    pinned=several(neighbours), without=several(naturals), random=st.booleans(), template=texts,
    sampling=st.builds(
        Sampling, temperature=st.floats(0, 10) | st.just(0), top_k=naturals,
        top_p=st.floats(1e-9, 1), max_tokens=st.integers(1, 2**62), seed=st.integers(0, 2**32 - 1),
    ),
)  # fmt: skip


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """A reply as an engine writes it; the last chunk may have no token."""
    events: list[Event] = []
    for index in range(draw(st.integers(0, 3))):
        shown = draw(several(neighbours))
        events.append(ChunkEvent(index, draw(texts), shown, draw(numbers), draw(st.none() | texts)))
        for _ in range(draw(st.integers(1, 3))):
            top = draw(several(st.tuples(texts, numbers)))
            events.append(TokenEvent(draw(naturals), draw(texts), draw(numbers), top, index))
    while events and isinstance(events[-1], TokenEvent) and draw(st.booleans()):
        events.pop()
    done = draw(st.none() | endings)
    return Reply.of([*events, done] if done else events)


def turns(written: st.SearchStrategy = wild_replies) -> st.SearchStrategy[Turn]:
    return st.builds(
        Turn, id=st.builds(new_id), conversation=st.builds(new_id), parent=st.none(),
        message=texts, reply=written, settings=asked,
        # one set of weights may be described anew: each turn keeps the words of its time
        model=st.builds(Info, texts, naturals, st.sampled_from(["", "f1"]), texts, naturals, texts),
        database=texts, finish=st.sampled_from(["stop", "length", "error"]),
        created=st.builds(now), passage=texts, error=texts,
    )  # fmt: skip


presets = st.builds(
    Preset,
    name=st.text(min_size=1, max_size=NAME).filter(lambda name: name == legible(name)),
    settings=asked,
    default=st.booleans(),
)
effects = st.builds(NeighbourEffect, numbers, numbers, numbers)


@st.composite
def attributions(draw: st.DrawFn, reply: Reply) -> Attribution:
    """Effects that fit a reply."""
    chunks = tuple(
        ChunkEffect(
            on=draw(exactly(chunk.last - chunk.first, numbers)),
            off=draw(exactly(chunk.last - chunk.first, numbers)),
            neighbours=draw(exactly(len(chunk.neighbours), effects)),
            controls=draw(several(numbers)),
        )
        for chunk in reply.chunks
        if chunk.last > chunk.first
    )
    return Attribution(chunks, draw(exactly(len(reply.tokens), numbers)), draw(numbers))


@st.composite
def runs(draw: st.DrawFn, reply: Reply) -> tuple[DetectorRun, ...]:
    places = st.integers(0, len(reply.text))
    spans = st.tuples(places, places).map(sorted)
    evidence = st.dictionaries(st.text(max_size=5), st.none() | st.lists(naturals, max_size=2))

    def finding(span: list[int], kind: str, score: float, words: str, found: dict) -> Finding:
        start, end = span
        quote = reply.text[start:end]
        return Finding(kind, start, end, quote, score, score, "info", words, found)

    found = several(st.builds(finding, spans, texts, numbers, texts, evidence))
    status = st.sampled_from(["ok", "found", "skipped", "error"])
    return draw(several(st.builds(DetectorRun, texts, texts, status, numbers, found, texts)))
