"""The contract of the engine server's completions, with a fake engine."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from engine.protocol import Scoring, Segment
from engine.tokenizer import EOS, Tokenizer
from tests.answering import FakeEngine, client_of, likeliest, neighbour, ok, pieces, service


@pytest.fixture(scope="module")
def engine(tokenizer: Tokenizer) -> FakeEngine:
    return FakeEngine(tokenizer)


@pytest.fixture(scope="module")
def client(engine: FakeEngine) -> Iterator[TestClient]:
    with client_of(service(engine), body=20_000, body_seconds=2) as client:
        yield client


def test_a_completion_continues_its_prompt_letter_by_letter(client, engine, tokenizer):
    text = ok(client.post("/v1/completions", json={"prompt": "The harbour", "max_tokens": 9}))
    tokens = tokenizer.encode("The harbour")
    for _ in range(9):
        tokens.append(likeliest(tokens, tokenizer.size)[0])
    greedy = ok(
        client.post(
            "/v1/completions", json={"prompt": "The harbour", "max_tokens": 9, "temperature": 0}
        )
    )
    assert "The harbour" + greedy["choices"][0]["text"] == tokenizer.decode(tokens)
    assert text["object"] == "text_completion"
    assert text["usage"] == {"prompt_tokens": len(tokenizer.encode("The harbour")),
                             "completion_tokens": 9,
                             "total_tokens": len(tokenizer.encode("The harbour")) + 9}  # fmt: skip


def test_a_prompt_of_token_ids_is_the_prompt_of_its_text(client, tokenizer):
    asked = {"max_tokens": 6, "seed": 3, "logprobs": 2}
    as_text = ok(client.post("/v1/completions", json={"prompt": "A heron waits", **asked}))
    ids = tokenizer.encode("A heron waits")
    as_ids = ok(client.post("/v1/completions", json={"prompt": ids, **asked}))
    assert as_ids["choices"] == as_text["choices"]


def test_prompts_of_a_list_are_answered_as_each_alone(client, tokenizer):
    prompts = ["A heron", "Old clocks lose", "If the moon"]
    asked = {"max_tokens": 5, "seed": 7, "n": 2}
    together = ok(client.post("/v1/completions", json={"prompt": prompts, **asked}))["choices"]
    assert [c["index"] for c in together] == list(range(6))
    alone = [
        choice["text"]
        for prompt in prompts
        for choice in ok(client.post("/v1/completions", json={"prompt": prompt, **asked}))[
            "choices"
        ]
    ]
    assert [c["text"] for c in together] == alone
    assert together[0]["text"] != together[1]["text"]


def test_an_echo_has_the_prompt_its_scores_and_one_token_more(client, engine, tokenizer):
    ids = tokenizer.encode("Copper conducts heat better than iron.")
    body = {"prompt": [ids], "max_tokens": 1, "logprobs": 1, "echo": True, "temperature": 0}
    (choice,) = ok(client.post("/v1/completions", json=body | {"seed": 1234}))["choices"]
    found = choice["logprobs"]
    assert choice["text"].startswith("Copper conducts heat better than iron.")
    assert {len(found[name]) for name in found} == {len(ids) + 1}
    assert found["token_logprobs"][0] is found["top_logprobs"][0] is None
    chunks = -(-(len(ids) - 1) // 8)
    scoring = Scoring((Segment("", True, (ids[0],)),), tuple(ids[1:]), ((),) * chunks)
    expected = [p for c in engine.score(scoring) for p in c.shown.logprobs]
    assert found["token_logprobs"][1:-1] == expected
    for value, top in zip(found["token_logprobs"][1:], found["top_logprobs"][1:], strict=True):
        assert value in top.values()
    last = found["top_logprobs"][-1]
    assert max(last.values()) == found["token_logprobs"][-1]  # greedy


def test_an_echo_without_tokens_to_write_is_the_prompt_alone(client, tokenizer):
    body = {"prompt": "Two hikers", "max_tokens": 0, "echo": True, "logprobs": 0}
    (choice,) = ok(client.post("/v1/completions", json=body))["choices"]
    assert choice["text"] == "Two hikers"
    assert choice["finish_reason"] == "length"
    assert len(choice["logprobs"]["token_logprobs"]) == len(tokenizer.encode("Two hikers"))
    assert choice["logprobs"]["top_logprobs"] is None


def test_a_stream_adds_up_to_the_whole(client):
    body = {"prompt": ["Why does", "bread rise"], "max_tokens": 12, "seed": 4, "n": 2, "echo": True,
            "logprobs": 3}  # fmt: skip
    whole = ok(client.post("/v1/completions", json=body))
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    *streamed, last = pieces(client.post("/v1/completions", json=body))
    assert last["choices"] == []
    assert last["usage"] == whole["usage"]
    for choice in whole["choices"]:
        mine = [c for p in streamed for c in p["choices"] if c["index"] == choice["index"]]
        assert "".join(p["text"] for p in mine) == choice["text"]
        for name in choice["logprobs"]:
            joined = [v for p in mine if p["logprobs"] for v in p["logprobs"][name]]
            assert joined == choice["logprobs"][name]
        assert [p["finish_reason"] for p in mine if p["finish_reason"]] == ["length"]


def test_text_offsets_lead_to_the_tokens(client, tokenizer):
    body = {"prompt": "Le café était fermé", "max_tokens": 7, "echo": True, "logprobs": 1}
    (choice,) = ok(client.post("/v1/completions", json=body))["choices"]
    found = choice["logprobs"]
    for token, offset in zip(found["tokens"], found["text_offset"], strict=True):
        if not token.startswith("bytes:"):
            assert choice["text"][offset:].startswith(token)


def test_a_stop_text_is_cut_off(client):
    body = {"prompt": "The printer", "max_tokens": 40, "temperature": 0}
    text = ok(client.post("/v1/completions", json=body))["choices"][0]["text"]
    stop = text[10:13]
    (choice,) = ok(client.post("/v1/completions", json=body | {"stop": [stop]}))["choices"]
    assert choice["text"] == text[: text.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_the_same_seed_writes_the_same_and_none_is_reported(client):
    first = ok(client.post("/v1/completions", json={"prompt": "If the moon"}))["choices"][0]
    seed = first["retro"]["seed"]
    again = ok(client.post("/v1/completions", json={"prompt": "If the moon", "seed": seed}))
    assert again["choices"][0]["text"] == first["text"]


def test_a_text_may_begin_with_the_end_of_another(client, tokenizer):
    body = {"max_tokens": 0, "echo": True, "logprobs": 1}
    ids = [EOS, *tokenizer.encode("Bread </s>")]
    as_ids = ok(client.post("/v1/completions", json=body | {"prompt": ids}))["choices"][0]
    as_text = ok(client.post("/v1/completions", json=body | {"prompt": "</s>Bread </s>"}))
    assert as_text["choices"][0]["logprobs"] == as_ids["logprobs"]
    assert as_ids["text"] == "</s>Bread </s>"
    assert ok(client.post("/detokenize", json={"tokens": ids}))["prompt"] == "</s>Bread </s>"


def test_an_echo_with_retrieval_never_reads_ahead(engine):
    queries: list[str] = []

    def watch(query: str, k: int):
        queries.append(query)
        return [neighbour(len(queries) * 10 + i) for i in range(k)]

    ids = engine.tokenizer.encode("Where the glacier ended there was a lake, green with dust.")
    body = {
        "prompt": ids,
        "max_tokens": 0,
        "echo": True,
        "logprobs": 1,
        "retro": {"retrieve": True},
    }
    watched = replace(service(engine), retrieve=watch)
    with client_of(watched) as client:
        (choice,) = ok(client.post("/v1/completions", json=body))["choices"]
    rest = ids[1:]
    chunks = [rest[i : i + 8] for i in range(0, len(rest), 8)]
    assert queries == [engine.tokenizer.decode(c) for c in chunks[:-1]]
    shown = choice["retro"]["prompt"]
    assert [len(s) for s in shown] == [0] + [2] * (len(chunks) - 1)
