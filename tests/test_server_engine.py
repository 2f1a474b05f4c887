"""The engine server on a port of its own, with a small model and the official client."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from app.rendering import rendered
from engine.local import LocalEngine
from engine.protocol import Sampling, Scoring, Segment
from engine.server.application import build
from engine.server.keys import Keys
from engine.server.service import Service
from prompts.dialogue import DEFAULT
from tests.answering import HEADERS, KEY, eventually, listening, ok

TEXT = "The harbour was dug in 1411, and the town grew around it."


@pytest.fixture(scope="module")
def tiny(weights: Path) -> LocalEngine:
    """In float32, where a written token has the log-probability that scoring gives it."""
    return LocalEngine.load(weights)


@pytest.fixture(scope="module")
def address(tiny) -> Iterator[str]:
    render = partial(rendered, template=DEFAULT)
    own = Service(tiny, render, defaults=Sampling(max_tokens=20), started=1)
    with listening(build(own, Keys.of([KEY]))) as url:
        yield url


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def scored(tiny, prompt: list[int], tokens: list[int]) -> list[float]:
    """The engine's own log-probabilities of a reply to a prompt that ends a chunk."""
    scoring = Scoring(
        (Segment("", True, tuple(prompt)),), tuple(tokens), ((),) * -(-len(tokens) // 8)
    )
    return [p for chunk in tiny.score(scoring) for p in chunk.shown.logprobs]


def written(choices: Sequence[Any]) -> list[int]:
    """The token ids of a reply, from its choice or from the pieces of it."""
    return [id for c in choices for id in (c.model_extra.get("retro") or {}).get("tokens", ())]


def test_the_official_client_streams_a_completion_with_the_engine_s_values(client, tiny):
    stream = client.completions.create(
        model="tiny", prompt=TEXT, max_tokens=12, seed=3, logprobs=2, stream=True,
        temperature=0.8, stream_options={"include_usage": True},
    )  # fmt: skip
    found = list(stream)
    choices = [choice for piece in found for choice in piece.choices]
    values = [value for c in choices if c.logprobs for value in c.logprobs.token_logprobs]
    prompt, tokens = tiny.tokenizer.encode(TEXT), written(choices)
    assert TEXT + "".join(c.text for c in choices) == tiny.tokenizer.decode(prompt + tokens)
    assert values == pytest.approx(scored(tiny, prompt, tokens), abs=1e-4)
    assert found[-1].usage.completion_tokens == len(values) == 12


def test_the_official_client_streams_a_chat_with_the_engine_s_values(client, tiny):
    stream = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "When was it dug?"}], max_tokens=12,
        seed=5, logprobs=True, top_logprobs=3, stream=True,
    )  # fmt: skip
    pieces = [choice for piece in stream for choice in piece.choices]
    content = [token for c in pieces if c.logprobs for token in c.logprobs.content]
    prompt = tiny.tokenizer.encode(DEFAULT.render("When was it dug?"))
    expected = scored(tiny, prompt, written(pieces))
    assert [token.logprob for token in content] == pytest.approx(expected, abs=1e-4)
    assert all(len(token.top_logprobs) == 3 for token in content)
    assert pieces[-1].finish_reason in ("stop", "length")


def test_every_value_of_an_echo_is_the_engine_s_own_exactly(client, tiny):
    prompts = [tiny.tokenizer.encode(t) for t in (TEXT, "A heron waits in the reeds.", "Bread")]
    response = client.completions.create(
        model="tiny", prompt=prompts, max_tokens=1, logprobs=1, echo=True, temperature=0
    )
    for prompt, choice in zip(prompts, response.choices, strict=True):
        first, *values, _ = choice.logprobs.token_logprobs
        assert first is None
        assert values == scored(tiny, prompt[:1], prompt[1:])
        for value, top in zip(values, choice.logprobs.top_logprobs[1:-1], strict=True):
            assert value in top.values()


def test_the_likeliest_token_of_an_echo_is_the_greedy_one(client, tiny):
    prompt = tiny.tokenizer.encode(TEXT)
    ask = partial(client.completions.create, model="tiny", temperature=0, logprobs=1)
    tokens = written(ask(prompt=prompt, max_tokens=4).choices)
    echoed = ask(prompt=prompt + tokens, max_tokens=1, echo=True).choices[0].logprobs
    for value, top in list(zip(echoed.token_logprobs, echoed.top_logprobs, strict=True))[-5:-1]:
        assert value == max(top.values())


def test_the_official_client_raises_what_the_server_refuses(client, address):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="tiny", prompt="x", logprobs=9)
    assert caught.value.param == "logprobs"
    with (
        openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


def test_a_stream_that_is_left_makes_room_for_the_next(address):
    body = {"prompt": "x", "max_tokens": 200, "stream": True}
    with httpx.Client(base_url=address, headers=HEADERS) as client:
        for _ in range(6):
            with client.stream("POST", "/v1/completions", json=body) as response:
                next(response.iter_lines())
        assert ok(client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}))
        assert eventually(lambda: "retro_requests_running 0.0" in client.get("/metrics").text)


def test_a_conversation_is_rendered_with_its_past(client):
    messages = [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "What rises?"},
        {"role": "assistant", "content": "The tide."},
        {"role": "user", "content": "And what falls?"},
    ]
    reply = client.chat.completions.create(model="tiny", messages=messages, max_tokens=2)
    assert reply.usage.prompt_tokens > 30
    assert reply.choices[0].model_extra["retro"]["finish"] in ("stop", "length")
