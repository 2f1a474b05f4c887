"""LocalEngine: the chunk loop around a tiny model with random weights."""

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from engine.decode import PlainSlots
from engine.layout import lay_out
from engine.local import LocalEngine
from engine.presets import preset
from engine.protocol import (
    DoneEvent,
    Info,
    PromptTooLong,
    Reply,
    Request,
    Sampling,
    Segment,
    TokenEvent,
)
from engine.tokenizer import EOS, Tokenizer
from retrieval.protocol import Neighbour
from tests.toys import Endless, random_arrays

TINY = preset("tiny")
M = TINY.chunk
ASK = (Segment("Why does bread rise?\nGOPHER:", ends_chunk=True),)


@pytest.fixture(scope="module")
def engine(tokenizer: Tokenizer) -> LocalEngine:
    info = Info("tiny", 1, "w", tokenizer.fingerprint, TINY.context, "")
    return LocalEngine(random_arrays(TINY), tokenizer, info, slots=Endless)


def neighbour(seed: int) -> Neighbour:
    ids = np.random.default_rng(seed).integers(4, TINY.vocab, 2 * M).tolist()
    return Neighbour(
        seed, seed, f"Title {seed}", "toy", 0, 0, 5, "text", "more", tuple(ids[:M]), tuple(ids[M:]),
        0.5,
    )  # fmt: skip


def write(
    engine: LocalEngine, find: Callable[[str, int], Sequence[Neighbour]] | None = None, **fields
) -> Reply:
    engine.use(find)
    fields = {"prompt": ASK, "query": "bread", "sampling": Sampling(max_tokens=3 * M)} | fields
    return Reply.of(engine.generate(Request(**fields)))


def ids(reply: Reply) -> list[int]:
    return [t.id for t in reply.tokens]


def test_the_same_request_gives_the_same_reply(engine):
    found = lambda query, k: [neighbour(len(query))]  # noqa: E731
    assert write(engine, found).tokens == write(engine, found).tokens


def test_another_seed_gives_another_reply(engine):
    a, b = (write(engine, sampling=Sampling(max_tokens=2 * M, seed=s)) for s in (0, 1))
    assert ids(a) != ids(b)


def test_one_search_a_chunk_and_the_first_is_the_question(engine):
    asked: list[str] = []

    def find(query: str, k: int) -> list[Neighbour]:
        asked.append(query)
        return [neighbour(1)]

    reply = write(engine, find, follow="chunk")
    assert [c.index for c in reply.chunks] == [0, 1, 2]
    assert [(c.first, c.last) for c in reply.chunks] == [(0, M), (M, 2 * M), (2 * M, 3 * M)]
    assert asked[0] == "bread"
    assert asked[1:] == [
        engine.tokenizer.decode(ids(reply)[j * M : (j + 1) * M]) for j in range(len(asked) - 1)
    ]


def test_the_question_stands_before_the_chunk_in_later_queries(engine):
    reply = write(engine, lambda query, k: [neighbour(1)])
    assert all(c.query.startswith("bread\n") for c in reply.chunks[1:])


def test_neighbours_of_a_chunk_change_its_first_token_and_nothing_before(engine):
    """RET(C_u) is first read by the last token of C_u, which predicts the first of C_(u+1)."""
    shown = {0: (neighbour(1),), 1: (neighbour(2),), 2: (neighbour(3),)}
    greedy = Sampling(temperature=0, max_tokens=3 * M)
    a = write(engine, sampling=greedy, pinned=shown)
    b = write(engine, sampling=greedy, pinned=shown | {1: (neighbour(9),)})
    assert a.tokens[:M] == b.tokens[:M]
    assert a.tokens[M].top != b.tokens[M].top


def test_a_reply_replays_from_what_was_shown(engine):
    numbers = itertools.count()
    first = write(engine, lambda query, k: [neighbour(next(numbers)), neighbour(next(numbers))])
    pinned = {c.index: c.neighbours for c in first.chunks}
    assert write(engine, None, pinned=pinned).tokens == first.tokens


MANY = tuple(map(neighbour, range(1, 8)))
SEVEN = MANY[-1:]


@pytest.mark.parametrize(
    ("fields", "first", "second"),
    [
        ({"always": SEVEN}, [7, 1], [7, 1]),
        ({"always": MANY[:1]}, [1, 2], [1, 2]),
        ({"always": SEVEN, "k": 1}, [7], [7]),
        ({"always": SEVEN, "retrieve": False}, [7], [7]),
        ({"without": frozenset({1})}, [2], [2]),  # its place stays empty
        ({"without": frozenset({1, 2})}, [], []),
        ({"without": frozenset({3})}, [1, 2], [1, 2]),
        ({"without": frozenset({1}), "always": SEVEN}, [7], [7]),
        ({"pinned": {1: MANY[3:4]}, "always": SEVEN, "without": frozenset({4})}, [7, 1], [4]),
        ({"k": 4}, [1, 2], [1, 2]),  # no more than the model reads
        ({"k": 4, "always": MANY}, [1, 2], [1, 2]),
        ({"pinned": {0: MANY, 1: ()}}, [1, 2], []),
    ],
)
def test_neighbours_are_those_asked_for_and_then_found_ones(engine, fields, first, second):
    found = lambda query, k: MANY[:k]  # noqa: E731
    reply = write(engine, found, sampling=Sampling(max_tokens=M + 1), **fields)
    assert [[n.chunk_id for n in chunk.neighbours] for chunk in reply.chunks] == [first, second]


def test_without_retrieval_nothing_is_searched_and_chunks_remain(engine):
    def fail(query: str, k: int):
        raise AssertionError("searched")

    reply = write(engine, fail, retrieve=False)
    assert [c.neighbours for c in reply.chunks] == [(), (), ()]
    assert all(c.error is None for c in reply.chunks)
    assert reply.tokens == write(engine, lambda query, k: []).tokens


def test_a_failing_search_is_an_event_and_the_reply_goes_on(engine):
    def broken(query: str, k: int):
        raise OSError("index unreadable")

    reply = write(engine, broken)
    assert len(reply.tokens) == 3 * M
    assert all("index unreadable" in (c.error or "") for c in reply.chunks)


def test_a_search_without_end_is_given_up(engine, monkeypatch):
    monkeypatch.setattr("engine.searching.SEARCH_SECONDS", 0.05)
    release = threading.Event()

    def slow(query: str, k: int) -> list[Neighbour]:
        release.wait(5)
        return []

    reply = write(engine, slow, sampling=Sampling(max_tokens=2))
    release.set()
    assert "took longer" in (reply.chunks[0].error or "")


@pytest.mark.parametrize("extra", [0, 1, M - 1])
def test_prompts_off_the_grid_are_written_after(engine, extra):
    """The chunk grid is absolute: an unaligned prompt makes the first reply chunk shorter."""
    tokens = tuple(range(10, 10 + M + extra))
    reply = write(engine, prompt=(Segment("", tokens=tokens),))
    assert reply.chunks[0].last == M - extra
    assert len(reply.tokens) == 3 * M


def test_a_prompt_shorter_than_a_chunk_is_written_after(engine):
    assert len(write(engine, prompt=(Segment("", tokens=(9,)),)).tokens) == 3 * M


def test_closing_the_iterator_frees_the_engine(engine):
    engine.use(None)
    events = engine.generate(Request(ASK, "q", Sampling(max_tokens=3 * M)))
    while not isinstance(next(events), TokenEvent):
        pass
    events.close()
    assert len(write(engine).tokens) == 3 * M


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(engine):
    with pytest.raises(PromptTooLong, match="255"):
        write(engine, prompt=(Segment("", tokens=tuple([9] * 256)),))


def test_an_empty_prompt_is_refused(engine):
    with pytest.raises(PromptTooLong):
        write(engine, prompt=())


def test_a_full_context_ends_the_reply(engine):
    prompt = (Segment("", tokens=tuple([9] * 240)),)
    reply = write(engine, prompt=prompt, sampling=Sampling(max_tokens=100))
    assert reply.done is not None and reply.done.reason == "context"
    assert len(reply.tokens) == 16


def test_a_stop_string_is_cut_off(engine):
    whole = write(engine)
    stop = whole.text[10:13]
    reply = write(engine, stop=(stop,))
    assert reply.text == whole.text[: whole.text.index(stop)]
    assert reply.done is not None and reply.done.reason == "stop"


def test_eos_ends_the_reply(tokenizer):
    class Ending(PlainSlots):
        def choose(self, logits, draws):
            least = -1e9 if draws.number[0] < 3 else 1e9
            return super().choose(logits.at[:, EOS].set(least), draws)

    info = Info("tiny", 1, "w", tokenizer.fingerprint, TINY.context, "")
    reply = write(LocalEngine(random_arrays(TINY), tokenizer, info, slots=Ending))
    assert len(reply.tokens) == 3
    assert reply.done is not None and reply.done.reason == "stop"


def test_log_probabilities_are_the_models_own(engine):
    """Before temperature and cuts: the drawn token's and the likeliest ones' are one scale."""
    reply = write(engine, sampling=Sampling(temperature=0, max_tokens=M))
    for token in reply.tokens:
        assert token.logprob == token.top[0][1] == max(p for _, p in token.top)


def test_an_earlier_reply_keeps_its_tokens_and_neighbours(engine):
    shown = ((neighbour(1),), (neighbour(2),))
    tokens = tuple(range(20, 20 + M + 3))
    segments = (*ASK, Segment("ignored", tokens=tokens, shown=shown), *ASK)
    layout = lay_out(segments, engine.tokenizer.encode, M)
    assert len(layout.tokens) % M == 0
    start = len(lay_out(ASK, engine.tokenizer.encode, M).tokens)
    assert layout.tokens[start : start + len(tokens)].tolist() == list(tokens)
    assert dict(layout.shown) == {start // M - 1: shown[0], start // M: shown[1]}
    assert write(engine, prompt=segments).tokens != write(engine, prompt=ASK * 2).tokens


def test_neighbours_off_the_grid_are_refused(engine):
    with pytest.raises(ValueError, match="starts at token 3"):
        lay_out(
            (Segment("", tokens=(5, 6, 7)), Segment("x", shown=((neighbour(1),),))),
            engine.tokenizer.encode, M,
        )  # fmt: skip


def test_done_counts_the_prompt_without_padding(engine):
    reply = write(engine)
    assert isinstance(reply.done, DoneEvent)
    assert reply.done.prompt_tokens == engine.count(ASK[0].text)
    assert set(reply.done.seconds) == {"retrieval", "prefill", "decode", "first_token", "total"}


def test_tokens_come_in_order_of_their_chunks(engine):
    engine.use(None)
    events = list(engine.generate(Request(ASK, "q", Sampling(max_tokens=2 * M + 1))))
    chunks = [e.chunk for e in events if isinstance(e, TokenEvent)]
    assert chunks == sorted(chunks) == [0] * M + [1] * M + [2]


def test_unlike_sampling_fields_are_refused():
    for wrong in ({"temperature": -1}, {"top_p": 0}, {"top_k": -1}, {"max_tokens": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(Sampling(), **wrong)
