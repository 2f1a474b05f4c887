"""app.prompt: a logged turn's prompt is the one it was written with, and lies where it is said."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.prompt import chunk_of, cleaned, laid_out, prompt_of, render
from app.records import Settings, Turn
from app.store.connection import LogError
from app.turn import Finished, Turns
from engine.layout import lay_out
from engine.protocol import (
    ChunkEvent,
    ChunkScores,
    DoneEvent,
    Event,
    Info,
    Request,
    Sampling,
    Scoring,
    TokenEvent,
)
from prompts.dialogue import DEFAULT
from prompts.templates import BadTemplate
from retrieval.protocol import Neighbour

CONTEXT = 160


class Recorder:
    """Writes as many words as it may, each with its own neighbours, and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.info = Info("tiny", 1, "w" * 64, "t" * 64, CONTEXT, "")

    def count(self, text: str) -> int:
        return len(text.split())

    def generate(self, request: Request) -> Iterator[Event]:
        self.requests.append(request)
        for i in range(request.sampling.max_tokens):
            if i % 8 == 0:
                yield ChunkEvent(i // 8, "", (passage(i),), 0.0)
            yield TokenEvent(i, f" word{i}", -1.0, (), i // 8)
        yield DoneEvent("length", 9, {})

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        raise AssertionError("a prompt is written, not scored")


def passage(i: int) -> Neighbour:
    return Neighbour(
        i, i, f"Title {i}", "toy", 0, 0, 9, f"Passage {i}. ", "", (i, i), (), 0.1 * i
    )  # fmt: skip


def say(turns: Turns, message: str, settings: Settings, after: Turn | None = None) -> Turn:
    place = {"parent": after.id, "conversation": after.conversation} if after else {}
    *_, last = turns.run(message, settings, **place)
    assert isinstance(last, Finished) and not last.unsaved
    return last.turn


@pytest.fixture
def engine() -> Recorder:
    return Recorder()


@pytest.fixture
def turns(engine, log) -> Turns:
    numbers = iter(range(100))
    return Turns(engine, log, retrieve=lambda query, k: [passage(next(numbers))])


SHORT = Settings(Sampling(max_tokens=20), history=3)
LONG = replace(SHORT, sampling=Sampling(max_tokens=50))  # leaves room for some history alone
TEMPLATE = "{passage}\n\nQ: {message}\nA:"


@pytest.mark.parametrize(
    "settings",
    [
        SHORT,
        replace(SHORT, history=0),
        replace(SHORT, history=2, in_context=True),
        replace(SHORT, template=TEMPLATE),
        replace(SHORT, template=TEMPLATE, in_context=True),
        LONG,
        replace(LONG, in_context=True, template=TEMPLATE),
    ],
)
def test_a_logged_turn_has_the_prompt_that_it_was_written_with(settings, turns, engine, log):
    turn = None
    for message in ("When?", "And who was it?", "Why " * 9, "So?"):
        turn = say(turns, message, settings, after=turn)
        written = engine.requests[-1].prompt
        assert prompt_of(log, log.turn(turn.id), engine.count) == written
    assert turn is not None
    pieces = len(engine.requests[-1].prompt)  # two for each earlier turn
    assert pieces == (3 if settings.sampling.max_tokens == 50 else 2 * settings.history + 1)


def test_the_passage_in_a_prompt_is_the_logged_one_not_one_found_now(turns, engine, log):
    turn = say(turns, "When?", replace(SHORT, in_context=True))
    (before,) = engine.requests[-1].prompt
    say(turns, "When?", replace(SHORT, in_context=True))  # which finds the next passage
    assert before.text == "Passage 0.\n\nUSER: When?\nGOPHER:"
    assert engine.requests[-1].prompt != (before,)
    assert prompt_of(log, turn, engine.count) == (before,)


def test_earlier_turns_are_written_with_the_template_of_this_one(turns, engine):
    first = say(turns, "When?", SHORT)
    say(turns, "Who?", replace(SHORT, template=TEMPLATE), after=first)
    question, reply, follow_up = engine.requests[-1].prompt
    assert (question.text, follow_up.text) == ("Q: When?\nA:", "\nQ: Who?\nA:")
    assert engine.requests[-1].stop == ("\nQ:",)
    assert reply.tokens == tuple(range(20))


def test_an_unfit_template_is_refused_before_anything_is_recorded(turns, log):
    with pytest.raises(BadTemplate, match="does not have"):
        say(turns, "When?", replace(SHORT, template="Hello"))
    assert log.conversations() == ()


def test_the_prompt_of_a_message_is_what_running_it_reads(turns, engine, log):
    first = say(turns, "When?", SHORT)
    shown = turns.prompt("  Who?\r\n", SHORT, first.id)
    say(turns, "Who?", SHORT, after=first)
    assert shown == engine.requests[-1].prompt
    assert len(log.turns(first.conversation)) == 2  # looking at a prompt records nothing


def test_a_prompt_after_an_unknown_turn_is_an_error(turns):
    with pytest.raises(LogError):
        turns.prompt("Who?", SHORT, "nothing")


@pytest.mark.parametrize("message", ["?", "word " * 7, "A heron waits in the reeds. " * 3])
def test_pieces_lie_where_the_engine_lays_them(message, tiny, toy_turn):
    past = replace(toy_turn("One two three four five."), message=message)
    segments = render(message, "", [past], DEFAULT)
    shown = laid_out(segments, tiny.info, tiny.count)
    layout = lay_out(segments, tiny.tokenizer.encode, chunk_of(tiny.info))
    assert shown.total == len(layout.tokens)
    assert sum(p.tokens for p in shown.pieces) == int(layout.valid.sum())
    assert sum(p.padding for p in shown.pieces) == int((~layout.valid).sum())
    assert [p.text for p in shown.pieces] == [s.text for s in segments]
    assert shown.context == tiny.info.context


def test_a_model_of_unknown_shape_has_the_papers_chunks(tiny):
    assert chunk_of(tiny.info) == 8
    assert chunk_of(replace(tiny.info, preset="another")) == 64


def test_text_from_outside_keeps_its_lines_and_loses_control_characters():
    assert cleaned(" a\x00b\r\nc\rd\x7f\ud800\te ") == "ab\nc\nd\te"
