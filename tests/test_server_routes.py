"""The contract of the engine server's routes, with a fake engine."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from engine.protocol import Sampling
from engine.sampling import ALTERNATIVES as reported
from engine.server.application import Server
from engine.server.keys import Keys
from engine.server.service import ALTERNATIVES, Limits
from engine.tokenizer import EOS, Tokenizer
from tests.answering import (
    CHAT,
    CONTEXT,
    HEADERS,
    KEY,
    FakeEngine,
    client_of,
    ok,
    pieces,
    refused,
    service,
)


@pytest.fixture(scope="module")
def engine(tokenizer: Tokenizer) -> FakeEngine:
    return FakeEngine(tokenizer)


@pytest.fixture(scope="module")
def client(engine: FakeEngine) -> Iterator[TestClient]:
    with client_of(service(engine), body=20_000, body_seconds=2) as client:
        yield client


# ----- chat


def test_a_chat_reply_streams_with_its_passages(client):
    whole = ok(client.post("/v1/chat/completions", json=CHAT | {"seed": 1, "max_tokens": 20}))
    body = CHAT | {"seed": 1, "max_tokens": 20, "stream": True}
    streamed = [p["choices"][0] for p in pieces(client.post("/v1/chat/completions", json=body))]
    assert streamed[0]["delta"]["role"] == "assistant"
    assert all("role" not in p["delta"] for p in streamed[1:])
    text = "".join(p["delta"].get("content") or "" for p in streamed)
    assert text == whole["choices"][0]["message"]["content"]
    chunks = [p["retro"]["chunk"] for p in streamed if "chunk" in p.get("retro", {})]
    known = whole["choices"][0]["retro"]["chunks"]
    assert [c["neighbours"] for c in chunks] == [c["neighbours"] for c in known]
    assert len(chunks) == 3 and chunks[0]["neighbours"][0]["title"] == "Title 0"
    spans = [text[c["start"] : c["end"]] for c in known]
    assert "".join(spans) == text


def test_chat_log_probabilities_are_those_of_its_tokens(client, tokenizer):
    body = CHAT | {"logprobs": True, "top_logprobs": 2, "max_tokens": 5, "temperature": 0}
    (choice,) = ok(client.post("/v1/chat/completions", json=body))["choices"]
    content = choice["logprobs"]["content"]
    assert len(content) == 5
    for token in content:
        assert len(token["top_logprobs"]) == 2
        assert token["logprob"] == token["top_logprobs"][0]["logprob"]
        assert bytes(token["bytes"]).decode() == token["token"]


def test_a_chat_without_log_probabilities_has_none(client):
    (choice,) = ok(client.post("/v1/chat/completions", json=CHAT))["choices"]
    assert choice["logprobs"] is None


def test_what_retro_asks_for_reaches_the_engine(client, engine):
    pinned = ok(client.post("/v1/chat/completions", json=CHAT))["choices"][0]["retro"]["chunks"]
    passage = pinned[0]["neighbours"][1]
    retro = {"retrieve": False, "k": 1, "pinned": [passage], "in_context": True}
    ok(client.post("/v1/chat/completions", json=CHAT | {"retro": retro}))
    asked = engine.asked[-1]
    assert (asked.retrieve, asked.k) == (False, 1)
    assert asked.always[0].text == passage["text"]
    assert asked.always[0].tokens == tuple(engine.tokenizer.encode(passage["text"])[:8])
    assert asked.prompt[0].text.startswith(passage["text"])


def test_what_a_request_leaves_open_is_the_model_s_own(engine):
    own = service(engine, defaults=Sampling(0.25, 9, 0.5, max_tokens=3))
    with client_of(own) as client:
        ok(client.post("/v1/chat/completions", json=CHAT | {"seed": 5, "top_p": 0.75}))
    assert engine.asked[-1].sampling == Sampling(0.25, 9, 0.75, 3, 5)


def test_the_parts_of_a_message_are_put_together(client, engine):
    content = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    ok(
        client.post(
            "/v1/chat/completions", json={"messages": [{"role": "user", "content": content}]}
        )
    )
    assert engine.asked[-1].query == "one\ntwo"


# ----- tokens and the rest


def test_tokens_and_texts_go_both_ways(client, tokenizer):
    text = "Der Schnee шёл тихо 🌊"
    body = {"prompt": text, "add_special_tokens": False}
    tokens = ok(client.post("/tokenize", json=body))["tokens"]
    assert tokens == tokenizer.encode(text)
    assert ok(client.post("/detokenize", json={"tokens": tokens}))["prompt"] == text


def test_the_end_of_a_text_is_one_token(client):
    about = ok(client.get("/tokenizer_info"))
    assert about["bos_token"] == about["eos_token"]
    body = {"prompt": about["eos_token"], "add_special_tokens": False}
    assert ok(client.post("/tokenize", json=body))["tokens"] == [EOS]
    assert ok(client.post("/detokenize", json={"tokens": [EOS]}))["prompt"] == about["eos_token"]


def test_the_model_is_described(client):
    (model,) = ok(client.get("/v1/models"))["data"]
    assert model["id"] == "tiny"
    assert model["retro"]["context"] == CONTEXT
    assert ok(client.get("/v1/models/tiny")) == model
    refused(client.get("/v1/models/other"), 404, "tiny")


def test_the_server_counts(client):
    ok(client.post("/v1/completions", json={"prompt": "A heron", "max_tokens": 3}))
    text = client.get("/metrics").text
    assert 'retro_requests_total{route="/v1/completions",status="200"}' in text
    assert "retro_first_token_seconds_bucket" in text
    assert "retro_requests_running 0.0" in text


def test_until_the_engine_is_there_all_but_health_waits(engine):
    server = Server(Keys.of([KEY]), Limits())
    with TestClient(server.app, headers=HEADERS) as client:
        server.say("loading the model")
        assert ok(client.get("/health")) == {"status": "ok"}
        for method, path in (("GET", "/ready"), ("POST", "/v1/completions"), ("GET", "/v1/models")):
            response = client.request(method, path, json={"prompt": "x"})
            refused(response, 503, "loading the model")
            assert int(response.headers["retry-after"]) >= 1
        server.open(service(engine))
        assert ok(client.get("/ready"))["model"] == "tiny"
        ok(client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}))


def test_a_server_does_not_load_the_page():
    check = (
        "import sys, engine.server.application, engine.server.listening\n"
        "print(sorted({'jax', 'flax', 'gradio', 'faiss'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_as_many_alternatives_as_engines_report():
    assert reported == ALTERNATIVES


def test_a_pinned_passage_that_is_long_goes_on_in_its_continuation(client, engine):
    text = "The harbour was dug in 1411, and the town grew around it until the river moved away."
    retro = {"pinned": [{"text": text}]}
    ok(client.post("/v1/chat/completions", json=CHAT | {"retro": retro}))
    shown = engine.asked[-1].always[0]
    ids = tuple(engine.tokenizer.encode(text))
    assert (shown.tokens, shown.continuation_tokens) == (ids[:8], ids[8:16])
