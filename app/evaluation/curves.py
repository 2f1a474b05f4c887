"""Readings -> figures: bits per byte in each way, by overlap, by k, by the database's size."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from app.evaluation.bootstrap import Interval, ratio
from app.evaluation.overlap import BOUNDS, bucket_of, name_of
from app.evaluation.reading import Reading
from app.evaluation.shown import OFF, ON, RANDOM, with_k, with_size
from app.evaluation.usage import usage

Row = dict[str, Any]
Choose = Callable[[Reading, int], bool]  # whether a chunk of a reading counts
BIT = math.log(2)  # nats


def every(reading: Reading, chunk: int) -> bool:
    return True


def bits(
    readings: Sequence[Reading], way: str, seed: int, choose: Choose = every, less: str = ""
) -> Interval | None:
    """Bits per byte in a way, over the chunks that are chosen; `less` another way, if given."""

    def nats(reading: Reading, j: int) -> float:
        other = reading.nats[less][j] if less else 0.0
        return reading.nats[way][j] - other

    over, under = [], []
    for reading in readings:
        chosen = [j for j in range(len(reading.bytes)) if choose(reading, j)]
        over.append(math.fsum(nats(reading, j) for j in chosen) / BIT)
        under.append(sum(reading.bytes[j] for j in chosen))
    return ratio(over, under, seed)


def counts(readings: Sequence[Reading]) -> Row:
    return {
        "documents": len(readings),
        "chunks": sum(len(r.bytes) for r in readings),
        "tokens": sum(sum(r.tokens) for r in readings),
        "bytes": sum(sum(r.bytes) for r in readings),
    }


def by_way(readings: Sequence[Reading], ways: Sequence[str], seed: int, on: str = "") -> list[Row]:
    """Bits per byte of each way, and how many more than with retrieval off; `on` is the way that
    is called so."""
    return [
        {
            "way": ON if way == on else way,
            "bits_per_byte": told(bits(readings, way, seed)),
            "more_than_off": told(bits(readings, way, seed, less=OFF)) if way != OFF else None,
        }
        for way in ways
    ]


def summarise_text(readings: Sequence[Reading], k: int, sizes: Sequence[int], seed: int) -> Row:
    on = with_k(k)
    return {
        **counts(readings),
        "ways": by_way(readings, (OFF, on, RANDOM), seed, on),
        "buckets": by_overlap(readings, on, seed),
        "up_to": up_to(readings, on, seed),
        "neighbours": [
            {"k": n, **row}
            for n, row in enumerate(
                by_way(readings, (OFF, *map(with_k, range(1, k + 1))), seed)
            )
        ],
        "database": [
            {"passages": size, **row}
            for size, row in zip(
                (0, *sizes), by_way(readings, (OFF, *map(with_size, sizes)), seed), strict=True
            )
        ],
        "used": usage([reading.effects for reading in readings], seed),
    }  # fmt: skip


def by_overlap(readings: Sequence[Reading], on: str, seed: int) -> list[Row]:
    """A row for each bucket of overlap."""
    rows = []
    for bucket in range(len(BOUNDS)):

        def choose(reading: Reading, j: int, bucket: int = bucket) -> bool:
            return bucket_of(reading.overlaps[j]) == bucket

        rows.append({"overlap": name_of(bucket), **chosen(readings, on, seed, choose)})
    return rows


def up_to(readings: Sequence[Reading], on: str, seed: int) -> list[Row]:
    """The paper's curve: for each alpha all chunks that overlap by no more."""
    rows = []
    for alpha in BOUNDS:

        def choose(reading: Reading, j: int, alpha: float = alpha) -> bool:
            return reading.overlaps[j] <= alpha

        rows.append({"alpha": alpha, **chosen(readings, on, seed, choose)})
    return rows


def chosen(readings: Sequence[Reading], on: str, seed: int, choose: Choose) -> Row:
    """Bits per byte of the chosen chunks with retrieval on, off and random."""
    return {
        "chunks": sum(choose(r, j) for r in readings for j in range(len(r.bytes))),
        "off": told(bits(readings, OFF, seed, choose)),
        "on": told(bits(readings, on, seed, choose)),
        "random": told(bits(readings, RANDOM, seed, choose)),
        "on_more_than_off": told(bits(readings, on, seed, choose, less=OFF)),
    }


def summarise_ways(readings: Sequence[Reading], k: int, seed: int) -> Row:
    on = with_k(k)
    return {**counts(readings), "ways": by_way(readings, (OFF, on, RANDOM), seed, on)}


def summarise_wikitext(readings: Sequence[Reading], k: int, seed: int) -> Row:
    """With the perplexity of a word: the exponential of all nats over the count of words."""
    on, found = with_k(k), summarise_ways(readings, k, seed)
    for row in found["ways"]:
        way = on if row["way"] == ON else row["way"]
        nats = [sum(reading.nats[way]) for reading in readings]
        a_word = ratio(nats, [reading.words for reading in readings], seed)
        row["word_perplexity"] = told(a_word.map(perplexity) if a_word else None)
    return {
        **found,
        "words": sum(reading.words for reading in readings),
        "normalisation": "nats of all tokens over words, as the file has them, <unk> and @-@ "
        "included: runs between white space, and one for each end of a line",
    }


def perplexity(nats: float) -> float:
    return math.exp(min(nats, 700.0))


def told(found: Interval | None) -> Row | None:
    return found.to_json() if found else None
