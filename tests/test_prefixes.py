"""Where reading may begin in a slot that holds something already."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prefixes import Held
from retrieval.protocol import Neighbour

M, LENGTH = 4, 32
LINE = np.arange(1, LENGTH + 1, dtype=np.int32)
REAL = np.ones(LENGTH, bool)


def neighbour(id: int) -> Neighbour:
    return Neighbour(id, id, "", "", 0, 0, 0, "", "", (id,), (id,))


def held(
    read: int, stepped: int = 0, shown: dict[int, tuple[Neighbour, ...]] | None = None
) -> Held:
    """A slot that holds so many tokens of LINE, read in blocks or stepped after that."""
    slot, at = Held(M, LENGTH), 0
    while at < read + stepped:
        last = (at + 1) % M == 0
        end = min(((at + 1) // M + 1) * M - 1, read) if at < read else at + 1
        found = (shown or {}).get((at + 1) // M - 1, ()) if last else None
        slot.put(at, LINE[at:end], REAL[at:end], found, in_block=at < read or last)
        at = end
    return slot


def resume(slot: Held, tokens=LINE, valid=REAL, shown=None, latest=LENGTH, uniform=True) -> int:
    return slot.resume(tokens, valid, shown or {}, latest, uniform=uniform)


def changed(at: int) -> np.ndarray:
    tokens = LINE.copy()
    tokens[at] = 0
    return tokens


def test_an_empty_slot_holds_nothing():
    assert resume(Held(M, LENGTH)) == 0


@pytest.mark.parametrize("count", range(1, 20))
def test_reading_goes_on_where_the_slot_ends(count: int):
    assert resume(held(count)) == count
    assert resume(held(3, count)) == 3 + count


@pytest.mark.parametrize(
    ("at", "expected"), [(0, 0), (2, 0), (3, 3), (6, 3), (7, 7), (13, 13), (14, 14)]
)
def test_reading_goes_back_to_the_end_of_a_chunk_before_what_differs(at: int, expected: int):
    """Only in the chunk that was completed last the slot's neighbours are those before it."""
    assert resume(held(15), changed(at)) == expected
    padded = REAL.copy()
    padded[at] = False
    assert resume(held(15), valid=padded) == expected


def test_other_neighbours_of_a_chunk_are_read_from_its_last_token_on():
    shown = {0: (neighbour(1),), 1: (neighbour(2),), 2: ()}
    slot = held(14, shown=shown)
    assert resume(slot, shown=shown) == 14
    assert resume(slot, shown=shown | {1: (neighbour(3),)}) == 7
    assert resume(slot, shown=shown | {0: ()}) == 3
    assert resume(slot, shown=shown | {2: (neighbour(3),)}) == 11
    assert resume(slot, shown=shown | {3: (neighbour(3),)}) == 14


def test_where_steps_are_not_uniform_only_whole_blocks_are_kept():
    assert resume(held(10), uniform=False) == 7
    assert resume(held(11, 8), uniform=False) == 11
    assert resume(held(10, 9), uniform=False) == 7


def test_reading_begins_no_later_than_it_must():
    assert resume(held(20), latest=17) == 15
    assert resume(held(20), latest=15) == 15
    assert resume(held(20), latest=19) == 19
    assert resume(held(20), latest=0) == 0


def test_what_is_written_over_is_gone():
    shown = {0: (neighbour(1),), 1: (neighbour(2),)}
    slot = held(12, shown=shown)
    slot.put(3, LINE[3:5], REAL[3:5], (neighbour(9),), in_block=True)
    assert (slot.count, slot.steady) == (5, 5)
    assert resume(slot, shown={0: (neighbour(9),)}) == 5
    assert resume(slot, shown=shown) == 3
    slot.forget()
    assert resume(slot) == 0


@given(
    st.integers(0, 20), st.integers(0, 10), st.integers(0, LENGTH - 1), st.integers(0, LENGTH),
    st.booleans(),
)  # fmt: skip
def test_what_stands_before_is_held_always(read, stepped, differs, latest, uniform):
    slot = held(read, stepped)
    at = resume(slot, changed(differs), latest=latest, uniform=uniform)
    assert 0 <= at <= min(slot.count, differs, latest)
    if not uniform:
        assert at <= slot.steady
    if at % M != M - 1 and at:
        assert uniform and at // M == slot.count // M
