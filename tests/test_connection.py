"""engine.connection: a server that is gone, foreign, silent or busy, in words of what to do."""

import time
from contextlib import closing
from dataclasses import replace

import pytest

from engine import connection, sse, wire
from engine.connection import address_of, warning_of
from engine.messages import (
    PROTOCOL,
    About,
    BadAddress,
    Broken,
    Failed,
    OtherModel,
    Unreachable,
    WrongKey,
    WrongServer,
)
from engine.protocol import ChunkEvent, EngineBusy, Scoring, TokenEvent
from engine.remote import RemoteEngine
from tests.attached import COUNT, KEY, Canned, Counting, plain, serve, stream


def about(counting: Counting, **fields) -> bytes:
    return plain(wire.to_json(About(PROTOCOL, counting.info)) | fields)


def attach(answers: list[bytes], counting: Counting, **fields) -> tuple[Canned, RemoteEngine]:
    """An engine whose server gives these answers after those to attaching."""
    tokenizer = plain(counting.tokenizer.data)
    server = Canned([about(counting), tokenizer, *answers], **fields)
    return server, RemoteEngine(server.url, KEY)


TOKEN = sse.message("token", wire.dumps(TokenEvent(1, " one", -1.0, (), 0)))
END = sse.message("end", "null")
LAST = b"0\r\n\r\n"


def test_a_server_that_goes_in_the_middle_leaves_what_it_has_written(counted):
    with closing(RemoteEngine(counted.url, KEY)) as engine:
        written, got = engine.generate(COUNT), []
        with pytest.raises(Broken, match=f"{counted.url} broke after"):
            for event in written:
                got.append(event)
                if len(got) == 5:
                    counted.stop()
        assert len(got) >= 5


@pytest.mark.parametrize(
    "last",
    [
        b"",
        LAST,
        b"5\r\nda",
        b"12\r\nevent: verse\ndata: 1\n\n\r\n",
        b"8\r\ndata: x\n\r\n1\r\n\n\r\n",
    ],
)
def test_a_stream_that_ends_early_or_in_nonsense_is_broken(counting, last):
    _, engine = attach([stream(sse.PING, TOKEN) + last], counting)
    with closing(engine):
        written = engine.generate(COUNT)
        assert next(written) == TokenEvent(1, " one", -1.0, (), 0)
        with pytest.raises(Broken, match="what came until then is kept"):
            list(written)


def test_what_nothing_came_back_from_is_tried_again(counting, monkeypatch):
    monkeypatch.setattr(connection, "PAUSES", (0.0, 0.0))
    server, engine = attach([b"", stream(sse.PING), stream(TOKEN, END) + LAST], counting)
    with closing(engine):
        assert len(list(engine.generate(COUNT))) == 1
    assert len(server.asked) == 5


def test_what_has_begun_is_not_tried_again(counting, monkeypatch):
    monkeypatch.setattr(connection, "PAUSES", (0.0, 0.0))
    server, engine = attach([stream(TOKEN)] * 2, counting)
    with closing(engine), pytest.raises(Broken):
        list(engine.generate(COUNT))
    assert len(server.asked) == 3


@pytest.mark.parametrize(("sent", "error"), [((), Unreachable), ((TOKEN,), Broken)])
def test_a_server_that_shows_no_life_is_given_up(counting, monkeypatch, sent, error):
    monkeypatch.setattr(connection, "SILENT_SECONDS", 0.2)
    _, engine = attach([stream(*sent)], counting, open_seconds=0.6)
    with closing(engine), pytest.raises(error, match="no sign"):
        list(engine.generate(COUNT))


def test_nothing_there_is_said_with_the_address_and_what_to_try(monkeypatch):
    monkeypatch.setattr(connection, "PAUSES", (0.0,))
    server = Canned([])
    time.sleep(0.02)
    with pytest.raises(Unreachable, match=f"{server.url}.*refused.*serve` running"):
        RemoteEngine(server.url, KEY)


def test_a_server_that_comes_back_is_used_again(counting, counted, tokenizer):
    with closing(RemoteEngine(counted.url, KEY)) as engine:
        assert engine.refresh() is False
        counted.stop()
        with pytest.raises(Unreachable):
            engine.refresh()
        other = Counting(tokenizer)
        other.info = replace(counting.info, fingerprint="d" * 64)
        again = serve(other, port=counted.port)
        try:
            with pytest.raises(OtherModel, match=r"cccccccccccc.*dddddddddddd"):
                next(engine.generate(COUNT))
            assert engine.refresh() is True
            assert engine.info == other.info
            assert isinstance(next(engine.generate(COUNT)), ChunkEvent)
        finally:
            again.stop()


@pytest.mark.parametrize("key", ["", "battery-staple"])
def test_a_wrong_key_is_said_and_not_shown(counted, key):
    with pytest.raises(WrongKey, match=r"refuses the key.*RETROSCOPE_API_KEY") as refused:
        RemoteEngine(counted.url, key)
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_a_key_that_no_header_holds_is_refused_and_not_shown(key):
    with pytest.raises(BadAddress) as refused:
        RemoteEngine("http://127.0.0.1:1", key)
    assert key not in str(refused.value)


def test_a_busy_server_says_how_long_to_wait(counted, counting):
    counting.fails[0] = EngineBusy("8 replies wait", 2.5)
    with closing(RemoteEngine(counted.url, KEY)) as engine:
        for ask in (
            lambda: next(engine.generate(COUNT)),
            lambda: engine.score(Scoring((), (1,), ((),))),
        ):
            with pytest.raises(EngineBusy, match="8 replies wait") as refused:
                ask()
            assert refused.value.retry_after == 3


@pytest.mark.parametrize("number", [0, 3])
def test_an_engine_that_fails_there_is_told_from_a_broken_connection(counted, counting, number):
    counting.fails[number] = OSError("disk")
    with (
        closing(RemoteEngine(counted.url, KEY)) as engine,
        pytest.raises(Failed, match="OSError: disk"),
    ):
        list(engine.generate(COUNT))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (plain(b"<html>"), "not as an engine of Retroscope"),
        (plain({"object": "list"}), "not as an engine of Retroscope"),
        (plain({"detail": "Not Found"}, "404 Not Found"), "not as an engine of Retroscope"),
        (plain({}, "307 Moved", "Location: http://192.0.2.1/"), "status 307"),
        (plain({"protocol": PROTOCOL + 1}), f"version {PROTOCOL + 1} of the protocol"),
    ],
)
def test_another_kind_of_server_is_told(answer, words):
    server = Canned([answer])
    with pytest.raises(WrongServer, match=words):
        RemoteEngine(server.url, KEY)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway"])
def test_a_server_that_fails_without_a_word_may_be_back(status):
    server = Canned([plain(b"failed", status)])
    with pytest.raises(Unreachable, match=f"status {status[:3]}"):
        RemoteEngine(server.url, KEY)


def test_a_tokenizer_that_is_not_the_one_named_is_refused(counting):
    server = Canned([about(counting), plain(counting.tokenizer.data[:-1])])
    with pytest.raises(WrongServer, match=r"tokenizer from .* arrived as"):
        RemoteEngine(server.url, KEY)


def test_a_server_that_changes_its_tokenizer_must_be_attached_anew(counting):
    changed = wire.to_json(replace(counting.info, tokenizer="f" * 64))
    _, engine = attach([about(counting, info=changed)], counting)
    with closing(engine), pytest.raises(WrongServer, match="another tokenizer"):
        engine.refresh()


# ----- addresses


@pytest.mark.parametrize(
    "given",
    ["http://host:8000", "http://host:8000/", " http://host:8000/v1 ", "http://host:8000/v1/"],
)
def test_an_address_is_taken_without_what_may_follow_it(given):
    assert address_of(given) == "http://host:8000"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "host:8000",
        "ftp://host",
        "http://",
        "http://a:secret@host",
        "http://h?x=1",
        "http://[::1",
        "http://h:99999999",
    ],
)
def test_what_is_no_address_is_refused(given):
    with pytest.raises(BadAddress) as refused:
        address_of(given)
    assert "http://host:8000" in str(refused.value) and "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://127.0.0.1:8000", False), ("http://localhost:8000", False),
        ("http://[::1]:8000", False), ("https://tpu.example", False),
        ("http://tpu.example", True), ("http://10.0.0.7:8000", True),
    ],
)  # fmt: skip
def test_text_that_travels_unencrypted_is_warned_of(url, warned):
    assert ("not encrypted" in warning_of(url)) == warned
    assert "\n" not in warning_of(url)
