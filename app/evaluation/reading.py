"""Reading a document with teacher forcing, through the protocol of any engine.

A sequence is as long as the context allows: it begins with the end-of-text token, or with the
half of the sequence before it (the stride of RETRO, arXiv 2112.04426), and every token is predicted
once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.evaluation.held import Held
from app.evaluation.shown import Passages, Shown, Way
from engine.attribution import ChunkEffect, effect_of, pick, subsets
from engine.protocol import ChunkScores, Engine, Scoring, Segment
from engine.tokenizer import EOS


@dataclass(frozen=True)
class Reading:
    """A document's chunks: bytes, tokens, overlap with the database, and nats in each way.

    `effects` are those of the passages of the chunks that had any, if they were measured.
    """

    words: int
    bytes: tuple[int, ...]
    tokens: tuple[int, ...]
    overlaps: tuple[float, ...]
    nats: Mapping[str, tuple[float, ...]]
    effects: tuple[ChunkEffect, ...] = ()


def read(
    engine: Engine, held: Held, shown: Shown, chunk: int, *, measured: str | None = None
) -> Reading:
    """Reads a document in all ways; in `measured` with the effect of each passage.

    Raises what `Engine.score` raises.
    """
    nats: dict[str, tuple[float, ...]] = {}
    effects: list[ChunkEffect] = []
    for name, way in shown.ways.items():
        trials: list[tuple[Passages, ...]] = [()] * len(way)
        if name == measured:
            trials = [trials_of(passages, shown.controls) for passages in way]
        scored = list(score(engine, held, way, trials, chunk))
        nats[name] = tuple(-sum(s.shown.logprobs) for s in scored)
        if name == measured:
            effects = [
                effect_of(s, len(passages))
                for s, passages in zip(scored, way, strict=True)
                if passages
            ]
    return Reading(
        held.words,
        tuple(piece.bytes for piece in held.pieces),
        tuple(len(piece.tokens) for piece in held.pieces),
        shown.overlaps,
        nats,
        tuple(effects),
    )


def trials_of(passages: Passages, controls: Passages) -> tuple[Passages, ...]:
    """Every true subset of the passages and each control alone, as `attribution` orders them."""
    if not passages:
        return ()
    sets = subsets(len(passages))[:-1]
    return (*(pick(passages, s) for s in sets), *((control,) for control in controls))


def score(
    engine: Engine, held: Held, way: Way, trials: Sequence[tuple[Passages, ...]], chunk: int
) -> Iterator[ChunkScores]:
    """Scores of all chunks, sequence by sequence."""
    fits = engine.info.context // chunk
    for start, first, last in sequences(len(held.pieces), fits):
        ids = [piece.tokens for piece in held.pieces[start:last]]
        before = first - start
        if not before:
            prompt = (Segment("", ends_chunk=True, tokens=(EOS,)),)
        else:
            told = tuple(id for tokens in ids[1:before] for id in tokens)
            prompt = (
                Segment("", ends_chunk=True, tokens=ids[0]),
                Segment("", tokens=told, shown=way[start + 1 : first]),
            )
        yield from engine.score(
            Scoring(
                prompt,
                tuple(id for tokens in ids[before:] for id in tokens),
                way[first:last],
                tuple(trials[first:last]),
            )
        )


def sequences(count: int, fits: int) -> Iterator[tuple[int, int, int]]:
    """(start, first, last): chunks [first, last) are predicted after [start, first), `fits` in
    all; the first sequence begins with a chunk of its own that holds the end of text alone."""
    if fits < 2:
        raise ValueError(f"a context of {fits} chunks is too short; 2 are needed")
    half = max(1, fits // 2)
    start = first = 0
    last = min(count, fits - 1)
    while first < count:
        yield start, first, last
        start, first = max(0, last - half), last
        last = min(count, start + fits)
