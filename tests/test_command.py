"""A turn as a command: the shell reads it back, and what it cannot say is told."""

import argparse
import shlex
from dataclasses import replace

import pytest

from app.cli import build_parser
from app.records import Settings
from app.settings import read_environment
from app.ui.command import command_of
from engine.protocol import Sampling

DEFAULTS = Settings(Sampling(seed=0, max_tokens=128))


def parsed(command: str) -> argparse.Namespace:
    program, script, *words = shlex.split(command)
    assert (program, script) == ("python", "app.py")
    return build_parser(read_environment()).parse_args(words)


@pytest.mark.parametrize(
    "message", ["Who dug it?", 'it\'s "quoted" $HOME `ls`', "--seed", "two\nlines", "🌊 & <b>"]
)
def test_the_command_asks_the_same(toy_turn, message: str):
    settings = replace(DEFAULTS, sampling=Sampling(seed=77, max_tokens=40), retrieve=False)
    turn = toy_turn(message=message, settings=settings)
    told = command_of(turn, DEFAULTS)
    flags = parsed(told["command"])
    assert (flags.message, flags.seed, flags.max_tokens) == (message, 77, 40)
    assert flags.no_retrieval
    assert told["lacks"] == ""


def test_the_command_is_short_where_nothing_differs(toy_turn):
    turn = toy_turn(message="Who?", settings=replace(DEFAULTS, sampling=Sampling(seed=3)))
    told = command_of(turn, DEFAULTS)
    assert told == {"command": "python app.py ask --seed 3 'Who?'", "lacks": ""}


def test_what_the_command_cannot_say_is_told(toy_turn):
    passage = toy_turn().reply.chunks[0].neighbours[0]
    settings = replace(
        DEFAULTS, sampling=Sampling(temperature=0.1, seed=3), pinned=(passage,), without=(4,)
    )
    lacks = command_of(toy_turn(settings=settings, parent="earlier"), DEFAULTS)["lacks"]
    assert lacks.split("; ") == [
        "temperature 0.1 instead of 0.6",
        "the earlier turns that the model was shown",
        "the pinned passages",
        "the passages that were left out",
    ]
