"""A whole turn with a scripted engine: what is yielded, what is logged, what survives."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.prompt import render, whole_sentences
from app.records import Settings, Turn
from app.store.connection import LogError
from app.turn import BadMessage, Finished, Started, Turns, clean_message
from engine.protocol import (
    ChunkEvent,
    ChunkScores,
    DoneEvent,
    Event,
    Info,
    PromptTooLong,
    Request,
    Sampling,
    Scoring,
    TokenEvent,
)
from prompts.dialogue import DEFAULT
from retrieval.protocol import CHUNK, Neighbour

INFO = Info("toy", 1, "w" * 64, "t" * 64, 1024, "A toy.")
PASSAGE = Neighbour(
    3, 1, "Harbour", "harbour.md", 0, 40, 90, "wall. The harbour was dug in 1411. ",
    "It took nine years. Nobody kn", (7, 8), (9,), 0.4,
)  # fmt: skip


class ScriptedEngine:
    """Writes a given text, one word a token; keeps the requests. Fails after `fail_at` tokens."""

    def __init__(self, text: str, fail_at: int | None = None):
        self.words = [f"{' ' if i else ''}{w}" for i, w in enumerate(text.split())]
        self.fail_at, self.requests, self.closed = fail_at, [], 0
        self.info = INFO

    def count(self, text: str) -> int:
        return len(text.split())

    def generate(self, request: Request) -> Iterator[Event]:
        if self.count(request.prompt[-1].text) > 900:
            raise PromptTooLong("the prompt takes more than 900 words")
        self.requests.append(request)
        ids = {}
        try:
            for i, word in enumerate(self.words[: request.sampling.max_tokens]):
                if i % CHUNK == 0:
                    shown = (PASSAGE,) if request.retrieve else ()
                    yield ChunkEvent(i // CHUNK, request.query, shown, 0.0)
                if i == self.fail_at:
                    raise RuntimeError("out of memory")
                yield TokenEvent(ids.setdefault(word, len(ids)), word, -1.0, (), i // CHUNK)
            yield DoneEvent("stop", 5, {"total": 0.1})
        finally:
            self.closed += 1

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        raise AssertionError("a turn is written, not scored")


PLAIN = "The harbour was dug in the year 1411 by the people of the town."


def run(turns: Turns, message: str = "When?", **fields) -> Finished:
    settings = fields.pop("settings", Settings())
    *_, last = turns.run(message, settings, **fields)
    assert isinstance(last, Finished)
    return last


def test_a_turn_is_yielded_and_logged_as_it_was(log):
    turns = Turns(ScriptedEngine(PLAIN), log, database=lambda: "db")
    events = list(turns.run("When was it dug?", Settings()))
    assert isinstance(events[0], Started)
    assert isinstance(events[1], ChunkEvent)
    assert isinstance(events[-1], Finished)
    turn = events[-1].turn
    assert turn.reply.text == PLAIN
    assert (turn.finish, turn.database, turn.model) == ("stop", "db", INFO)
    assert log.turn(turn.id) == turn
    assert [r.status for r in log.runs(turn.id)] == [r.status for r in events[-1].runs]
    assert {r.detector for r in log.runs(turn.id)} >= {"repetition", "empty", "truncated"}
    assert events[-1].unsaved == ""


def test_a_looping_reply_is_stopped_and_the_loop_logged_with_its_span(log):
    text = "The answer is plain. " + "and then it rained again " * 60
    engine = ScriptedEngine(text)
    turn = run(Turns(engine, log)).turn
    assert turn.finish == "loop"
    assert len(turn.reply.tokens) < len(engine.words)
    loop = next(f for f in log.findings(turn.id) if f.kind == "repetition.loop")
    assert turn.reply.text[loop.start : loop.end] == loop.quote
    assert loop.start <= len("The answer is plain. and then it rained again")
    assert loop.end >= len(turn.reply.text) - len("and then it rained again")
    assert "and then it rained again" in loop.quote


def test_closing_the_turn_stops_the_engine_and_keeps_the_partial_text(log):
    engine = ScriptedEngine(PLAIN)
    events = Turns(engine, log).run("When?", Settings())
    started = next(events)
    for _ in range(5):
        next(events)
    events.close()
    assert isinstance(started, Started)
    kept = log.turn(started.turn.id)
    assert kept.finish == "stopped"
    assert kept.reply.text == "The harbour was dug"
    assert engine.closed == 1
    assert log.runs(kept.id)


def test_a_crash_of_the_engine_keeps_the_partial_text_and_says_why(log):
    turn = run(Turns(ScriptedEngine(PLAIN, fail_at=4), log)).turn
    assert (turn.finish, turn.error) == ("error", "RuntimeError: out of memory")
    assert log.turn(turn.id).reply.text == "The harbour was dug"


@pytest.mark.parametrize("blank", ["", "  \n\t ", "\x00\x07", "\ud800"])
def test_an_empty_message_is_refused_and_nothing_recorded(log, blank):
    with pytest.raises(BadMessage, match="empty"):
        run(Turns(ScriptedEngine(PLAIN), log), blank)
    assert log.conversations() == ()


def test_a_megabyte_is_refused_with_both_numbers(log):
    with pytest.raises(BadMessage, match="1,000,000 characters; the limit is 20,000"):
        run(Turns(ScriptedEngine(PLAIN), log), "x" * 1_000_000)


def test_a_message_beyond_the_context_is_refused_and_nothing_recorded(log):
    with pytest.raises(PromptTooLong):
        run(Turns(ScriptedEngine(PLAIN), log), "word " * 1500)
    assert log.conversations() == ()


@pytest.mark.parametrize("text", ["<script>alert(1)</script> & <b>", "🌊 naïve\tcafé\nline two"])
def test_markup_and_emoji_pass_unchanged(log, text):
    assert log.turn(run(Turns(ScriptedEngine(PLAIN), log), text).turn.id).message == text


def test_control_characters_are_taken_out():
    assert clean_message("a\x00b\x1b[31mc\r\nd\x7f") == "ab[31mc\nd"


def test_a_retry_is_a_sibling_and_an_answer_a_child(log):
    turns = Turns(ScriptedEngine(PLAIN), log)
    first = run(turns).turn
    again = run(turns, conversation=first.conversation, parent=first.parent).turn
    child = run(turns, conversation=first.conversation, parent=again.id).turn
    assert set(log.siblings(first.id)) == {first.id, again.id}
    assert [t.id for t in log.turns(first.conversation)] == [again.id, child.id]


def test_earlier_turns_are_shown_with_their_tokens_and_neighbours(log):
    engine = ScriptedEngine(PLAIN)
    turns = Turns(engine, log)
    first = run(turns).turn
    run(turns, "And who?", conversation=first.conversation, parent=first.id)
    question, reply, follow_up = engine.requests[-1].prompt
    assert question.ends_chunk and follow_up.ends_chunk and not reply.ends_chunk
    assert reply.tokens == tuple(t.id for t in first.reply.tokens)
    assert reply.shown == ((PASSAGE,),)
    assert follow_up.text.startswith("\nUSER: And who?")


def test_no_history_is_shown_where_none_is_asked_for(log):
    engine = ScriptedEngine(PLAIN)
    turns = Turns(engine, log)
    first = run(turns).turn
    run(turns, parent=first.id, conversation=first.conversation, settings=Settings(history=0))
    assert len(engine.requests[-1].prompt) == 1


def test_history_that_does_not_fit_is_left_out(log):
    engine = ScriptedEngine(PLAIN)
    turns = Turns(engine, log)
    first = run(turns, "word " * 800).turn
    run(turns, "short", conversation=first.conversation, parent=first.id)
    assert len(engine.requests[-1].prompt) == 1


def test_an_unknown_parent_is_an_error_before_anything_happens(log):
    with pytest.raises(LogError):
        run(Turns(ScriptedEngine(PLAIN), log), parent="nothing")
    assert log.conversations() == ()


def test_the_best_passage_goes_into_the_prompt_in_whole_sentences(log):
    engine = ScriptedEngine(PLAIN)
    turns = Turns(engine, log, retrieve=lambda query, k: [PASSAGE])
    turn = run(turns, settings=Settings(in_context=True)).turn
    assert turn.passage == "The harbour was dug in 1411. It took nine years."
    assert engine.requests[-1].prompt[-1].text.startswith(turn.passage + "\n\nUSER: When?")


def test_a_passage_without_a_sentence_end_is_kept_whole():
    assert whole_sentences(replace(PASSAGE, text="no end", continuation=" here")) == "no end here"


def test_a_full_disk_loses_nothing_and_saving_again_works(log, monkeypatch):
    turns = Turns(ScriptedEngine(PLAIN), log)

    def full(*_: object) -> None:
        raise LogError("saving failed: the disk is full")

    with monkeypatch.context() as broken:
        for name in ("start", "progress", "save"):
            broken.setattr(log, name, full)
        finished = run(turns)
        assert "disk is full" in finished.unsaved
        assert finished.turn.reply.text == PLAIN
        assert "disk is full" in turns.save_waiting()
    assert turns.save_waiting() == ""
    assert log.turn(finished.turn.id) == finished.turn


def test_what_waits_is_saved_with_the_next_turn(log, monkeypatch):
    turns = Turns(ScriptedEngine(PLAIN), log)
    with monkeypatch.context() as broken:
        broken.setattr(log, "save", lambda *_: (_ for _ in ()).throw(LogError("full")))
        lost = run(turns).turn
    run(turns)
    assert log.turn(lost.id).finish == "stop"


def test_a_turn_that_can_never_be_saved_does_not_hold_up_others(log, monkeypatch):
    turns = Turns(ScriptedEngine(PLAIN), log)
    save = log.save
    with monkeypatch.context() as broken:
        broken.setattr(log, "save", lambda *_: (_ for _ in ()).throw(LogError("full")))
        never, later = run(turns).turn, run(turns).turn

    def refuse(turn, runs):
        if turn.id == never.id:
            raise LogError("never")
        save(turn, runs)

    monkeypatch.setattr(log, "save", refuse)
    assert turns.save_waiting() == "never"
    assert log.turn(later.id).finish == "stop"


def test_the_request_carries_the_settings(log):
    engine = ScriptedEngine(PLAIN)
    settings = Settings(Sampling(0.3, 5, 0.5, 9, 77), retrieve=False, k=1, follow="chunk")
    turn = run(Turns(engine, log), settings=settings).turn
    request = engine.requests[-1]
    assert (request.sampling, request.retrieve, request.k, request.follow) == (
        settings.sampling, False, 1, "chunk",
    )  # fmt: skip
    assert turn.settings == settings


def test_render_pads_only_questions(toy_turn):
    past: list[Turn] = [toy_turn("One two three."), toy_turn("")]
    segments = render("Now?", "", past, DEFAULT)
    assert [s.ends_chunk for s in segments] == [True, False, True, True]
