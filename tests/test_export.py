import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.export import (
    BadDocument,
    Exchange,
    Heading,
    Transcript,
    collect,
    to_json,
    transcript_of,
)
from app.records import Comparison, DetectorRun, Finding, Judgement, Turn
from app.store.connection import LogError
from app.store.log import Log
from tests.drawn import attributions, naturals, replies, runs, several, texts, turns
from tests.test_effects import measured

Build = Callable[..., Turn]

FOUND = Finding("loop", 4, 11, "harbour", 3.5, 3.0, "warn", "Said often.", {"spans": [[4, 11]]})
RUNS = (DetectorRun("repetition", "1", "found", 0.002, (FOUND, replace(FOUND, start=0, end=3))),)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    head = draw(st.builds(Heading, texts, texts, texts, texts))
    exchanges: list[Exchange] = []
    for _ in range(draw(st.integers(0, 2))):
        parents = [None, *(exchange.turn.id for exchange in exchanges)]
        turn = draw(turns(replies()))
        turn = replace(turn, conversation=head.id, parent=draw(st.sampled_from(parents)))
        opinion = st.builds(
            Judgement, st.just(turn.id), naturals, naturals, st.just("useful"), texts
        )
        exchanges.append(
            Exchange(
                turn,
                draw(runs(turn.reply)),
                draw(st.none() | attributions(turn.reply)),
                draw(several(opinion)),
            )
        )
    votes = st.sampled_from(["a", "b", "tie", None])
    comparisons = several(st.builds(Comparison, texts, texts, texts, texts, votes, texts))
    return Transcript(head, tuple(exchanges), draw(comparisons))


@given(transcripts())
@settings(max_examples=12, deadline=None)
def test_a_document_is_read_back_as_it_was_written(transcript: Transcript):
    assert transcript_of(to_json(transcript)) == transcript


@pytest.fixture
def conversation(log: Log, toy_turn: Build) -> Transcript:
    """A conversation with a retry, and everything that can be said of it."""
    first = toy_turn("word " * 70)
    second, retry = toy_turn(parent=first.id), toy_turn("It was dug in 1920.", parent=first.id)
    for turn in (first, second, retry):
        log.save(turn, RUNS)
    log.save_attribution(first.id, measured(first))
    made = log.compare(second.id, retry.id, "retrieval off")
    log.vote(made.id, "b")
    log.judge(second.id, 0, 1, "misleading", "Ann")
    return Transcript(
        Heading("toy", "When was the harbour dug?", first.created, retry.created),
        (
            Exchange(first, RUNS, measured(first)),
            Exchange(second, RUNS, None, (Judgement(second.id, 0, 1, "misleading", "Ann"),)),
            Exchange(retry, RUNS),
        ),
        (replace(made, vote="b"),),
    )


def test_a_conversation_of_the_log_is_collected_whole(log: Log, conversation: Transcript):
    assert collect(log, "toy") == conversation
    assert transcript_of(to_json(conversation)) == conversation


def test_what_is_collected_belongs_together(
    log: Log, conversation: Transcript, toy_turn: Build, monkeypatch: pytest.MonkeyPatch
):
    first = conversation.turns[0].turn
    tree = log.tree

    def slow(conversation_id: str) -> tuple[Turn, ...]:
        turns = tree(conversation_id)
        log.save(replace(first, reply=toy_turn("Other words.").reply))  # meanwhile
        return turns

    monkeypatch.setattr(log, "tree", slow)
    assert collect(log, "toy") == conversation
    assert log.attribution(first.id) is None


def test_an_unknown_conversation_is_an_error_of_the_log(log: Log):
    with pytest.raises(LogError, match="no conversation nowhere"):
        collect(log, "nowhere")


def test_findings_and_effects_are_found_by_their_place(conversation: Transcript):
    first, second, _ = conversation.turns
    assert first.findings == (RUNS[0].findings[1], FOUND)  # in the order of the reply
    assert first.attribution and second.effects == {}
    assert first.effects == dict(enumerate(c.neighbours for c in first.attribution.chunks))


def test_a_branch_leads_from_the_first_turn_to_one(conversation: Transcript):
    first, second, retry = conversation.turns
    assert conversation.branch(retry.turn.id) == (first, retry)
    assert conversation.branch(second.turn.id) == (first, second)
    with pytest.raises(KeyError):
        conversation.branch("nowhere")


def test_the_document_is_the_documented_shape(conversation: Transcript):
    document = json.loads(to_json(conversation))
    assert (document["schema"], document["version"]) == ("retroscope.conversation", 1)
    assert list(document)[3:] == ["conversation", "turns", "comparisons"]
    assert list(document["conversation"]) == ["id", "title", "created", "updated"]
    assert list(document["turns"][0]) == ["turn", "runs", "attribution", "judgements"]
    turn = document["turns"][0]["turn"]
    assert turn["model"]["fingerprint"] == "f" * 64
    assert turn["database"] == "d" * 64
    assert turn["reply"]["chunks"][0]["neighbours"][0]["title"] == "Title 1"


def test_a_document_steers_no_terminal(log: Log, toy_turn: Build):
    log.save(toy_turn(message="a\x00\x1b[2J\x9b31m\x7f"))
    text = to_json(collect(log, "toy"))
    assert not set(text) & {chr(i) for i in (*range(10), *range(11, 32), *range(127, 160))}
    assert transcript_of(text).turns[0].turn.message == "a\x00\x1b[2J\x9b31m\x7f"


# ----- documents that are not ours


def place_in(document: Any, place: list[str | int]) -> Any:
    for step in place:
        document = document[step]
    return document


CHUNK = ["turns", 0, "turn", "reply", "chunks", 0]


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (["turns", 0, "turn", "message"], 5, "turns[0].turn.message is 5; expected a text"),
        (["turns", 1, "turn", "message"], "\ud800", "turns[1].turn.message holds half a character"),
        (["turns", 0, "turn", "finish"], "done", "turns[0].turn.finish is 'done'; expected one of"),
        (["turns", 0, "turn", "id"], None, "turns[0].turn.id is None; expected a text"),
        (["turns", 1, "turn", "parent"], "x", "turns[1].turn.parent is no earlier turn: 'x'"),
        (["turns", 1, "turn", "conversation"], "x", "turns[1].turn.conversation is another one"),
        (
            ["turns", 0, "turn", "settings", "k"],
            True,
            "settings.k is True; expected a whole number",
        ),
        (["turns", 0, "turn", "settings", "sampling", "top_p"], 2, "top_p is 2.0; give a number"),
        (["turns", 0, "turn", "settings", "mood"], 1, "turns[0].turn.settings has 'mood', which"),
        ([*CHUNK, "neighbours"], {}, "chunks[0].neighbours is an object; expected a list"),
        ([*CHUNK, "neighbours", 0, "overlap"], "x", "neighbours[0].overlap is 'x'; expected a num"),
        ([*CHUNK, "neighbours", 0, "distance"], 10**400, "neighbours[0].distance is 1000000"),
        ([*CHUNK, "last"], 999, "turns[0].turn.reply.chunks[0] reaches beyond the reply"),
        (["turns", 0, "turn", "reply", "tokens", 0, "top", 0], ["a"], "has 1 items; expected 2"),
        (["turns", 0, "turn", "reply", "done"], [], "turns[0].turn.reply.done is a list"),
        (["turns", 0, "runs", 0, "findings", 0, "end"], 999, "findings[0] reaches beyond"),
        (["turns", 0, "attribution", "bare"], [], "turns[0].attribution is of another reply"),
        (["turns", 1, "judgements", 0, "turn"], "x", "turns[1].judgements[0].turn is another"),
        (["comparisons", 0, "vote"], "c", "comparisons[0].vote is 'c'; expected one of a, b, tie"),
        (["conversation"], {}, "conversation.id is missing"),
        (["author"], "x", "the document has 'author', which is not known here"),
        (["version"], 2, "has version 2, but this program reads version 1"),
        (["schema"], "x", '"schema" should be "retroscope.conversation"'),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    conversation: Transcript, place: list[str | int], value: object, problem: str
):
    document = json.loads(to_json(conversation))
    place_in(document, place[:-1])[place[-1]] = value
    with pytest.raises(BadDocument) as error:
        transcript_of(json.dumps(document))
    assert problem in str(error.value)


def test_the_same_turn_twice_is_refused(conversation: Transcript):
    twice = replace(conversation, turns=conversation.turns[:1] * 2)
    with pytest.raises(BadDocument, match=r"turns\[1\].turn.id is that of an earlier turn"):
        transcript_of(to_json(twice))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"schema": NaN}', "[" * 100_000, "1" * 5000, '"\\ud800"']
)
def test_what_is_no_document_is_refused(text: str):
    with pytest.raises(BadDocument):
        transcript_of(text)


def places(document: Any) -> list[list[str | int]]:
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    return [
        place
        for step, value in inner
        for place in (
            [step],
            *([step, *p] for p in (places(value) if isinstance(value, dict | list) else [])),
        )
    ]


def test_any_other_value_anywhere_is_refused_or_read(toy_turn: Build):
    turn = toy_turn("Two words.")
    exchange = Exchange(turn, RUNS, measured(turn), (Judgement(turn.id, 0, 0, "not"),))
    head = Heading(turn.conversation, "", "", "")
    comparison = Comparison("x", turn.id, "b", "", None, "")
    document = json.loads(to_json(Transcript(head, (exchange,), (comparison,))))
    refused = 0
    for place in places(document):
        holder, before = place_in(document, place[:-1]), place_in(document, place)
        for odd in (None, "x", []):
            holder[place[-1]] = odd
            try:
                transcript_of(json.dumps(document))
            except BadDocument:
                refused += 1
        holder[place[-1]] = before
    assert refused > 300
