"""No request makes the engine server fail: every route, bodies near and far from right ones."""

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route
from starlette.testclient import TestClient

from engine.messages import Found, Reading, Text, Wish
from engine.server.application import build
from engine.server.bodies import ChatBody, CompletionBody, Pinned, Retro, Turn
from engine.server.keys import Keys
from engine.server.service import Limits
from engine.server.tokens import Detokenize, Tokenize
from engine.tokenizer import Tokenizer
from tests.answering import CHAT, HEADERS, KEY, FakeEngine, service

BODIES: dict[str, Any] = {
    "/v1/completions": CompletionBody, "/v1/chat/completions": ChatBody, "/tokenize": Tokenize,
    "/detokenize": Detokenize, "/retro/count": Text, "/retro/generate": Wish,
    "/retro/score": Reading, "/retro/found/x": Found,
}  # fmt: skip
RIGHT: dict[str, Any] = {
    "/v1/completions": {"prompt": "The harbour", "max_tokens": 3, "echo": True, "logprobs": 1},
    "/v1/chat/completions": CHAT | {"max_tokens": 3},
    "/tokenize": {"prompt": "x"}, "/detokenize": {"tokens": [300]},
}  # fmt: skip
INNER = {"retro": Retro, "pinned": Pinned, "messages": Turn}


def near(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with fields that inner objects of requests have."""
    return st.sampled_from([*INNER.values()]).flatmap(
        lambda kind: st.dictionaries(
            st.sampled_from([f.name for f in dataclasses.fields(kind)]), inner, max_size=4
        )
    )


texts = st.one_of(
    st.text(st.characters(), max_size=12),
    st.sampled_from(
        ["", " ", "user", "assistant", "\ud800", "\0", "</s>", "🌊", "tiny", "x" * 400]
    ),
)
numbers = st.one_of(
    st.integers(-3, 700), st.integers(), st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([2**31, 2**32, 2**63, 10**400, -1, 0, 0.0, 1e308]),
)  # fmt: skip
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=3), near(inner)
    ),
    max_leaves=8,
)
ROUTES = ["/health", "/ready", "/metrics", "/v1/models", "/v1/models/x", "/tokenizer_info",
          "/retro/info", "/retro/tokenizer", "/retro/x", *BODIES]  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A method, a path and a body."""
    path = draw(st.sampled_from(ROUTES))
    method = draw(st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "HEAD"]))
    if path not in BODIES or draw(st.integers(0, 9)) == 0:
        return method, path, draw(st.binary(max_size=30))
    names = [f.name for f in dataclasses.fields(BODIES[path])]
    body = dict(RIGHT.get(path, {}))
    changes = st.dictionaries(st.one_of(st.sampled_from(names), texts), values, max_size=4)
    body |= draw(changes)
    for name in draw(st.sets(st.sampled_from(names), max_size=1)):
        body.pop(name, None)
    return method, path, json.dumps(body).encode()


@pytest.fixture(scope="module")
def client(tokenizer: Tokenizer) -> Iterator[TestClient]:
    app = build(service(FakeEngine(tokenizer)), Keys.of([KEY]), Limits(tokens=64))
    paths = {re.sub(r"\{[\w:]+\}", "x", r.path) for r in app.routes if isinstance(r, Route)}
    assert paths == set(ROUTES)
    with TestClient(app, headers=HEADERS) as client:
        yield client


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(requests())
def test_no_request_makes_the_server_fail(client: TestClient, request: tuple[str, str, bytes]):
    check(client, *request)


@pytest.mark.slow
@settings(max_examples=3_000, suppress_health_check=[HealthCheck.too_slow])
@given(requests())
def test_no_request_of_very_many_makes_the_server_fail(client, request):
    check(client, *request)


def check(client: TestClient, method: str, path: str, body: bytes) -> None:
    response = client.request(method, path, content=body)
    assert response.status_code < 500, (method, path, body, response.text)
    if response.status_code >= 400 and method != "HEAD":
        assert response.json()["error"].keys() == {"message", "type", "param", "code"}
