"""What every implementation of `engine.slots.Slots` must do, shown by small random models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest
from flax import nnx

from engine.checkpoint import graph_of
from engine.decode import PlainSlots, compile_decoding
from engine.kernels.slots import KernelSlots
from engine.layout import passages_of
from engine.presets import Preset
from engine.protocol import Sampling
from engine.sampling import ALTERNATIVES
from engine.sharded.loading import Arrays
from engine.sharded.programs import Form
from engine.sharded.slots import ShardedSlots
from engine.sharding import serving_mesh
from engine.slots import Block, Draw, Drawn, Slots, Step
from retrieval.protocol import Neighbour
from tests.toys import TOY, random_arrays, random_tokens

# what the kernels know: heads and slots of whole vectors; four chunks, to the end of a slot
assert TOY.retrieval
SHAPE = replace(
    TOY, heads=2, head_dim=8, chunk=8, context=32,
    retrieval=replace(TOY.retrieval, neighbour_tokens=16),
)  # fmt: skip
M, T, COUNT, R = SHAPE.chunk, SHAPE.context, 3, 16
GREEDY = Draw(Sampling(temperature=0), 0)
Shown = Sequence[tuple[Neighbour, ...]]


@dataclass(frozen=True)
class Case:
    """An implementation, and how far it may be from the full pass with the same weights."""

    preset: Preset
    slots: Slots
    tolerance: float

    def rows(self, line: "Line") -> np.ndarray:
        """Log-probabilities after each token [T V] in one uncached pass."""
        r, passages = self.preset.retrieval, None
        if r:
            seen = dict(enumerate(line.shown))
            passages = passages_of(seen, T // M, r.neighbours, r.neighbour_tokens)
        given = (line.tokens[None], line.valid[None], *([passages] if r else []))
        model = nnx.merge(graph_of(self.preset), self.slots.weights)
        return np.asarray(jax.nn.log_softmax(_full(model, given)))[0]

    def check(self, drawn: Drawn | None, row: np.ndarray) -> None:
        """That a drawn token and the likeliest ones are as a row of the full pass [V] says."""
        assert drawn is not None
        ids, logprobs = zip(*drawn.top, strict=True)
        near = {"rtol": 0, "atol": self.tolerance}
        np.testing.assert_allclose(logprobs, row[list(ids)], **near)
        np.testing.assert_allclose(logprobs, np.sort(row)[::-1][:ALTERNATIVES], **near)
        np.testing.assert_allclose(drawn.logprob, row[drawn.token], **near)


@dataclass(frozen=True)
class Line:
    """A sequence, and the neighbours of its four chunks."""

    tokens: np.ndarray
    valid: np.ndarray
    shown: Shown

    def block(self, at: int, end: int) -> Block:
        shown = self.shown[at // M] if (at + 1) % M == 0 else None
        return Block(at, self.tokens[at:end], self.valid[at:end], shown)


@nnx.jit
def _full(model, given):
    return model(*given)


KINDS = {
    "plain": (PlainSlots, 1e-5),
    # what float16 keys change may round an activation the other way; each half of a layer is
    # checked far closer in test_kernels.py
    "int8": (lambda p, arrays, count: KernelSlots(p, arrays, 8, count), 0.1),
    "int4": (lambda p, arrays, count: KernelSlots(p, arrays, 4, count), 0.1),
    "sharded": (lambda p, arrays, count: ShardedSlots(_one(p, count), Arrays(arrays)), 2e-5),
}
SLOW = ("sharded gopher", "sharded retro", "int8 gopher")  # to compile, or beside others


def _one(p: Preset, count: int) -> Form:
    return Form(p, serving_mesh(jax.devices()[:1], p.heads), count, p.context)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(f"{kind} {model}", marks=[pytest.mark.slow] * (f"{kind} {model}" in SLOW))
        for kind in KINDS
        for model in ("gopher", "retro")
    ],
)
def case(request: pytest.FixtureRequest) -> Case:
    kind, model = request.param.split()
    p = replace(SHAPE, name="shape") if model == "retro" else replace(SHAPE, retrieval=None)
    make, tolerance = KINDS[kind]
    return Case(p, make(p, random_arrays(p), COUNT), tolerance)


def neighbour(seed: int, length: int = R) -> Neighbour:
    ids = tuple(random_tokens(SHAPE, length, seed=seed).tolist())
    return Neighbour(seed, 0, "", "", 0, 0, 0, "", "", ids[: R // 2], ids[R // 2 :])


def line(seed: int = 0, pad: int = 0, shown: Shown | None = None) -> Line:
    """Random tokens, the first of them padding."""
    if shown is None:
        one, two, three = neighbour(seed), neighbour(seed + 50, 4), neighbour(seed + 100)
        shown = ((one, two), (three,), (), (two, three))
    return Line(random_tokens(SHAPE, T, seed=seed), np.arange(T) >= pad, shown)


def blocks(end: int = T, start: int = 0) -> Iterator[tuple[int, int]]:
    """Where the longest blocks begin and end."""
    while start < end:
        stop = min(((start + 1) // M + 1) * M - 1, end)
        yield start, stop
        start = stop


def fed(slots: Slots, slot: int, line: Line, end: int = T, start: int = 0) -> Drawn:
    """Reads a sequence in the longest blocks; what is drawn after it."""
    drawn = None
    for at, stop in blocks(end, start):
        drawn = slots.read(slot, line.block(at, stop), GREEDY if stop == end else None)
    assert drawn is not None
    return drawn


@pytest.mark.parametrize("pad", [0, 2, M, M + 3])
def test_reading_in_blocks_is_the_full_pass(case: Case, pad: int):
    given = line(pad=pad)
    expected = case.rows(given)
    for at, stop in blocks():
        case.check(case.slots.read(0, given.block(at, stop), GREEDY), expected[stop - 1])


@pytest.mark.parametrize(
    "cuts", [(1, 7, 8, 15, 18, 20, 23, 30, 31), (2, 7, 9, 10, 15, 23, 24, 25, 31)]
)
def test_blocks_may_be_shorter_than_a_chunk(case: Case, cuts: tuple[int, ...]):
    given = line(1)
    expected = case.rows(given)
    for at, stop in zip((0, *cuts), (*cuts, T), strict=True):
        case.check(case.slots.read(1, given.block(at, stop), GREEDY), expected[stop - 1])


def test_stepping_is_the_full_pass(case: Case):
    given = line(2)
    expected = case.rows(given)
    for at in range(T):
        if (at + 1) % M == 0 or at == 0:
            drawn = case.slots.read(2, given.block(at, at + 1), GREEDY)
        else:
            (drawn,) = case.slots.step([Step(2, at, int(given.tokens[at]), GREEDY)])
        case.check(drawn, expected[at])


def test_a_stepped_token_leaves_behind_what_a_read_one_does(case: Case):
    given = line(3)
    read = fed(case.slots, 0, given)
    fed(case.slots, 1, given, M)
    for at in range(M, 2 * M - 1):
        case.slots.step([Step(1, at, int(given.tokens[at]), GREEDY)])
    stepped = fed(case.slots, 1, given, start=2 * M - 1)
    if case.slots.uniform:
        assert stepped == read
    case.check(stepped, case.rows(given)[-1])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1,), (2, 1)])
def test_a_sequence_does_not_depend_on_the_others(case: Case, order: tuple[int, ...]):
    """Each stepped alone, then all of them together, at places of their own."""
    given, starts = [line(seed) for seed in range(COUNT)], (M + 1, 2 * M, 2)
    draws = [Draw(Sampling(temperature=1.0, seed=seed), seed) for seed in range(COUNT)]
    alone: list[list[Drawn]] = [[] for _ in range(COUNT)]
    together: list[list[Drawn]] = [[] for _ in range(COUNT)]
    for seen, group in ((alone, [[slot] for slot in order]), (together, [order])):
        for slot in range(COUNT):
            fed(case.slots, slot, given[slot], starts[slot])
        for slots in group:
            at = [starts[slot] for slot in slots]
            steps = [
                Step(slot, a, int(given[slot].tokens[a]), draws[slot])
                for slot, a in zip(slots, at, strict=True)
            ]
            for slot, drawn in zip(slots, case.slots.step(steps), strict=True):
                seen[slot].append(drawn)
    assert alone == together


@pytest.mark.parametrize("at", [0, M - 1, 2 * M - 1, 3 * M - 1])
def test_writing_forgets_what_was_there(case: Case, at: int):
    """Also the neighbours of the chunk that its first token completes."""
    old, new = line(4), line(5)
    tokens = np.concatenate([old.tokens[:at], new.tokens[at:]])
    whole = at // M
    mixed = Line(tokens, old.valid, (*old.shown[:whole], *new.shown[whole:]))
    fed(case.slots, 0, old)
    again = fed(case.slots, 0, mixed, start=at)
    assert again == fed(case.slots, 1, mixed)


def test_a_chunk_without_neighbours_forgets_those_before(case: Case):
    given = line(6, shown=((neighbour(1),), (), (), ()))
    expected = case.rows(given)
    for at, stop in blocks():
        case.check(case.slots.read(0, given.block(at, stop), GREEDY), expected[stop - 1])


def test_the_order_of_neighbours_plays_no_part(case: Case):
    a, b = neighbour(1), neighbour(2)
    one, other = (line(7, shown=(pair, (), (), ())) for pair in ((a, b), (b, a)))
    expected = case.rows(one)
    for given in (one, other):
        case.check(fed(case.slots, 0, given, 2 * M - 1), expected[2 * M - 2])


def test_a_draw_follows_its_seed_and_number(case: Case):
    given = line(8)
    hot = Sampling(temperature=3.0, top_p=1.0)
    block = given.block(0, M - 1)
    draws = [Draw(replace(hot, seed=seed), number) for seed in range(6) for number in range(3)]
    tokens = [case.slots.read(0, block, draw) for draw in draws]
    assert tokens == [case.slots.read(1, block, draw) for draw in draws]
    assert len({drawn.token for drawn in tokens if drawn}) > 3


@pytest.mark.parametrize("at", [M - 1, 2 * M - 1])
def test_a_slot_is_read_on_as_a_cache(case: Case, at: int):
    """As scoring does: the chunk after it under neighbours of its own."""
    given = line(9)
    expected = case.rows(given)
    fed(case.slots, 0, given)
    cache = case.slots.cache(0, at, T)
    decoding, weights = compile_decoding(case.preset), case.slots.weights
    r, passages, picks = case.preset.retrieval, None, None
    if r:
        passages = passages_of({0: given.shown[at // M]}, 1, r.neighbours, r.neighbour_tokens)
        picks = np.array([[0, 1]], np.int32)
    tokens = given.tokens[None, at : at + M + 1]
    extended = decoding.extend(
        weights, decoding.tables(weights, T), cache, tokens[:, :-1], tokens[:, 1:],
        np.int32(M), passages, picks,
    )  # fmt: skip
    wanted = expected[np.arange(at, at + M), tokens[0, 1:]]
    np.testing.assert_allclose(extended.logprobs[0], wanted, rtol=0, atol=case.tolerance)
    assert fed(case.slots, 0, given, start=3 * M - 1) == fed(case.slots, 1, given)


def test_a_slot_is_read_to_its_end(case: Case):
    given = line(10)
    assert case.slots.length == T
    for start in (0, T - M - 1, T - 1):
        case.check(fed(case.slots, 0, given, start=start), case.rows(given)[-1])


def test_it_says_what_it_is(case: Case):
    assert case.slots.count == COUNT
    assert case.slots.slot_bytes > 0
    assert case.slots.device
