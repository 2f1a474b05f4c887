"""Effects and tokens for the inspector: they fit the turn, add up, and are JSON."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest

from app.ui.measured import NOT_CALIBRATED, effects, tokens
from engine.attribution import Attribution, ChunkEffect, NeighbourEffect, Thresholds
from engine.protocol import ChunkEvent, Reply, TokenEvent

THRESHOLDS = Thresholds(used=1.0, hurt=-1.0, copied=4)
TEXT = " ".join(["the harbour was dug"] * 20)


@pytest.fixture(scope="module")
def turn(toy_turn):
    """Two chunks, of 64 and of 16 tokens, with two passages each."""
    return toy_turn(TEXT)


def attribution_of(turn, *shares: tuple[float, float], controls=(0.5, -0.25, 0.0)) -> Attribution:
    chunks = []
    for chunk, (one, other) in zip(turn.reply.chunks, shares, strict=True):
        on = tuple(token.logprob for token in turn.reply.tokens[chunk.first : chunk.last])
        off = tuple(p - (one + other) / len(on) for p in on)
        neighbours = (NeighbourEffect(one, one, 0.75), NeighbourEffect(other, other, 0.25))
        chunks.append(ChunkEffect(on, off, neighbours, controls))
    return Attribution(tuple(chunks), tuple(p for c in chunks for p in c.off), 1.5)


def test_the_gains_of_tokens_and_of_cards_add_up_to_that_of_their_chunk(turn):
    told = effects(turn, attribution_of(turn, (3.0, -1.0), (0.25, 0.5)), THRESHOLDS)
    assert told["gain"] == pytest.approx(2.75)
    assert len(told["tokens"]) == len(turn.reply.tokens)
    for chunk, effect in zip(turn.reply.chunks, told["chunks"], strict=True):
        gains = told["tokens"][chunk.first : chunk.last]
        assert sum(gains) == pytest.approx(effect["gain"], abs=0.01)
        assert effect["on"] - effect["off"] == pytest.approx(effect["gain"])
        shares = [card["shapley"] for card in effect["cards"]]
        assert sum(shares) == pytest.approx(effect["gain"])


def test_random_passages_are_told_by_their_range(turn):
    told = effects(turn, attribution_of(turn, (3.0, 0.0), (0.0, 0.0)))
    assert told["chunks"][0]["random"] == [-0.25, 0.5]
    without = effects(turn, attribution_of(turn, (3.0, 0.0), (0.0, 0.0), controls=()))
    assert without["chunks"][0]["random"] is None


def test_an_effect_has_a_word_where_there_are_thresholds(turn):
    measured = attribution_of(turn, (3.0, -2.0), (0.5, 0.0))
    words = [[c["word"] for c in e["cards"]] for e in effects(turn, measured, THRESHOLDS)["chunks"]]
    assert words == [["used", "hurt"], ["no measurable effect"] * 2]
    told = effects(turn, measured)["chunks"]
    assert {card["word"] for effect in told for card in effect["cards"]} == {NOT_CALIBRATED}


def test_a_passage_is_called_copied_by_the_words_it_shares_with_its_own_chunk(turn):
    first, *_ = turn.reply.chunks
    passage = replace(first.neighbours[0], text="They say the harbour was dug. ")
    shown = replace(first, neighbours=(passage, first.neighbours[1]))
    copying = replace(turn, reply=replace(turn.reply, chunks=(shown, *turn.reply.chunks[1:])))
    told = effects(copying, attribution_of(turn, (3.0, 3.0), (3.0, 3.0)), THRESHOLDS)["chunks"]
    assert [[card["word"] for card in effect["cards"]] for effect in told] == [
        ["copied", "used"],
        ["used", "used"],
    ]


def test_a_chunk_without_tokens_has_no_effect_and_moves_no_other(toy_turn):
    neighbours = toy_turn().reply.chunks[0].neighbours
    events = [
        ChunkEvent(0, "", neighbours, 0.0),
        ChunkEvent(1, "", neighbours, 0.0),
        TokenEvent(1, " One", -0.5, (), 1),
    ]
    turn = toy_turn(reply=Reply.of(events))
    on, off = (-0.5,), (-1.5,)
    parts = (NeighbourEffect(0.5, 0.5, 0.5), NeighbourEffect(0.5, 0.5, 0.5))
    told = effects(turn, Attribution((ChunkEffect(on, off, parts),), off, 0.1))
    assert told["chunks"][0] is None and told["chunks"][1]["gain"] == 1.0


def test_what_is_not_finite_is_left_out_of_the_json(turn):
    infinite = -math.inf
    chunks = attribution_of(turn, (1.0, 1.0), (1.0, 1.0)).chunks
    off = (infinite, *chunks[0].off[1:])
    parts = (NeighbourEffect(math.inf, math.nan, 0.5), chunks[0].neighbours[1])
    broken = replace(chunks[0], off=off, neighbours=parts, controls=(math.inf, 1.0))
    told = effects(turn, Attribution((broken, chunks[1]), (infinite,) * 80, 1.0), THRESHOLDS)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["gain"] is None and told["chunks"][0]["gain"] is None
    assert told["chunks"][0]["cards"][0]["shapley"] is None
    assert told["chunks"][0]["random"] == [1.0, 1.0]
    assert told["tokens"][0] is None and told["tokens"][1] is not None


def test_the_tokens_join_to_the_reply_and_lie_in_chunks(turn):
    told = tokens(turn)
    assert "".join(told["texts"]) == turn.reply.text
    assert len(told["ids"]) == len(told["logprobs"]) == len(told["top"]) == 80
    assert told["chunks"] == [[0, 64], [64, 80]]
    for (_, first), (_, second) in (pair for top in told["top"] for pair in pairwise(top)):
        assert first >= second
    assert json.loads(json.dumps(told, allow_nan=False)) == told
