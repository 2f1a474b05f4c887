"""Kills a process while it writes the log, again and again, and reads the log after each kill.

Run as `python -m tests.kill_rounds LOG ROUNDS`; prints what it counted as JSON. It is a program
of its own because it forks, which is safe only where no other library has started threads.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.records import DetectorRun, Settings, Turn
from app.store.connection import LogError
from app.store.log import Log
from engine.protocol import ChunkEvent, DoneEvent, Info, Reply, TokenEvent
from retrieval.protocol import CHUNK, Neighbour

SHOWN = Neighbour(1, 1, "Tides", "tides.md", 0, 0, 5, "The sea", "rises", (1, 2), (3,), 0.5, 0.5)
RUNS = (DetectorRun("empty", "1", "ok", 0.001),)


def whole(name: str) -> Turn:
    """The turn of a name: the child writes it, the parent knows what it should find."""
    events: list = []
    for i in range(4 * CHUNK):
        if i % CHUNK == 0:
            events.append(ChunkEvent(i // CHUNK, f"query {i}", (SHOWN,), 0.01))
        events.append(TokenEvent(i, f" {name}-{i} 🌊", -0.5, ((" x", -1.0),), i // CHUNK))
    events.append(DoneEvent("stop", 5, {"total": 1.0}))
    model = Info("tiny", 1, "f", "t", 2048, "")
    created = "2026-01-01T00:00:00.000Z"
    return Turn(
        name, name, None, "What is a tide?", Reply.of(events), Settings(), model, "", "stop",
        created,
    )  # fmt: skip


def cut(turn: Turn, tokens: int) -> Reply:
    """The reply after so many tokens."""
    chunks = [c for c in turn.reply.chunks if c.first < tokens]
    events = [ChunkEvent(c.index, c.query, c.neighbours, c.seconds) for c in chunks]
    return Reply.of([*events, *turn.reply.tokens[:tokens]])


def write(path: Path, round_: int, acknowledge: int) -> None:
    """Writes turns until killed; says on the pipe what the log has taken."""
    log = Log(path)
    number = 0
    while True:
        turn = whole(f"r{round_}n{number}")
        log.start(turn)
        for tokens in range(16, len(turn.reply.tokens), 16):
            log.progress(turn.id, cut(turn, tokens))
            os.write(acknowledge, f"progress {turn.id} {tokens}\n".encode())
        log.save(turn, RUNS)
        os.write(acknowledge, f"saved {turn.id} 0\n".encode())
        number += 1


def run_and_kill(write: Callable[[int], None], chance: random.Random) -> list[list[str]]:
    """What the child had been told was on the disk when it was killed.

    `write` writes for ever and says on the pipe that it is given what the log has taken.
    """
    read, acknowledge = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            write(acknowledge)
        finally:
            os._exit(1)
    os.close(acknowledge)
    with os.fdopen(read, "rb") as pipe:
        lines = [pipe.readline() for _ in range(chance.randint(1, 40))]
        time.sleep(chance.random() * 0.01)  # anywhere within a transaction
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += pipe.readlines()
    return [line.decode().split() for line in lines]


def main(path: Path, rounds: int) -> dict[str, int]:
    chance = random.Random(0)
    counts = {
        "rounds": rounds,
        "saved": 0,
        "lost": 0,
        "crashed": 0,
        "partial_lost": 0,
        "unsound": 0,
    }
    saved: list[str] = []
    for round_ in range(rounds):
        told = run_and_kill(partial(write, path, round_), chance)
        saved += [name for what, name, _ in told if what == "saved"]
        log = Log(path)
        counts["crashed"] += len(log.recover())
        what, name, tokens = told[-1]
        if what == "progress":  # the turn it was at; it may have got on after its last word
            found, turn = log.turn(name), whole(name)
            kept = found == turn or (
                found.finish == "crashed"
                and found.reply == cut(turn, len(found.reply.tokens))
                and len(found.reply.tokens) >= int(tokens)
            )
            counts["partial_lost"] += not kept
        for name in saved:
            try:
                counts["lost"] += log.turn(name) != whole(name) or log.runs(name) != RUNS
            except LogError:
                counts["lost"] += 1
        log.close()
        connection = sqlite3.connect(path)
        counts["unsound"] += connection.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        connection.execute("INSERT INTO turns_fts (turns_fts, rank) VALUES ('integrity-check', 1)")
        connection.close()
    counts["saved"] = len(saved)
    return counts


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
