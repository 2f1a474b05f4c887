"""app.cli ask: one turn from the command line, printed and logged."""

import json
import sqlite3
from contextlib import closing

import pytest

from app.failures.detectors import DETECTORS
from app.store.log import Log
from retrieval.protocol import Neighbour
from tests.terminal import Terminal

QUESTION = "When was the harbour dug?"


def asked(terminal: Terminal, *words: object) -> dict:
    ran = terminal("ask", *words, "--json")
    assert (ran.status, ran.err) == (0, "")
    return json.loads(ran.out)


def test_json_is_the_documented_shape(terminal):
    turn = asked(terminal, QUESTION)
    names = {"reply", "chunks", "findings", "turn_id", "finish", "seed", "timings"}
    assert set(turn) == names
    assert len(turn["chunks"]) > 1
    for index, chunk in enumerate(turn["chunks"]):
        assert set(chunk) == {"index", "text", "neighbours"}
        assert chunk["index"] == index
        assert len(chunk["neighbours"]) == 2
        for neighbour in chunk["neighbours"]:
            assert set(neighbour) == {"title", "text", "continuation", "distance"}
            assert isinstance(neighbour["distance"], float)
    assert "".join(chunk["text"] for chunk in turn["chunks"]) == turn["reply"]
    assert set(turn["timings"]) == {"retrieval", "prefill", "decode", "first_token", "total"}


def test_the_first_chunk_is_shown_the_article_that_fits(terminal):
    first, *_ = asked(terminal, QUESTION)["chunks"]
    assert first["neighbours"][0]["title"] == "Harbour"
    assert "1411" in first["neighbours"][0]["text"]


def test_the_turn_is_in_the_log(terminal):
    said = asked(terminal, QUESTION, "--seed", 5)
    with closing(Log(terminal.options.log)) as log:
        turn = log.turn(said["turn_id"])
        found = log.findings(turn.id)
    assert (turn.message, turn.reply.text) == (QUESTION, said["reply"])
    assert (turn.settings.sampling.seed, turn.finish) == (5, said["finish"])
    assert turn.model.preset == "tiny" and len(turn.database) == 64
    assert [[n.title for n in c.neighbours] for c in turn.reply.chunks] == [
        [n["title"] for n in chunk["neighbours"]] for chunk in said["chunks"]
    ]
    assert [f.kind for f in found] == [f["kind"] for f in said["findings"]]


def test_plain_sqlite_shows_the_turn_with_its_neighbours_and_findings(terminal):
    said = asked(terminal, QUESTION)
    assert said["findings"]  # a reply cut off in the middle is one
    with closing(sqlite3.connect(terminal.options.log)) as log:
        (turn,) = log.execute("SELECT id, message, reply, finish FROM turns").fetchall()
        titles = log.execute(
            "SELECT n.title FROM neighbours n JOIN chunks c ON c.id = n.chunk_id "
            "WHERE c.turn_id = ? ORDER BY c.ord, n.rank", [said["turn_id"]]
        ).fetchall()  # fmt: skip
        runs = log.execute("SELECT detector FROM detector_runs").fetchall()
        findings = log.execute('SELECT kind, "start", "end", quote FROM findings').fetchall()
    assert turn == (said["turn_id"], QUESTION, said["reply"], said["finish"])
    shown = [n["title"] for chunk in said["chunks"] for n in chunk["neighbours"]]
    assert [title for (title,) in titles] == shown
    assert {detector for (detector,) in runs} == {detector.kind for detector in DETECTORS}
    assert [kind for kind, *_ in findings] == [f["kind"] for f in said["findings"]]
    assert all(quote == said["reply"][start:end] for _, start, end, quote in findings)


def test_the_same_seed_gives_the_same_reply_and_another_seed_another(terminal):
    first, again, other = (asked(terminal, QUESTION, "--seed", s)["reply"] for s in (3, 3, 4))
    assert first == again != other


def test_without_retrieval_the_chunks_have_no_neighbours(terminal):
    turn = asked(terminal, QUESTION, "--no-retrieval")
    assert turn["chunks"]
    assert all(chunk["neighbours"] == [] for chunk in turn["chunks"])


def test_no_more_tokens_are_written_than_asked_for(terminal):
    said = asked(terminal, QUESTION, "--max-tokens", 3)
    assert said["finish"] == "length"
    with closing(Log(terminal.options.log)) as log:
        assert len(log.turn(said["turn_id"]).reply.tokens) == 3


def test_the_reply_is_printed_and_what_was_shown_goes_to_stderr(terminal):
    said = asked(terminal, QUESTION)
    ran = terminal("ask", QUESTION)
    assert (ran.status, ran.out) == (0, said["reply"] + "\n")
    assert ran.err.startswith("[0] shown: Harbour [0-")


def test_a_first_start_builds_the_passages_from_the_library(terminal, tmp_path):
    terminal.change(data=tmp_path / "new")
    first, *_ = asked(terminal, QUESTION)["chunks"]
    assert first["neighbours"][0]["title"] == "Harbour"


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("<script>alert(1)</script> & <b>bold</b>?", "<script>alert(1)</script> & <b>bold</b>?"),
        ("Où est le 🌊, 👩‍🚀?", "Où est le 🌊, 👩‍🚀?"),
        ("a\x00b\x1b[31mc\r\nd\udcff", "ab[31mc\nd"),
        ('title:a OR NEAR("b" -c)*', 'title:a OR NEAR("b" -c)*'),
    ],
    ids=["markup", "emoji", "control characters", "search operators"],
)
def test_odd_messages_are_asked_and_logged(terminal, message, kept):
    said = asked(terminal, message, "--max-tokens", 3)
    with closing(Log(terminal.options.log)) as log:
        assert log.turn(said["turn_id"]).message == kept


@pytest.mark.parametrize("message", ["", "  \n\t", "\x00\x07"])
def test_an_empty_message_is_refused(terminal, message):
    assert "the message is empty" in terminal("ask", message).problem
    assert not terminal.options.log.exists()


def test_a_megabyte_is_refused_and_told_where_it_belongs(terminal):
    problem = terminal("ask", "x" * 1_000_000).problem
    assert "1,000,000 characters" in problem and "python app.py ingest" in problem
    assert not terminal.options.log.exists()


def test_a_message_beyond_the_context_is_refused(terminal):
    problem = terminal("ask", "harbour " * 300).problem
    assert "255" in problem and "shorten" in problem


@pytest.mark.parametrize("wrong", ["0", "-1"])
def test_a_number_of_tokens_that_cannot_be_is_refused(terminal, wrong):
    problem = terminal("ask", QUESTION, "--max-tokens", wrong).problem
    assert problem == f"error: max_tokens is {wrong}; give a positive whole number"


@pytest.mark.parametrize("wrong", ["-1", str(2**32)])
def test_a_seed_that_cannot_be_is_refused(terminal, wrong):
    assert (
        f"seed is {wrong}; give a whole number"
        in terminal("ask", QUESTION, "--seed", wrong).problem
    )


@pytest.mark.parametrize("words", [["ask"], ["ask", "Why?", "--seed", "x"], ["ask", "a", "b"]])
def test_words_that_make_no_command_are_answered_with_the_usage(terminal, words):
    ran = terminal(*words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("usage: app.py")


def test_a_failing_search_is_said_and_the_reply_goes_on(terminal, monkeypatch):
    def broken(self: object, query: str, k: int) -> list[Neighbour]:
        if query.startswith(QUESTION):
            raise OSError("index unreadable")
        return []

    monkeypatch.setattr("app.passages.Passages.retrieve", broken)
    turn = asked(terminal, QUESTION)
    assert turn["reply"] and "index unreadable" in turn["chunks"][0]["error"]
    assert "[0] the search failed (index unreadable)" in terminal("ask", QUESTION).err


def test_a_crash_of_the_engine_keeps_the_text_and_says_why(terminal, tiny, monkeypatch):
    step, left = tiny._slots.step, iter(range(4))

    def crash(*arguments):
        if next(left, None) is None:
            raise MemoryError("no memory left")
        return step(*arguments)

    monkeypatch.setattr(tiny._slots, "step", crash)
    ran = terminal("ask", QUESTION)
    assert ran.status == 1
    assert "error: the reply was cut off: MemoryError: no memory left" in ran.err
    with closing(Log(terminal.options.log)) as log:
        (conversation,) = log.conversations()
        (turn,) = log.turns(conversation.id)
    assert turn.finish == "error"
    assert ran.out == turn.reply.text + "\n" != "\n"


def test_an_interrupted_reply_is_kept_as_far_as_it_came(terminal, monkeypatch):
    shown: list[str] = []

    def interrupt(text: str = "", **_) -> None:
        shown.append(text)
        if len(shown) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr("app.ask.print", interrupt, raising=False)
    assert terminal("ask", QUESTION).status == 130
    with closing(Log(terminal.options.log)) as log:
        (conversation,) = log.conversations()
        (turn,) = log.turns(conversation.id)
    assert turn.finish == "stopped"
    assert turn.reply.text == "".join(shown)
