"""app.attached and `--engine`: the page and the commands with the model of a server."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app import attached
from app.attached import Watch, attach
from app.compose import Application, Status, load, open_application
from app.turn import Finished
from app.ui.notices import about, loading_notice
from engine import connection
from engine.protocol import EngineBusy, TokenEvent
from engine.remote import RemoteEngine
from tests.attached import KEY, Counting, Loopback, serve

CARD = {"note": "A toy.", "defaults": {"max_tokens": 20}}


@pytest.fixture(scope="module")
def served(tiny) -> Iterator[Loopback]:
    server = serve(tiny, CARD)
    yield server
    server.stop()


@pytest.fixture
def elsewhere(terminal, served, monkeypatch):
    """The options of a program whose model is a server's; it has no weights of its own."""
    monkeypatch.setattr(connection, "PAUSES", (0.0,))
    terminal.change(engine=served.url, key=KEY, weights=terminal.options.data / "none")
    return terminal


def test_a_question_gets_the_reply_that_the_engine_itself_gives(elsewhere, served, weights):
    there = elsewhere("ask", "When was the harbour dug?", "--json", "--seed", 3)
    elsewhere.change(engine="", weights=weights)
    here = elsewhere("ask", "When was the harbour dug?", "--json", "--seed", 3)
    a, b = json.loads(there.out), json.loads(here.out)
    assert there.err == ""
    for one in (a, b):
        del one["turn_id"], one["timings"]
    assert a["chunks"][0]["neighbours"]
    assert a == b


def test_a_logged_reply_names_the_model_and_comes_again_by_either_way(elsewhere, tiny, weights):
    turn = json.loads(elsewhere("ask", "Why?", "--json").out)["turn_id"]
    assert elsewhere("replay", turn).status == 0
    elsewhere.change(engine="", weights=weights)
    assert elsewhere("replay", turn).status == 0


def test_a_batch_is_asked_and_its_effects_are_measured(elsewhere, tmp_path):
    (tmp_path / "questions.txt").write_text("Why does bread rise?\n")
    ran = elsewhere("batch", tmp_path / "questions.txt", "--effects")
    assert ran.status == 0 and "1 replies" in ran.out
    again = elsewhere("batch", tmp_path / "questions.txt")
    assert "1 of 1 have been asked before" in again.out


def test_passages_are_searched_and_added_with_the_servers_tokenizer(elsewhere, tmp_path):
    (tmp_path / "mill.md").write_text("The mill grinds barley when the wind is up.")
    assert "1 documents added" in elsewhere("ingest", tmp_path / "mill.md").out
    assert "mill" in elsewhere("search", "barley").out


def test_a_database_of_another_tokenizer_is_refused_with_what_to_do(elsewhere, tmp_path):
    from engine.tokenizer import Tokenizer, train
    from tests.conftest import SENTENCES

    other = Tokenizer(train(SENTENCES * 4, tmp_path / "other", 380))
    server = serve(Counting(other))
    elsewhere.change(engine=server.url)
    problem = elsewhere("ask", "Why?").problem
    server.stop()
    assert other.fingerprint in problem and "made with tokenizer" in problem
    assert f"ingest --rebuild --engine {server.url}" in problem


def test_a_wrong_key_is_one_line_without_the_key(elsewhere):
    elsewhere.change(key="battery-staple")
    problem = elsewhere("ask", "Why?").problem
    assert "refuses the key" in problem and "battery" not in problem


def test_a_server_that_is_not_there_is_one_line(elsewhere, served):
    elsewhere.change(engine="http://127.0.0.1:9")
    assert "cannot reach the engine at http://127.0.0.1:9" in elsewhere("ask", "Why?").problem


def test_an_address_beyond_this_machine_is_warned_of(elsewhere, monkeypatch):
    elsewhere.change(key="two words")  # so that nothing is sent
    ran = elsewhere("ask", "Why?", "--engine", "http://192.0.2.1:8000")
    warning, error = ran.err.splitlines()
    assert warning.startswith("warning: 192.0.2.1") and error.startswith("error: the key")


# ----- the page


@pytest.fixture
def application(elsewhere) -> Iterator[Application]:
    application = open_application(elsewhere.options)
    yield application
    application.close()


def test_the_page_takes_the_card_and_says_where_the_engine_is(application, elsewhere, served):
    load(application, elsewhere.options)
    assert application.card == CARD
    assert application.defaults.sampling.max_tokens == 20
    assert "tiny, " in about(application) and f"at {served.url}" in about(application)
    assert about(application).endswith("A toy.")
    assert loading_notice(application) is None


def test_it_waits_for_a_server_that_is_not_there_yet(application, elsewhere, tiny, monkeypatch):
    monkeypatch.setattr(attached, "AGAIN_SECONDS", 0.05)
    first = serve(tiny, CARD)
    first.stop()
    elsewhere.change(engine=first.url)
    thread = application.load_in_background(lambda app: attach(app, elsewhere.options))
    wait_until(lambda: "trying again" in application.status.message)
    assert application.status.stage == "loading" and first.url in application.status.message
    second = serve(tiny, CARD, first.port)
    wait_until(lambda: application.status.stage == "ready")
    second.stop()
    application.closed.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_wrong_key_ends_the_waiting(application, elsewhere):
    options = replace(elsewhere.options, key="battery-staple")
    application.load_in_background(lambda app: attach(app, options)).join(10)
    assert application.status.stage == "failed"
    assert "refuses the key" in application.status.message


def test_a_lost_engine_is_said_and_that_it_is_back(application, elsewhere, tiny):
    server = serve(tiny, CARD)
    engine = load(application, replace(elsewhere.options, engine=server.url))
    assert isinstance(engine, RemoteEngine)
    watch = Watch(application, engine)
    watch.look()
    assert application.status == Status("ready", "Ready: tiny")
    server.stop()
    watch.look()
    notice = loading_notice(application)
    assert notice is not None and notice["kind"] == "failed"
    assert "is lost" in notice["text"] and server.url in notice["text"]
    assert notice["text"].endswith("right?")
    again = serve(tiny, CARD, server.port)
    watch.look()
    assert loading_notice(application) == {
        "kind": "hint",
        "text": f"Connected again to {server.url}.",
    }
    for _ in range(attached.NEWS_LOOKS):
        watch.look()
    assert loading_notice(application) is None
    again.stop()
    engine.close()


def test_another_model_behind_the_address_is_said_and_its_card_taken(
    application, elsewhere, tiny, tokenizer
):
    server = serve(tiny, CARD)
    engine = load(application, replace(elsewhere.options, engine=server.url))
    assert isinstance(engine, RemoteEngine)
    server.stop()
    other = serve(Counting(tokenizer), {"note": "It counts."}, server.port)
    Watch(application, engine).look()
    assert "runs another model now, counting" in application.status.news
    assert application.card == {"note": "It counts."}
    assert application.info == engine.info
    other.stop()
    engine.close()


def test_a_reply_whose_server_goes_is_kept_as_far_as_it_came(application, elsewhere, tokenizer):
    server = serve(Counting(tokenizer))
    load(application, replace(elsewhere.options, engine=server.url))
    finished, count = None, 0
    for event in application.turns.run("Count.", application.defaults):
        if isinstance(event, TokenEvent):
            count += 1
            if count == 5:
                server.stop()
        elif isinstance(event, Finished):
            finished = event
    assert finished is not None and not finished.unsaved
    turn = application.log.turn(finished.turn.id)
    assert turn.finish == "error" and turn.error.startswith("Broken: the connection to ")
    assert turn.reply.text.startswith(" 0 1 2 3") and len(turn.reply.tokens) == count


def test_a_busy_server_leaves_nothing_in_the_log(application, elsewhere, tokenizer):
    counting = Counting(tokenizer)
    counting.fails[0] = EngineBusy("8 replies wait", 2.0)
    server = serve(counting)
    load(application, replace(elsewhere.options, engine=server.url))
    with pytest.raises(EngineBusy, match="8 replies wait"):
        list(application.turns.run("Count.", application.defaults))
    assert application.log.conversations() == ()
    server.stop()


def test_the_key_is_not_in_what_the_options_show(elsewhere):
    assert KEY not in repr(elsewhere.options)


def wait_until(true, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
