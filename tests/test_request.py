"""app.request: what is asked of the engine, and the passages drawn at random."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.records import Settings
from app.request import NoPassages, drawn, request_of
from engine.protocol import Info, Sampling
from retrieval.protocol import Neighbour

INFO = Info("tiny", 1, "w", "t", 256, "")  # chunks of 8 tokens
RANDOM = Settings(Sampling(max_tokens=20, seed=5), random=True)


def passage(i: int) -> Neighbour:
    return Neighbour(i, i, "", "", 0, 0, 1, "", "", (i,), ())


class Drawing:
    """The passages 1, 2, 3 ... of which there are `most`; keeps what it was asked for."""

    def __init__(self, most: int = 1000):
        self.most, self.asked = most, []

    def __call__(self, count: int, seed: int) -> Sequence[Neighbour]:
        self.asked.append((count, seed))
        return [passage(i) for i in range(1, min(count, self.most) + 1)]


def ids(shown: dict[int, tuple[Neighbour, ...]]) -> list[list[int]]:
    return [[n.chunk_id for n in shown[j]] for j in sorted(shown)]


def test_every_chunk_that_a_reply_can_have_gets_its_own():
    assert ids(drawn(RANDOM, INFO, Drawing())) == [[1, 2], [3, 4], [5, 6]]


def test_no_more_chunks_than_the_context_has():
    endless = replace(RANDOM, sampling=Sampling(max_tokens=10**9))
    assert len(drawn(endless, INFO, Drawing())) == 256 // 8


def test_the_seed_follows_from_that_of_the_sampling():
    draw = Drawing()
    for seed in (5, 5, 6):
        drawn(replace(RANDOM, sampling=Sampling(max_tokens=20, seed=seed)), INFO, draw)
    a, again, other = (seed for _, seed in draw.asked)
    assert a == again != other
    assert 0 <= a < 2**32


def test_pinned_ones_come_first():
    settings = replace(RANDOM, pinned=(passage(70),))
    assert ids(drawn(settings, INFO, Drawing())) == [[70, 1], [70, 3], [70, 5]]


def test_one_that_is_left_out_is_not_replaced_and_the_others_stay():
    settings = replace(RANDOM, without=(1, 5, 70), pinned=(passage(70),))
    assert ids(drawn(replace(settings, pinned=()), INFO, Drawing())) == [[2], [3, 4], [6]]
    assert ids(drawn(settings, INFO, Drawing())) == [[70], [70, 3], [70]]


def test_few_passages_come_again_but_not_twice_in_a_chunk():
    assert ids(drawn(RANDOM, INFO, Drawing(3))) == [[1, 2], [3, 1], [2, 3]]
    assert ids(drawn(RANDOM, INFO, Drawing(1))) == [[1]] * 3
    assert ids(drawn(RANDOM, INFO, Drawing(0))) == [[]] * 3


@pytest.mark.parametrize("off", [{"random": False}, {"retrieve": False}])
def test_nothing_is_drawn_where_it_is_not_asked_for(off):
    assert drawn(replace(RANDOM, **off), INFO, None) == {}


def test_without_anything_to_draw_from_it_is_refused():
    with pytest.raises(NoPassages, match="ingest some first"):
        drawn(RANDOM, INFO, None)


def test_a_request_carries_the_passages_of_the_settings(toy_turn):
    settings = Settings(pinned=(passage(7),), without=(3, 4))
    request = request_of(toy_turn(settings=settings), (), {1: (passage(9),)})
    assert request.always == (passage(7),)
    assert request.without == {3, 4}
    assert request.pinned == {1: (passage(9),)}


def test_with_retrieval_off_no_pinned_passage_is_shown(toy_turn):
    settings = Settings(pinned=(passage(7),), retrieve=False)
    assert request_of(toy_turn(settings=settings), (), {}).always == ()
