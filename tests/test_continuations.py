"""app.evaluation: the last words of passages, and continuations that repeat themselves."""

import math
from dataclasses import dataclass, field

import pytest

from app.evaluation.held import cut
from app.evaluation.lambada import guess, summarise, target_of
from app.evaluation.repetition import Continuation, continuations, go_on, seq_rep
from app.evaluation.repetition import summarise as summarise_repetition
from app.evaluation.shown import OFF
from engine.protocol import (
    ChunkEvent,
    ChunkScores,
    DoneEvent,
    Info,
    Request,
    Sampling,
    Score,
    Scoring,
    TokenEvent,
)
from retrieval.protocol import Neighbour
from tests.bag import word_offsets

INFO = Info("tiny", 1, "f", "t", 256, "")


def found(number: int) -> Neighbour:
    return Neighbour(number, number, "", "", 0, 0, 1, "x", "", (number,), ())


# ----- LAMBADA


@dataclass
class Scripted:
    """Writes what it is told to, and scores a token at half a nat, or a quarter with passages."""

    tokens: tuple[int, ...]
    seen: list = field(default_factory=list)
    info = INFO

    def generate(self, request: Request):
        self.seen.append(request)
        yield ChunkEvent(0, "", request.pinned[0], 0.0)
        for i, token in enumerate(self.tokens[: request.sampling.max_tokens]):
            yield TokenEvent(token, f" w{token}", -0.5, (), i // 8)
        yield DoneEvent("length", 8, {})

    def score(self, scoring: Scoring):
        self.seen.append(scoring)
        size = -0.25 if scoring.shown[0] else -0.5
        return (ChunkScores(Score((size,) * len(scoring.tokens), ())),)


def test_the_last_word_is_the_target_with_its_space_and_the_rest_is_read():
    text = "She put the lamp on the old table"
    target = target_of(text + "\n", word_offsets, 4)
    ids = [id for id, _, _ in word_offsets(text)]
    assert target is not None
    assert [*target.context, *target.word] == ids and len(target.word) == 1
    assert target.query == " lamp on the old"
    assert target_of("alone", word_offsets, 4) is None
    assert target_of(" \n", word_offsets, 4) is None


def test_a_word_is_right_if_every_token_is_and_costs_the_nats_of_all():
    target = target_of(
        "She put the lamp", lambda t: [(ord(c), i, i + 1) for i, c in enumerate(t)], 9
    )
    assert target is not None and target.word == tuple(map(ord, " lamp"))
    right = Scripted(target.word)
    ways = {OFF: (), "on": (found(1),)}
    got = guess(right, target, 8, ways)  # type: ignore
    assert got.right == {OFF: True, "on": True}
    assert got.nats == {OFF: 2.5, "on": 1.25}
    wrong = Scripted((*target.word[:-1], 1))
    assert guess(wrong, target, 8, ways).right == {OFF: False, "on": False}  # type: ignore
    asked = right.seen[2]
    assert asked.pinned == {0: (found(1),)} and asked.sampling.temperature == 0
    assert asked.prompt == right.seen[3].prompt and asked.prompt[0].ends_chunk
    rows = summarise([got, got], 0)["ways"]
    assert rows[1]["accuracy"]["value"] == 1
    assert rows[1]["perplexity"]["value"] == pytest.approx(math.exp(1.25), rel=1e-4)


# ----- repetition


def test_every_chunk_of_a_continuation_is_written_under_what_its_predecessor_finds():
    engine = Scripted(tuple(range(100, 108)))
    asked: list[str] = []

    def find(query: str) -> tuple[Neighbour, ...]:
        asked.append(query)
        return (found(len(asked)),)

    held = cut("one two three four", word_offsets, 8, 1)
    got = go_on(engine, held, 20, 8, Sampling(temperature=1, top_p=0.9), 7, find)  # type: ignore
    one, two, three = engine.seen
    assert asked[0] == "one two three four" and asked[1] == "".join(
        f" w{i}" for i in range(100, 108)
    )
    assert [r.pinned[0] for r in engine.seen] == [(found(1),), (found(2),), (found(3),)]
    assert [r.sampling.max_tokens for r in engine.seen] == [8, 8, 4]
    assert len({r.sampling.seed for r in engine.seen}) == 3
    assert len(one.prompt) == 1
    assert two.prompt[1].tokens == tuple(range(100, 108))
    assert three.prompt[1].shown == ((found(1),), (found(2),))
    assert (got.tokens, got.loops) == (20, False)
    assert got.again == pytest.approx(1 - 8 / 17)


def test_a_continuation_that_goes_round_loops():
    engine = Scripted((5, 6) * 4)
    held = cut("one", word_offsets, 8, 1)
    assert go_on(engine, held, 32, 8, Sampling(), 0, lambda query: ()).loops  # type: ignore
    rows = continuations(engine, held, 0, tokens=32, chunk=8, seed=0, ways={OFF: lambda query: ()})  # type: ignore
    summed = summarise_repetition([rows, rows], 0)["rows"]
    assert [row["sampling"] for row in summed] == ["greedy", "nucleus 0.9"]
    assert summed[0]["loops"]["value"] == 1 and summed[0]["tokens"] == 64


def test_the_share_of_sequences_that_come_again():
    assert seq_rep("a b c d e") == 0
    assert seq_rep("a b c d a b c d") == pytest.approx(1 / 5)
    assert seq_rep("a b c") is None
    assert summarise_repetition([{("g", OFF): Continuation("a", 1, False, None)}], 0)["rows"][0][
        "seq_rep_4"
    ] is None  # fmt: skip
