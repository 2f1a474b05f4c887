"""engine.server.passthrough: the routes as a stranger's program would use them."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from engine import wire
from engine.messages import About, Wish
from engine.protocol import EngineBusy, PromptTooLong, Request, Scoring, Segment
from engine.server import passthrough, relay
from engine.server.application import Server
from engine.server.keys import Keys
from engine.server.service import Limits
from tests.attached import KEY, Loopback, serve

ASK = Request((Segment("Count."),), "count")


@pytest.fixture(scope="module")
def server(counting) -> Iterator[Loopback]:
    server = serve(counting, {"note": "It counts.", "loss": [1.5, float("inf")]})
    yield server
    server.stop()


@pytest.fixture(scope="module")
def http(server) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_fails(counting):
    counting.fails.clear()
    counting.ended.clear()


def problem(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["message"]


def test_info_says_who_answers_and_brings_the_card(http, counting):
    about = wire.read(About, http.get("/retro/info").json())
    assert about.info == counting.info
    assert (about.device, about.card["note"]) == ("an abacus", "It counts.")


def test_the_tokenizer_is_its_file(http, tokenizer_file):
    assert http.get("/retro/tokenizer").content == tokenizer_file.read_bytes()


@pytest.mark.parametrize("text", ["", "Why does bread rise?", "\ud800🌊"])
def test_count_counts_tokens(http, tokenizer, text):
    answer = http.post("/retro/count", content=json.dumps({"text": text}))
    assert answer.json() == {"tokens": len(tokenizer.encode(text))}


@pytest.mark.parametrize("path", ["/retro/count", "/retro/generate", "/retro/score"])
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"x": 1}', b"\xff", b"[" * 9999])
def test_a_wrong_body_is_refused_and_what_is_wrong_named(http, path, body):
    assert "expected" in problem(http.post(path, content=body), 400)


def test_a_wrong_field_is_named_by_its_path(http):
    body = wire.to_json(Wish(ASK))
    body["request"]["sampling"]["top_k"] = "many"
    assert 'request.sampling.top_k is "many"' in problem(
        http.post("/retro/generate", json=body), 400
    )


def test_a_body_beyond_the_limit_is_refused(http, monkeypatch):
    monkeypatch.setattr(passthrough, "BODY", 100)
    assert "100 bytes" in problem(http.post("/retro/count", json={"text": "x" * 100}), 413)


def test_a_body_that_does_not_arrive_is_given_up(server, monkeypatch):
    monkeypatch.setattr(passthrough, "BODY_SECONDS", 0.05)
    head = (
        f"POST /retro/count HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
        "Content-Length: 9\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "request_",
    [Request((Segment("", tokens=(4, 400)),), "q"), Request((Segment("", tokens=(-1,)),), "q")],
)
def test_tokens_outside_the_vocabulary_are_refused(http, request_):
    answer = http.post("/retro/generate", content=wire.dumps(Wish(request_)))
    assert "0 to 399" in problem(answer, 400)


def test_another_model_than_the_expected_is_refused(http):
    answer = http.post("/retro/generate", content=wire.dumps(Wish(ASK, model="d" * 64)))
    assert "dddddddddddd" in problem(answer, 409)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (EngineBusy("8 replies wait", 2.2), 429, "8 replies wait"),
        (PromptTooLong("too long"), 400, "too long"),
        (ValueError("off the grid"), 400, "off the grid"),
        (OSError("disk"), 500, "OSError: disk"),
    ],
)
def test_what_fails_before_the_first_event_has_a_status_of_its_own(
    http, counting, error, status, words
):
    counting.fails[0] = error
    for path, body in (
        ("/retro/generate", Wish(ASK)),
        ("/retro/score", passthrough.Reading(Scoring((), (1,), ((),)))),
    ):
        answer = http.post(path, content=wire.dumps(body))
        assert words in problem(answer, status)
        assert answer.headers.get("Retry-After") == ("3" if status == 429 else None)


def test_what_fails_later_ends_the_stream_with_the_reason(http, counting):
    counting.fails[2] = OSError("disk")
    text = http.post("/retro/generate", content=wire.dumps(Wish(ASK))).text
    *_, last = text.strip().split("\n\n")
    assert last.startswith("event: error\n") and "OSError: disk" in last
    assert text.count("event: token") == 2


def test_a_client_that_goes_frees_the_engine_within_a_step(http, counting):
    with http.stream("POST", "/retro/generate", content=wire.dumps(Wish(ASK))) as response:
        next(response.iter_bytes())
    assert counting.ended.wait(5)
    assert counting.said < 500 and counting.running == 0


def test_a_stream_with_nothing_to_say_shows_that_it_is_alive(http, monkeypatch):
    monkeypatch.setattr(relay, "PING_SECONDS", 0.02)
    body = wire.dumps(Wish(ASK, "client"))
    with http.stream("POST", "/retro/generate", content=body) as response:
        got = b""
        for piece in response.iter_bytes():  # nobody answers its search
            got += piece
            if got.count(b": ping\n\n") == 2:
                break


def searched(http: httpx.Client, response: httpx.Response) -> tuple[Iterator[str], dict]:
    """The lines of a stream and the search that it asks for."""
    lines = response.iter_lines()
    assert next(lines) == "event: search"
    return lines, json.loads(next(lines).removeprefix("data: "))


def test_a_search_is_answered_once_by_its_ticket(http):
    body = wire.dumps(Wish(ASK, "client"))
    with http.stream("POST", "/retro/generate", content=body) as response:
        lines, search = searched(http, response)
        assert (search["query"], search["k"], len(search["ticket"])) == ("count", 2, 32)
        place = f"/retro/found/{search['ticket']}"
        assert "neighbours" in problem(http.post(place, json={"neighbours": 3}), 400)
        assert http.post(place, json={"neighbours": []}).status_code == 204
        assert "nobody waits" in problem(http.post(place, json={"neighbours": []}), 404)
        assert "event: chunk" in lines


def test_a_search_ends_with_its_stream(http, counting):
    body = wire.dumps(Wish(ASK, "client"))
    with http.stream("POST", "/retro/generate", content=body) as response:
        _, search = searched(http, response)
    assert counting.ended.wait(5)
    problem(http.post(f"/retro/found/{search['ticket']}", json={}), 404)


def test_a_search_that_nobody_answers_is_given_up(http, monkeypatch):
    monkeypatch.setattr(passthrough, "SEARCH_SECONDS", 0.05)
    text = http.post("/retro/generate", content=wire.dumps(Wish(ASK, "client"))).text
    assert "event: error" in text and "no answer in 0.05 s" in text


def test_more_streams_than_there_are_threads_for_are_refused(counting, monkeypatch):
    monkeypatch.setattr(passthrough, "MOST_STREAMS", 1)
    server = serve(counting)
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as http:
        body = wire.dumps(Wish(ASK))
        with http.stream("POST", "/retro/generate", content=body) as response:
            pieces = response.iter_bytes()
            next(pieces)
            assert "1 streams" in problem(http.post("/retro/generate", content=body), 429)
    server.stop()


def test_a_server_that_still_loads_says_so():
    server = Loopback(Server(Keys.of([KEY]), Limits()).app)
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as http:
        assert "loading" in problem(http.get("/retro/info"), 503)
    server.stop()
