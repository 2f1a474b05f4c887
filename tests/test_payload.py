"""What the inspector is given: offsets that hold, shared words, and reasons in words."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.failures.detectors import run_detectors
from app.failures.loops import Words
from app.records import Judgement
from app.shared import LEAST, shared_runs
from app.ui.payload import ending, inspection
from engine.protocol import ChunkEvent, Reply, ReplyChunk, TokenEvent
from retrieval.protocol import Neighbour

PASSAGE = Neighbour(
    chunk_id=7, document_id=1, title="Harbours 🌊", source="library/harbour.md", position=0,
    start=12, end=60, text="🌊 Records say that the old harbour was dug ",
    continuation="in 1411, by the guild of masons.", tokens=(1,), continuation_tokens=(2,),
    distance=0.41236, overlap=0.5,
)  # fmt: skip
OTHER = replace(PASSAGE, chunk_id=8, text="Nothing of the kind is told here", continuation="")

WORDS = ("the", "The", "old", "🌊", "harbour", "was", "it's", "naïve", "a", ",", "\n", "水")
texts = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)


def reply_of(*chunks: tuple[str, tuple[Neighbour, ...]]) -> Reply:
    events = []
    for index, (text, neighbours) in enumerate(chunks):
        events.append(ChunkEvent(index, "query", neighbours, 0.01))
        events.append(TokenEvent(1, text, -0.5, (), index))
    return Reply.of(events)


def folded(text: str, span: tuple[int, int] | list[int]) -> tuple[str, ...]:
    return Words.of(text[span[0] : span[1]]).folded


# ----- shared words


@given(texts, texts, st.integers(0, 200), st.integers(0, 200))
def test_a_shared_run_is_the_same_words_in_both_texts(passage, reply, start, end):
    runs = shared_runs(Words.of(passage), Words.of(reply), (start, end))
    for run in runs:
        words = folded(passage, run.passage)
        assert words == folded(reply, run.reply)
        assert len(words) >= LEAST
        assert start <= run.reply[0] < end
    for before, after in pairwise(runs):
        assert before.reply[1] <= after.reply[0]


@given(texts)
def test_a_text_shares_all_its_words_with_itself(text):
    words = Words.of(text)
    runs = shared_runs(words, words, (0, len(text)))
    expected = [words.span(0, len(words.folded))] if len(words.folded) >= LEAST else []
    assert [run.reply for run in runs] == expected == [run.passage for run in runs]


def test_two_words_in_a_row_are_not_called_copied():
    assert not shared_runs(Words.of("the old pier"), Words.of("the old wall"), (0, 99))


def test_the_longest_run_claims_its_words_first():
    passage, reply = "b c d. And a b c d e", "a b c d e"
    (run,) = shared_runs(Words.of(passage), Words.of(reply), (0, 99))
    assert passage[slice(*run.passage)] == "a b c d e"


# ----- the payload


@given(st.lists(st.tuples(texts, texts, texts), max_size=4))
def test_every_mark_quotes_words_of_the_reply(toy_turn, written):
    chunks = [(f" {t}", (replace(PASSAGE, text=p, continuation=c),)) for t, p, c in written]
    turn = toy_turn(reply=reply_of(*chunks))
    payload = inspection(turn)
    copied_words = Words.of(turn.reply.text).folded
    for chunk in payload["chunks"]:
        for card in chunk["cards"]:
            for part in ("text", "continuation"):
                last = 0
                for start, end in card["marks"][part]:
                    quote = card[part][start:end]
                    assert last <= start < end and quote == quote.strip()
                    last = end
            passage = card["text"] + card["continuation"]
            for span in card["copied"]:
                words = folded(turn.reply.text, span)
                assert len(words) >= LEAST
                assert " ".join(words) in " ".join(Words.of(passage).folded)
                assert " ".join(words) in " ".join(copied_words)


def test_marks_are_code_points_and_cross_into_the_continuation(toy_turn):
    reply = reply_of((" 🌊🌊 The OLD harbour was dug in 1411 by hand", (PASSAGE,)))
    (card,) = inspection(toy_turn(reply=reply))["chunks"][0]["cards"]
    assert [PASSAGE.text[a:b] for a, b in card["marks"]["text"]] == ["the old harbour was dug"]
    marked = [PASSAGE.continuation[a:b] for a, b in card["marks"]["continuation"]]
    assert marked == ["in 1411, by"]
    assert [reply.text[a:b] for a, b in card["copied"]] == ["The OLD harbour was dug in 1411 by"]


def test_words_are_compared_with_the_passage_that_was_shown_while_they_were_written(toy_turn):
    reply = reply_of((" Now then.", (OTHER,)), (" The old harbour was dug.", (PASSAGE,)))
    first, second = inspection(toy_turn(reply=reply))["chunks"]
    assert first["cards"][0]["copied"] == []
    (span,) = second["cards"][0]["copied"]
    assert reply.text[slice(*span)] == "The old harbour was dug"
    swapped = reply_of((" Now then.", (PASSAGE,)), (" The old harbour was dug.", (OTHER,)))
    assert [c["cards"][0]["copied"] for c in inspection(toy_turn(reply=swapped))["chunks"]] == [
        [],
        [],
    ]


def test_a_run_may_cross_chunks_while_its_passage_stays(toy_turn):
    again = replace(PASSAGE, distance=0.9)  # found anew, for another query
    reply = reply_of(
        (" So the old", (PASSAGE,)), (" harbour was dug in 1411", (again,)), (" .", ())
    )
    first, second, third = inspection(toy_turn(reply=reply))["chunks"]
    assert first["cards"][0]["copied"] == second["cards"][0]["copied"]
    (span,) = first["cards"][0]["copied"]
    assert reply.text[slice(*span)] == "the old harbour was dug in 1411"
    assert third["cards"] == []


def test_the_passages_of_a_chunk_are_said_to_come_from_the_text_before_it(toy_turn):
    reply = reply_of((" One.", (PASSAGE, OTHER)), (" Two.", (PASSAGE,)), (" Three.", ()))

    def origins(**changes) -> list[str]:
        settings = replace(toy_turn().settings, **changes)
        chunks = inspection(toy_turn(reply=reply, settings=settings))["chunks"]
        return [chunk["origin"] for chunk in chunks]

    both = "the model read them while it wrote this chunk."
    one = "the model read it while it wrote this chunk."
    assert origins() == [
        f"Its passages were found with the question; {both}",
        f"Its passage was found with the question and the text of chunk 1; {one}",
        "",
    ]
    assert origins(follow="chunk")[1] == f"Its passage was found with the text of chunk 1; {one}"
    assert origins(random=True)[0] == f"Its passages were drawn at random; {both}"
    assert origins(pinned=(PASSAGE,))[:2] == [
        f"Its passages were found with the question; {both}",
        f"Its passage was chosen by hand; {one}",
    ]


def test_a_card_says_what_was_done_with_its_passage(toy_turn):
    pasted = replace(OTHER, document_id=-1, chunk_id=-1)
    reply = reply_of((" One.", (PASSAGE, pasted)), (" Two.", (PASSAGE, OTHER)))
    turn = toy_turn(reply=reply, settings=replace(toy_turn().settings, pinned=(pasted,)))
    judgements = (
        Judgement(turn.id, 1, 0, "useful"),
        Judgement(turn.id, 1, 1, "not", annotator="somebody else"),
    )
    chunks = inspection(turn, judgements=judgements)["chunks"]
    cards = [card for chunk in chunks for card in chunk["cards"]]
    assert [card["pinned"] for card in cards] == [False, True, False, False]
    assert [card["document"] for card in cards] == [True, False, True, True]
    assert [card["verdict"] for card in cards] == [None, None, "useful", None]
    assert [card["passage"] for card in cards] == [7, -1, 7, 8]


def test_the_detectors_that_ran_are_told_with_what_came_of_them(toy_turn):
    turn = toy_turn()
    runs = run_detectors(turn)
    told = inspection(turn, runs=runs)["ran"]
    assert [ran["detector"] for ran in told] == [run.detector for run in runs]
    assert {ran["status"] for ran in told} <= {"ok", "found", "skipped", "error"}


def test_a_chunk_without_passages_says_why(toy_turn):
    def absence(chunk_changes: dict, **fields) -> str:
        turn = toy_turn(reply=reply_of((" One.", ())), **fields)
        chunk: ReplyChunk = replace(turn.reply.chunks[0], **chunk_changes)
        turn = replace(turn, reply=replace(turn.reply, chunks=(chunk,)))
        return inspection(turn)["chunks"][0]["absence"]

    off = replace(toy_turn().settings, retrieve=False)
    assert "Retrieval was off" in absence({}, settings=off)
    assert "the search took longer than 10 s" in absence(
        {"error": "the search took longer than 10 s; written without passages"}
    )
    assert absence({}) == "No passage was found for this chunk."


@pytest.mark.parametrize(
    ("finish", "words"),
    [
        ("stop", "complete"),
        ("length", "ended: reached the limit of 128 tokens"),
        ("context", "ended: the prompt and the reply filled the model's context of 2048 tokens"),
        ("loop", "stopped early: the reply had begun to repeat itself"),
        ("stopped", "stopped by you"),
        ("error", "broken off by an error: {braces} stay"),
        ("crashed", "broken off: the application ended while it was being written"),
        ("running", "being written"),
    ],
)
def test_every_ending_is_said_in_words(toy_turn, finish, words):
    assert ending(toy_turn(finish=finish, error="{braces} stay")) == words


def test_findings_keep_their_span_and_explanation(toy_turn):
    turn = toy_turn(" Well 🌊:" + " the heron waits in the reeds" * 6)
    findings = [f for run in run_detectors(turn) for f in run.findings]
    shown = inspection(turn, findings)["findings"]
    loop = next(f for f in shown if f["kind"] == "repetition.loop")
    assert turn.reply.text[loop["start"] : loop["end"]] == loop["quote"]
    assert "repeated 6 times" in loop["explanation"]


def test_the_payload_is_json_and_names_the_version(toy_turn):
    turn = toy_turn()
    payload = inspection(turn, (), ("earlier", turn.id, "later"))
    assert json.loads(json.dumps(payload)) == payload
    assert payload["version"] == "version 2 of 3"
    assert inspection(turn, (), (turn.id,))["version"] == ""


def test_a_run_that_ends_in_the_passage_marks_nothing_of_a_longer_continuation(toy_turn):
    shown = replace(PASSAGE, text="The old harbour was dug.", continuation=" Nobody knows." * 9)
    turn = toy_turn(reply=reply_of((" The old harbour was dug.", (shown,))))
    (card,) = inspection(turn)["chunks"][0]["cards"]
    assert card["marks"] == {"text": [[0, 23]], "continuation": []}
