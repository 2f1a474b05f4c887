"""README.md names only what there is."""

import argparse
import re
from pathlib import Path

import pytest

from app.cli import build_parser
from app.settings import read_environment

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = [a or b for a, b in re.findall(r"^```\w*\n(.*?)^```|`([^`\n]+)`", README, re.M | re.S)]


def named(pattern: str) -> set[str]:
    """What a pattern finds in the README's code blocks and code words."""
    return {found for code in CODE for found in re.findall(pattern, code)}


def parsers(of: argparse.ArgumentParser | None = None) -> dict[str, argparse.ArgumentParser]:
    """The commands with their parsers; or the verbs of a command, if it has any."""
    parser = of or build_parser(read_environment())
    return {
        name: choice
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, choice in action.choices.items()
    }


def test_every_make_target_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    wanted = named(r"\bmake ([\w-]+)")
    assert {"chat", "test", "check"} <= wanted
    assert wanted - targets == set()


def test_every_command_exists():
    wanted = named(r"\bapp\.py ([a-z][\w-]*)")
    assert {"ask", "ingest", "search"} <= wanted
    assert wanted - set(parsers()) == set()


def test_every_flag_belongs_to_its_command():
    for line in named(r"\bapp\.py ([a-z].*)"):
        name, *rest = line.split()
        command = parsers()[name]
        if verbs := parsers(command):
            command = verbs[rest[0].split("|")[0]]
        flags = set(re.findall(r"(?<!\S)--[a-z][\w-]*", line))
        assert flags <= set(command._option_string_actions), line


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!\w+:|#)([^)#]+)", README))))
def test_every_file_that_is_linked_exists(link):
    assert (ROOT / link).exists()
