"""engine.wire: every value comes back as it was, and nothing else is taken for one."""

import math
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import messages, wire
from engine.protocol import (
    ChunkEvent,
    ChunkScores,
    DoneEvent,
    Event,
    Request,
    Sampling,
    Score,
    Scoring,
    Segment,
    TokenEvent,
)
from engine.wire import LONGEST, MOST, WireError
from retrieval.protocol import Neighbour

WHOLE = st.integers(-(2**63), 2**63 - 1)
REAL = st.floats(allow_nan=False)
TEXT = st.text(max_size=6) | st.sampled_from(["", "\ud800 \x00\u2028\r\n🌊", "event: end"])
IDS = st.lists(WHOLE, max_size=3).map(tuple)
NEIGHBOUR = st.builds(
    Neighbour, WHOLE, WHOLE, TEXT, TEXT, WHOLE, WHOLE, WHOLE, TEXT, TEXT, IDS, IDS,
    st.none() | REAL, REAL,
)  # fmt: skip
SHOWN = st.lists(NEIGHBOUR, max_size=2).map(tuple)
PROMPT = st.lists(
    st.builds(
        Segment, TEXT, st.booleans(), st.none() | IDS, st.lists(SHOWN, max_size=1).map(tuple)
    ),
    max_size=2,
).map(tuple)
SAMPLING = st.builds(
    Sampling, st.floats(0, 10), st.integers(0, 9), st.floats(0.001, 1), st.integers(1, 99),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
REQUEST = st.builds(
    Request, PROMPT, TEXT, SAMPLING, st.lists(TEXT, max_size=2).map(tuple), st.booleans(), WHOLE,
    st.sampled_from(["chunk", "question+chunk"]), st.dictionaries(WHOLE, SHOWN, max_size=2), SHOWN,
    st.frozensets(WHOLE, max_size=3),
)  # fmt: skip
REALS = st.lists(REAL, max_size=3).map(tuple)
TOP = st.lists(st.tuples(TEXT, REAL), max_size=2).map(tuple)
SCORE = st.builds(Score, REALS, REALS)
VALUES = st.one_of(
    REQUEST,
    st.builds(messages.Wish, REQUEST, st.sampled_from(["client", "server", "none"]), TEXT),
    st.builds(Scoring, PROMPT, IDS, st.lists(SHOWN, max_size=1).map(tuple)),
    st.builds(ChunkScores, SCORE, st.lists(SCORE, max_size=2).map(tuple)),
    st.builds(ChunkEvent, WHOLE, TEXT, SHOWN, REAL, st.none() | TEXT),
    st.builds(TokenEvent, WHOLE, TEXT, REAL, TOP, WHOLE),
    st.builds(
        DoneEvent, st.sampled_from(["stop", "length", "context"]), WHOLE,
        st.dictionaries(TEXT, REAL, max_size=2),
    ),
    st.builds(messages.Found, SHOWN, TEXT),
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | REAL | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def changed(value: Any, *path: str | int, to: Any) -> Any:
    """The JSON of a value with one place in it changed."""
    plain = inner = wire.to_json(value)
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return plain


def neighbour(id: int = 1) -> Neighbour:
    return Neighbour(id, 1, "Title", "toy", 0, 0, 5, "text", "more", (4, 5), (6,), 0.1)


REPLY = Request((Segment("Why?", shown=((neighbour(),),)),), "q", pinned={3: (neighbour(),)})


@settings(max_examples=60)
@given(VALUES)
def test_every_value_comes_back_as_it_was(value):
    assert wire.read(type(value), wire.loads(wire.dumps(value))) == value


def test_not_a_number_comes_back(value=float("nan")):
    back = wire.read(Score, wire.loads(wire.dumps(Score((value,), ()))))
    assert math.isnan(back.logprobs[0])


@pytest.mark.parametrize("kind", get_args(Event))
def test_every_event_has_a_name_of_its_own(kind):
    assert [name for name, other in wire.EVENTS.items() if other is kind] == [
        wire.name_of(object.__new__(kind))
    ]


def test_what_is_written_is_one_line_of_ascii():
    text = wire.dumps(TokenEvent(1, "\n\u2028\r🌊", -0.5, (), 0))
    assert text.isascii() and len(text.splitlines()) == 1


def test_a_field_with_a_default_may_be_left_out():
    assert wire.read(Request, {"prompt": [{"text": "Why?"}], "query": "q"}) == Request(
        (Segment("Why?"),), "q"
    )


@pytest.mark.parametrize(
    ("path", "to", "named"),
    [
        (("query",), 7, "query is 7; expected text"),
        (("query",), "x" * (LONGEST + 1), "query is a text of 1000001 characters"),
        (("k",), True, "k is true; expected a whole number"),
        (("k",), 2.0, "k is 2.0; expected a whole number"),
        (("k",), 2**63, "k is a number of more than 64 bits"),
        (("stop",), "stop", 'stop is "stop"; expected a list'),
        (("retrieve",), 1, "retrieve is 1; expected true or false"),
        (("follow",), "all", "follow is \"all\"; expected one of 'chunk'"),
        (("sampling", "top_p"), "high", 'sampling.top_p is "high"; expected a number'),
        (("sampling", "top_p"), 2.0, "top_p is 2.0; give a number above 0"),
        (("prompt",), None, "prompt is null; expected a list"),
        (("prompt",), [None] * (MOST + 1), "prompt is a list of 100001"),
        (("prompt", 0, "texts"), "", "prompt[0].texts is unknown"),
        (("prompt", 0, "shown", 0, 0, "tokens"), [1, None], "shown[0][0].tokens[1] is null"),
        (("pinned",), {"03": []}, 'pinned is an object with the key "03"'),
        (("pinned", "3"), [{}], "pinned.3[0].chunk_id is missing"),
        (("without",), [1, "2"], 'without[1] is "2"'),
    ],
)
def test_a_wrong_field_is_named_with_what_was_given(path, to, named):
    with pytest.raises(WireError) as refused:
        wire.read(Request, changed(REPLY, *path, to=to))
    assert named in str(refused.value)


@settings(max_examples=100)
@given(JSON, st.sampled_from([Request, Scoring, ChunkEvent, messages.About, messages.Found]))
def test_any_other_json_is_refused_and_never_a_failure(value, kind):
    try:
        wire.read(kind, value)
    except WireError as refused:
        assert refused.expected
    else:
        assert kind is messages.Found and value == {}


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff", b"NaN", b"[" * 100_000, b"9" * 5000, b'{"a": Infinity}', b"{} {}"],
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(WireError, match="JSON"):
        wire.loads(text)


def test_an_event_of_an_unknown_name_is_refused():
    with pytest.raises(WireError, match="expected one of wait, chunk"):
        wire.read_event("verse", {})
