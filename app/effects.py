"""What the passages changed in logged replies: measured once, then read from the log."""

import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import fields
from typing import Any

from app.prompt import prompt_of
from app.records import Turn
from app.request import Draw
from app.store.connection import LogError
from app.store.log import Log
from app.store.redaction import redacted
from engine.attribution import Attribution, Thresholds, Unmeasurable, attribute
from engine.card import CheckpointError
from engine.presets import PRESETS
from engine.protocol import Engine, Info, Reply
from retrieval.protocol import Neighbour

CONTROLS = 4  # random passages tried in every chunk
_DRAWN = 5  # times as many are drawn, since some belong to documents that were shown


class Effects:
    """Measures replies with one engine and keeps the results in the log. For any thread."""

    def __init__(self, engine: Engine, log: Log, draw: Draw):
        self._engine, self._log, self._draw = engine, log, draw
        self._lock = threading.Lock()
        self._underway: dict[str, Future[Attribution]] = {}

    def measure(self, turn_id: str) -> Attribution:
        """What the passages changed in a turn's reply. Callers for one turn share a measurement.

        Raises Unmeasurable, LogError (an unknown turn), and what `Engine.score` raises.
        """
        with self._lock:
            job = self._underway.get(turn_id)
            mine = job is None
            if job is None:
                job = self._underway[turn_id] = Future()
        if mine:
            try:
                job.set_result(self._log.attribution(turn_id) or self._measured(turn_id))
            except BaseException as problem:
                job.set_exception(problem)
            finally:
                with self._lock:
                    del self._underway[turn_id]
        return job.result()

    def _measured(self, turn_id: str) -> Attribution:
        turn = self._log.turn(turn_id)
        check(turn, self._engine.info)
        if redacted(self._log, turn):
            raise Unmeasurable("personal data in the turn was masked, which the model had read")
        prompt = prompt_of(self._log, turn, self._engine.count)
        controls = controls_for(turn.reply, self._draw, seed_of(turn_id))
        found = attribute(self._engine, prompt, turn.reply, controls)
        with suppress(LogError):  # what was measured holds all the same
            self._log.save_attribution(turn_id, found)
        return found


def check(turn: Turn, info: Info) -> None:
    """Raises Unmeasurable unless a model can tell what the passages changed in a turn's reply."""
    if turn.finish == "running":
        raise Unmeasurable("the reply is still being written; measure it when it is complete")
    preset = PRESETS.get(turn.model.preset)
    if preset and not preset.retrieval:
        raise Unmeasurable(
            f"the reply was written by {preset.name}, a model without retrieval: no passage can "
            "have changed it"
        )
    check_model(turn, info)
    if not any(chunk.neighbours for chunk in turn.reply.chunks):
        raise Unmeasurable("no passage was shown while the reply was written")


def check_model(turn: Turn, info: Info) -> None:
    """Raises Unmeasurable unless the model in use is the one that wrote the turn's reply."""
    for what, wrote, loaded in (
        ("weights", turn.model.fingerprint, info.fingerprint),
        ("tokenizer", turn.model.tokenizer, info.tokenizer),
    ):
        if wrote != loaded:
            raise Unmeasurable(
                f"the reply was written with other {what} ({wrote[:12]}) than those in use "
                f"({loaded[:12]}); start with the ones that wrote it, or ask again"
            )


def controls_for(reply: Reply, draw: Draw, seed: int) -> tuple[Neighbour, ...]:
    """Random passages to measure a reply with: from documents of which it was shown nothing."""
    shown = {n.document_id for chunk in reply.chunks for n in chunk.neighbours}
    drawn = draw(_DRAWN * CONTROLS, seed)
    return tuple(n for n in drawn if n.document_id not in shown)[:CONTROLS]


def seed_of(turn_id: str) -> int:
    """A seed for drawing a turn's control passages, the same whenever it is measured."""
    return int.from_bytes(hashlib.sha256(turn_id.encode()).digest()[:4])


def thresholds_of(card: Mapping[str, Any]) -> Thresholds | None:
    """The thresholds in a model card, None where it has none. Raises CheckpointError."""
    if "effects" not in card:
        return None
    found = card["effects"]
    try:
        used, hurt, copied = (found[f.name] for f in fields(Thresholds))
        if not (0 <= used < float("inf") and float("-inf") < hurt <= 0):
            raise ValueError(f"used is {used} and hurt {hurt}; give 0 or more and 0 or less")
        if copied < 1 or copied != int(copied):
            raise ValueError(f"copied is {copied}; give a whole number of words, 1 or more")
        return Thresholds(float(used), float(hurt), int(copied))
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise CheckpointError(
            f'the "effects" in the model card are unfit: {error!r}; measure them again with: '
            "python app.py eval effects FILE --write"
        ) from None
