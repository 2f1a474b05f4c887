"""app.evaluation: how replies to grounded questions and plain text are measured."""

import math
from dataclasses import replace

import jax.numpy as jnp
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.evaluation.answers import (
    WAYS,
    Answer,
    ask_all,
    copied_share,
    passages_of,
    summarise,
    word_f1,
)
from app.evaluation.text import bits_per_byte
from engine.checkpoint import load_weights, shapes_of
from engine.presets import preset
from engine.training.grounded import UNANSWERED, Example
from retrieval.protocol import CHUNK
from tests.bag import word_offsets

PASSAGE = (
    "The harbour was dug in 1411 by the people of the town. A wall of grey stone keeps the winter "
    "storms outside."
)
WORDS = ("sea", "wall", "stone", "gull", "tide", "moon")
sentences = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


# ----- word F1


@pytest.mark.parametrize(
    ("said", "wanted", "f1"),
    [
        ("in 1411", "1411", 2 / 3),
        ("The Harbour!", "the harbour", 1.0),
        ("stone stone", "stone", 2 / 3),
        ("nothing alike", "at all", 0.0),
        ("", "", 0.0),
        ("!?", "stone", 0.0),
    ],
)
def test_f1_of_known_pairs(said, wanted, f1):
    assert word_f1(said, wanted) == pytest.approx(f1)


@given(sentences, sentences)
def test_f1_is_symmetric_and_between_none_and_all(one, other):
    assert word_f1(one, other) == word_f1(other, one)
    assert 0 <= word_f1(one, other) <= 1


@given(sentences)
def test_f1_of_a_text_with_itself_in_any_order_is_one(text):
    assume(text)
    assert word_f1(text, " ".join(reversed(text.upper().split()))) == 1


# ----- copied share


def test_a_run_of_five_words_is_copied_and_four_are_not():
    assert copied_share("the harbour was dug in", PASSAGE) == 1
    assert copied_share("the harbour was dug", PASSAGE) == 0
    assert copied_share("Well, the HARBOUR was dug in 1411, yes, so", PASSAGE) == 6 / 9


def test_words_inside_two_runs_count_once():
    assert copied_share(PASSAGE, PASSAGE) == 1


@pytest.mark.parametrize(("said", "passage"), [("", PASSAGE), (PASSAGE, ""), ("!", "?")])
def test_nothing_is_copied_where_there_is_nothing(said, passage):
    assert copied_share(said, passage) == 0


@given(sentences, sentences)
def test_what_is_copied_is_a_share(said, passage):
    share = copied_share(said, passage)
    assert 0 <= share <= 1
    assert not said or copied_share(said, f"{passage} {said} {passage}") >= share


# ----- passages


def test_a_text_becomes_pairs_of_chunks_that_follow_one_another():
    text = " ".join(f"word{i}" for i in range(5 * CHUNK))
    found = passages_of(text, word_offsets)
    assert [n.position for n in found] == [0, 2]
    assert "".join(n.text + n.continuation for n in found) == text[: found[-1].end + len(
        found[-1].continuation
    )]  # fmt: skip
    assert all(len(n.tokens) == len(n.continuation_tokens) == CHUNK for n in found)


def test_the_last_chunk_of_a_text_has_no_continuation():
    (only,) = passages_of("A short text.", word_offsets)
    assert (only.text, only.continuation, only.continuation_tokens) == ("A short text.", "", ())
    assert len(passages_of(" ".join(["word"] * 9 * CHUNK), word_offsets, k=3)) == 3


# ----- the summary


def answer(way: str, **fields) -> Answer:
    return replace(Answer(way, "Why?", "So.", "So.", True, 0.0, 0.0), **fields)


def test_a_row_a_way_with_means_over_the_answerable():
    rows = summarise(
        [
            answer("neighbours", f1=1.0, copied=0.5),
            answer("neighbours", f1=0.5, reply=f"{UNANSWERED} Sorry."),
            answer("neighbours", answered=False, f1=1.0, copied=1.0, reply=UNANSWERED.upper()),
            answer("none", f1=0.25),
        ]
    )
    assert [row["way"] for row in rows] == list(WAYS)
    first, *_, none = rows
    assert first == {
        "way": "neighbours", "answerable": 2, "f1": 0.75, "copied": 0.25, "declined": 0.5,
        "unanswerable": 1, "rightly declined": 1.0,
    }  # fmt: skip
    assert (none["answerable"], none["f1"], none["unanswerable"]) == (1, 0.25, 0)


def test_every_question_is_asked_in_every_way_with_the_passages_pinned(tiny, monkeypatch):
    requests = []
    monkeypatch.setattr(tiny, "generate", lambda request: requests.append(request) or ())
    other = PASSAGE.replace("harbour", "castle")
    examples = [Example(PASSAGE, (("Why?", "So."),)), Example(other, (("Who?", "He."),))]
    answers = list(ask_all(tiny, tiny.tokenizer.encode_offsets, examples))
    assert [(a.way, a.question) for a in answers] == [
        (w, q) for q in ("Why?", "Who?") for w in WAYS
    ]
    own = passages_of(PASSAGE, tiny.tokenizer.encode_offsets)
    neighbours, in_context, random, none = requests[:4]
    assert neighbours.pinned == in_context.pinned == {0: own}
    assert random.pinned == {0: passages_of(other, tiny.tokenizer.encode_offsets)}
    assert none.pinned == {0: ()}
    assert in_context.prompt[0].text.startswith("The harbour was dug in 1411")
    assert all(not r.retrieve and r.sampling.temperature == 0 for r in requests)


def test_replies_are_measured_against_reference_and_passage(tiny):
    (example,) = [Example(PASSAGE, (("When was it dug?", "In 1411."),))]
    answers = list(ask_all(tiny, tiny.tokenizer.encode_offsets, [example], max_tokens=4))
    assert len(answers) == len(WAYS)
    for a in answers:
        assert a.f1 == word_f1(a.reply, "In 1411.")
        assert a.copied == copied_share(a.reply, PASSAGE)


# ----- bits per byte


@pytest.fixture(scope="module")
def arrays(weights):
    return load_weights(weights)[1]


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary(tokenizer):
    p = preset("tiny")
    zeros = {name: jnp.zeros(a.shape) for name, a in shapes_of(p).items()}
    row = bits_per_byte(p, zeros, tokenizer, ["The harbour was dug in 1411. " * 9], tokens=32)
    assert row["nats_per_token"] == pytest.approx(math.log(p.vocab), abs=1e-3)
    assert row["bits_per_byte"] == pytest.approx(
        row["nats_per_token"] * row["tokens"] / row["bytes"] / math.log(2), abs=1e-3
    )


def test_every_token_is_predicted_once_whatever_the_window(tokenizer, arrays):
    texts = ["A wall of grey stone. " * 5, "Le café était fermé 🌊.", ""]
    rows = [bits_per_byte(preset("tiny"), arrays, tokenizer, texts, tokens=t) for t in (8, 32)]
    counted = sum(len(tokenizer.encode(text)) for text in texts)
    assert [row["tokens"] for row in rows] == [counted, counted]
    assert {row["bytes"] for row in rows} == {sum(len(text.encode()) for text in texts)}
    assert rows[0]["nats_per_token"] != rows[1]["nats_per_token"]  # less context


def test_no_text_is_an_error(tokenizer, arrays):
    with pytest.raises(ValueError, match="no text"):
        bits_per_byte(preset("tiny"), arrays, tokenizer, ["", ""])
