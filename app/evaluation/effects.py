"""Calibrating the words for effects: what random passages change in replies, and what they share.

Every question is answered greedily and as the model card recommends, with the passages that are
found. Each chunk of a reply is then read again with random passages alone in their place. What
nineteen in twenty of those do not add is no measurable effect.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from app.effects import controls_for
from app.evaluation.asking import unlogged
from app.evaluation.held import NothingToMeasure
from app.failures.loops import Words
from app.passages import Passages
from app.prompt import prompt_of
from app.records import Settings, Turn
from app.shared import longest_run
from app.store.log import Log
from app.turn import Finished
from engine.attribution import NeighbourEffect, Thresholds, attribute, calibrate, word_for
from engine.checkpoint import write_file
from engine.local import LocalEngine
from engine.protocol import ReplyChunk
from retrieval.protocol import Neighbour

MEANING = (
    "used: nats that nineteen in twenty random passages stay below, alone in the place of those "
    "shown; hurt: as far below zero, since random passages lower the log-probability as a rule; "
    "copied: words in a row, one more than a reply shares with any random passage"
)


@dataclass(frozen=True)
class Measured:
    """A reply chunk with random passages and with its own. Runs are the longest ones, in words,
    that the chunk shares with the passage; gains are in nats."""

    gains: tuple[float, ...]  # of each random passage, shown alone
    runs: tuple[int, ...]
    shown: tuple[tuple[NeighbourEffect, int], ...]  # each neighbour's effect and run


def measure_all(
    engine: LocalEngine, passages: Passages, questions: Iterable[str], settings: Sequence[Settings]
) -> Iterator[list[Measured]]:
    """The chunks of the reply to each question under each of the settings."""
    with unlogged(engine, passages.retrieve, passages.fingerprint) as (turns, log):
        for number, question in enumerate(questions):
            for i, chosen in enumerate(settings):
                *_, last = turns.run(question, chosen)
                assert isinstance(last, Finished)  # the last event of a turn that was not closed
                reply, seed = last.turn.reply, number * len(settings) + i
                if reply.tokens:
                    controls = controls_for(reply, passages.draw, seed)
                    yield measure(engine, log, last.turn, controls)


def measure(
    engine: LocalEngine, log: Log, turn: Turn, controls: Sequence[Neighbour]
) -> list[Measured]:
    found = attribute(engine, prompt_of(log, turn, engine.count), turn.reply, controls)
    chunks = [chunk for chunk in turn.reply.chunks if chunk.last > chunk.first]
    words = Words.of(turn.reply.text)

    def run(neighbour: Neighbour, chunk: ReplyChunk) -> int:
        passage = Words.of(neighbour.text + neighbour.continuation)
        return longest_run(passage, words, (chunk.start, chunk.end))

    return [
        Measured(
            effect.controls,
            tuple(run(control, chunk) for control in controls),
            tuple(
                (e, run(n, chunk)) for e, n in zip(effect.neighbours, chunk.neighbours, strict=True)
            ),
        )
        for effect, chunk in zip(found.chunks, chunks, strict=True)
    ]


def settings_of(defaults: Settings) -> tuple[Settings, ...]:
    """Greedy, and as recommended."""
    return tuple(dict.fromkeys((greedy(defaults), defaults)))


def greedy(defaults: Settings) -> Settings:
    return replace(defaults, sampling=replace(defaults.sampling, temperature=0))


def summarise(measured: Sequence[Measured]) -> dict[str, Any]:
    """The thresholds, and what was counted. Raises Unmeasurable where there is too little."""
    gains = [gain for chunk in measured for gain in chunk.gains]
    runs = [run for chunk in measured for run in chunk.runs]
    found = calibrate(gains, runs)
    thresholds = Thresholds(round(found.used, 3), round(found.hurt, 3) or 0.0, found.copied)
    shown = [pair for chunk in measured for pair in chunk.shown]
    words = Counter(word_for(effect, run, thresholds) for effect, run in shown)
    return {
        **asdict(thresholds),
        "meaning": MEANING,
        "chunks": len(measured),
        "random_passages": len(gains),
        "random_gain": quantiles(gains),
        "shown_passages": len(shown),
        "shown_effect": quantiles([effect.shapley for effect, _ in shown]),
        "words": {word: words[word] for word in ("copied", "used", "no measurable effect", "hurt")},
    }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Nats below which 5, 50 and 95 per cent of the values lie."""
    ordered = sorted(values)
    places = {"5%": 0.05, "50%": 0.5, "95%": 0.95}
    return {
        name: round(ordered[int(share * (len(ordered) - 1))], 3)
        for name, share in places.items()
        if ordered
    }


def write_card(weights: Path, changes: Mapping[str, Any]) -> None:
    """Puts entries into a model card and keeps the others; written whole or not at all.

    Raises NothingToMeasure where it cannot be written.
    """
    path = weights / "card.json"
    card = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    try:
        write_file(path, json.dumps(card, indent=2).encode() + b"\n")
    except OSError as error:
        raise NothingToMeasure(f"cannot write {path}: {error.strerror}; it is as it was") from None
