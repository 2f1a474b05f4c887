"""A turn as a command: what to type to ask the same again."""

import shlex
from dataclasses import replace
from typing import Any

from app.records import Settings, Turn
from app.variants import in_words


def command_of(turn: Turn, defaults: Settings) -> dict[str, Any]:
    """{"command", "lacks"}: `lacks` says what the command leaves out of how the turn was asked,
    "" if nothing. `defaults` are what the command uses where it has no flag."""
    settings, sampling = turn.settings, turn.settings.sampling
    flags = ["--seed", str(sampling.seed)]
    if sampling.max_tokens != defaults.sampling.max_tokens:
        flags += ["--max-tokens", str(sampling.max_tokens)]
    if not settings.retrieve:
        flags.append("--no-retrieval")
    separator = ["--"] if turn.message.startswith("-") else []  # else it would be read as a flag
    words = ["python", "app.py", "ask", *flags, *separator, turn.message]
    reached = replace(
        defaults,
        sampling=replace(
            defaults.sampling, seed=sampling.seed, max_tokens=sampling.max_tokens
        ),
        retrieve=settings.retrieve,
        history=settings.history,  # a first message has no earlier turns to show
    )  # fmt: skip
    lacks = [in_words(reached, settings)]
    if turn.parent is not None and settings.history:
        lacks.append("the earlier turns that the model was shown")
    if settings.pinned:
        lacks.append("the pinned passages")
    if settings.without:
        lacks.append("the passages that were left out")
    return {"command": shlex.join(words), "lacks": "; ".join(filter(None, lacks))}
