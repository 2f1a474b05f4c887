"""What the engine server refuses, and that it lets go of what is given up."""

import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from engine.server.application import build
from engine.server.keys import Keys
from engine.server.service import Limits
from engine.tokenizer import Tokenizer
from tests.answering import (
    CHAT,
    HEADERS,
    KEY,
    FakeEngine,
    client_of,
    eventually,
    listening,
    ok,
    pieces,
    refused,
    service,
)

OPEN = {"Host": "localhost"}


@pytest.fixture(scope="module")
def engine(tokenizer: Tokenizer) -> FakeEngine:
    return FakeEngine(tokenizer)


@pytest.fixture(scope="module")
def client(engine: FakeEngine) -> Iterator[TestClient]:
    with client_of(service(engine), body=20_000, tokens=500, prompts=3) as client:
        yield client


# ----- keys


def test_every_route_but_health_asks_for_a_key(engine):
    app = build(service(engine), Keys.of([KEY]))
    paths = [re.sub(r"\{[\w:]+\}", "x", r.path) for r in app.routes if isinstance(r, Route)]
    assert len(paths) >= 10
    with TestClient(app) as client:
        for path in (*paths, "/", "/docs", "/v1/embeddings"):
            for method in ("GET", "POST", "DELETE"):
                for sent in (None, "Bearer wrong", "Bearer", f"Basic {KEY}", f"Bearer {KEY}x"):
                    headers = {} if sent is None else {"Authorization": sent}
                    response = client.request(method, path, headers=headers)
                    if path == "/health":
                        assert response.status_code in (200, 405)
                    else:
                        refused(response, 401, "Authorization: Bearer KEY")
                        assert response.headers["www-authenticate"] == "Bearer"


def test_each_of_several_keys_is_accepted(engine):
    with TestClient(build(service(engine), Keys.of(["first-key", "second-key"]))) as client:
        for key in ("first-key", "second-key"):
            ok(client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}))


def test_keys_are_not_kept_as_they_are():
    assert (
        KEY not in repr(Keys.of([KEY])) and KEY.encode() not in repr(vars(Keys.of([KEY]))).encode()
    )


def test_without_keys_no_other_site_is_answered(engine):
    with TestClient(build(service(engine), Keys.of([]))) as client:
        ok(client.get("/v1/models", headers=OPEN))
        ok(client.get("/v1/models", headers={"Host": "127.0.0.1:8000"}))
        refused(client.get("/v1/models", headers={"Host": "evil.example"}), 403)
        origin = OPEN | {"Origin": "https://evil.example"}
        refused(client.post("/v1/completions", headers=origin, json={"prompt": "x"}), 403)
        ok(client.get("/health", headers={"Host": "evil.example"}))


# ----- wrong requests

WRONG = [
    ("/v1/completions", {}, "prompt", "missing"),
    ("/v1/completions", {"prompt": ""}, "prompt", "empty"),
    ("/v1/completions", {"prompt": []}, "prompt", "a list of 0"),
    ("/v1/completions", {"prompt": [[]]}, "prompt[0]", "empty"),
    ("/v1/completions", {"prompt": [5, "x"]}, "prompt[1]", "token id"),
    ("/v1/completions", {"prompt": [5, 400]}, "prompt[1]", "0 to 399"),
    ("/v1/completions", {"prompt": [5, -1]}, "prompt[1]", "-1"),
    ("/v1/completions", {"prompt": [True]}, "prompt[0]", "true"),
    ("/v1/completions", {"prompt": ["a", "b", "c", "d"]}, "prompt", "3 prompts at most"),
    ("/v1/completions", {"prompt": "x", "n": 5}, "n", "1 to 4"),
    ("/v1/completions", {"prompt": "x", "n": "two"}, "n", "a whole number"),
    ("/v1/completions", {"prompt": "x", "max_tokens": 0}, "max_tokens", "with echo"),
    ("/v1/completions", {"prompt": "x", "max_tokens": 501}, "max_tokens", "500"),
    ("/v1/completions", {"prompt": "x", "temperature": -1}, "temperature", "0 to 10"),
    ("/v1/completions", {"prompt": "x", "top_p": 0}, "top_p", "above 0"),
    ("/v1/completions", {"prompt": "x", "seed": -1}, "seed", "4294967295"),
    ("/v1/completions", {"prompt": "x", "stop": [""]}, "stop", "none empty"),
    ("/v1/completions", {"prompt": "x", "stop": ["a"] * 17}, "stop", "16"),
    ("/v1/completions", {"prompt": "x", "logprobs": 6}, "logprobs", "0 to 5"),
    ("/v1/completions", {"prompt": "x", "logprobs": True}, "logprobs", "a whole number"),
    ("/v1/completions", {"prompt": "x", "best_of": 3}, "best_of", "3"),
    ("/v1/completions", {"prompt": "x", "suffix": "y"}, "suffix", "end"),
    ("/v1/completions", {"prompt": "x", "logit_bias": {"5": 1}}, "logit_bias", "not supported"),
    ("/v1/completions", {"prompt": "x", "presence_penalty": 1}, "presence_penalty", "0"),
    ("/v1/completions", {"prompt": "x", "grammar": "y"}, "grammar", "unknown"),
    ("/v1/completions", {"prompt": "x", "retro": {"index": 1}}, "retro.index", "unknown"),
    ("/v1/completions", {"prompt": "x", "retro": {"k": 3}}, "retro.k", "0 to 2"),
    ("/v1/completions", {"prompt": "x", "retro": {"in_context": True}},
     "retro.in_context", "false"),
    ("/v1/completions", {"prompt": "x", "retro": {"pinned": [{}]}},
     "retro.pinned[0].text", "missing"),
    ("/v1/chat/completions", {}, "messages", "user"),
    ("/v1/chat/completions", {"messages": "hello"}, "messages", "a list"),
    ("/v1/chat/completions", {"messages": [{"role": "tool", "content": "x"}]},
     "messages[0].role", "user"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": 5}]},
     "messages[0].content", "a text"),
    ("/v1/chat/completions", {"messages": [{"role": "assistant", "content": "x"}]},
     "messages[0].role", "in turn"),
    ("/v1/chat/completions", CHAT | {"top_logprobs": 2}, "top_logprobs", "logprobs"),
    ("/v1/chat/completions", CHAT | {"response_format": {"type": "json_object"}},
     "response_format", "text"),
    ("/tokenize", {}, "prompt", "missing"),
    ("/detokenize", {"tokens": [5, 5.5]}, "tokens[1]", "token id"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "param", "expected"), WRONG)
def test_a_wrong_field_is_named(client, path, body, param, expected):
    error = refused(client.post(path, json=body), 400, expected)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"prompt": NaN}', b"[" * 9000])
def test_what_is_no_object_is_refused(client, data):
    refused(client.post("/v1/completions", content=data), 400)


def test_fields_that_are_off_are_accepted(client):
    off = {"logit_bias": {}, "frequency_penalty": 0, "best_of": None, "stop": None, "user": "u"}
    ok(client.post("/v1/completions", json={"prompt": "x", **off}))


def test_another_model_is_not_found(client):
    error = refused(
        client.post("/v1/completions", json={"prompt": "x", "model": "gpt"}), 404, "tiny"
    )
    assert error["code"] == "model_not_found"


def test_a_prompt_beyond_the_context_is_refused(client):
    for more in ({}, {"echo": True, "logprobs": 1}, {"stream": True}):
        response = client.post("/v1/completions", json={"prompt": [300] * 300, **more})
        assert refused(response, 400, "256" if more.get("echo") else "255")["code"] == (
            "context_length_exceeded"
        )


def test_a_large_body_is_refused(client):
    refused(client.post("/v1/completions", json={"prompt": "x" * 30_000}), 413, "20,000")


def test_a_path_that_is_not_there_is_an_error_of_the_same_shape(client):
    refused(client.get("/v1/embeddings"), 404)
    response = client.get("/v1/completions")
    refused(response, 405)
    assert response.headers["allow"] == "POST"


# ----- too much at once


def test_a_busy_engine_says_when_to_come_back(tokenizer):
    busy = FakeEngine(tokenizer, busy=True)
    with client_of(service(busy)) as client:
        for body in (CHAT, CHAT | {"stream": True}):
            response = client.post("/v1/chat/completions", json=body)
            refused(response, 429, "40 replies wait")
            assert response.headers["retry-after"] == "7"


def test_more_requests_than_there_are_places_are_sent_away(tokenizer):
    slow = FakeEngine(tokenizer, seconds=0.02)
    limits = Limits(requests=2)
    with (
        listening(build(service(slow), Keys.of([KEY]), limits)) as url,
        httpx.Client(base_url=url, headers=HEADERS) as client,
    ):
        found: list[int] = []

        def ask() -> None:
            body = {"prompt": "x", "max_tokens": 20}
            found.append(client.post("/v1/completions", json=body).status_code)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [200, 200, 429, 429, 429, 429]
        assert slow.most_open <= 2
        ok(client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}))


def test_a_reply_that_takes_too_long_ends_with_what_there_is(tokenizer):
    slow = FakeEngine(tokenizer, seconds=0.02)
    with client_of(service(slow), seconds=0.3) as client:
        body = {"prompt": "x", "max_tokens": 200}
        (choice,) = ok(client.post("/v1/completions", json=body))["choices"]
        streamed = pieces(client.post("/v1/completions", json=body | {"stream": True}))
    assert choice["finish_reason"] == "length"
    assert choice["retro"]["finish"] == streamed[-1]["choices"][0]["retro"]["finish"] == "time"
    assert choice["text"]
    assert eventually(lambda: slow.open == 0)


def test_a_reply_that_does_not_begin_in_time_is_refused(tokenizer):
    slow = FakeEngine(tokenizer, seconds=0.5)
    with client_of(service(slow), first_seconds=0.05) as client:
        refused(client.post("/v1/completions", json={"prompt": "x"}), 429, "0.05 s")


def test_an_engine_that_fails_is_an_error_in_the_stream_and_before_it(tokenizer, caplog):
    broken = FakeEngine(tokenizer, broken="the memory is full")
    with client_of(service(broken)) as client:
        refused(client.post("/v1/completions", json={"prompt": "x"}), 500, "memory is full")
        body = {"prompt": "x", "stream": True, "retro": {"retrieve": True}}
        *_, last = client.post("/v1/completions", json=body).text.strip().split("\n\n")
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_failed"
    assert broken.open == 0


# ----- clients that go away


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_the_engine_within_a_step(tokenizer, stream):
    slow = FakeEngine(tokenizer, seconds=0.02)
    body: dict[str, Any] = {"prompt": "x", "max_tokens": 200, "n": 2, "stream": stream}
    with listening(build(service(slow), Keys.of([KEY]))) as url:
        with httpx.Client(base_url=url, headers=HEADERS) as client:
            if stream:
                with client.stream("POST", "/v1/completions", json=body) as response:
                    next(response.iter_lines())
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.post("/v1/completions", json=body, timeout=0.2)
            left = time.monotonic()
            assert slow.most_open == 2
        assert eventually(lambda: slow.open == 0, 1.0)
        assert time.monotonic() - left < 1.0  # 200 tokens would take 4 s
        with httpx.Client(base_url=url, headers=HEADERS) as client:
            assert "retro_requests_running 0.0" in client.get("/metrics").text


def test_a_body_that_does_not_arrive_is_given_up(tokenizer):
    app = build(service(FakeEngine(tokenizer)), Keys.of([KEY]), Limits(body_seconds=0.1))

    def slowly() -> Iterator[bytes]:
        yield b'{"prompt"'
        time.sleep(0.4)
        yield b': "x"}'

    with listening(app) as url, httpx.Client(base_url=url, headers=HEADERS) as client:
        refused(client.post("/v1/completions", content=slowly()), 408, "0.1 s")
