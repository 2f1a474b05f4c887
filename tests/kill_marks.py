"""Kills a process in which two annotators write at once, and reads the log after each kill.

Run as `python -m tests.kill_marks LOG ROUNDS`; prints what it counted as JSON. See kill_rounds.
"""

import json
import os
import random
import sqlite3
import sys
import threading
from functools import partial
from pathlib import Path

from app.records import DetectorRun, Finding
from app.store.log import Log
from app.store.marks import Marked, Marks
from tests.kill_rounds import run_and_kill, whole

TURN = "read by both"
FOUND = tuple(Finding("copy.neighbour", i, i + 1, "x", 1.0, 0.5, "info", "x") for i in range(8))


def write(path: Path, round_: int, acknowledge: int) -> None:
    log = Log(path)
    both = [
        threading.Thread(target=mark, args=(Marks(log), f"{name} {round_}", acknowledge))
        for name in ("Ada", "Grace")
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()


def mark(marks: Marks, name: str, acknowledge: int) -> None:
    """Marks, rules, revises and withdraws for ever."""
    found = [logged.id for logged in marks.findings(TURN)]
    number = 0
    while True:
        made = marks.annotate(TURN, name, "wrong", (number % 9, 9), note=str(number))
        say(acknowledge, "stands", made.id, name)
        ruling = ("accepted", "rejected")[number // len(found) % 2]
        marks.rule(found[number % len(found)], name, ruling)
        if number % 3 == 1:
            revised = marks.revise(made.id, name, severity=3)
            say(acknowledge, "stands", revised.id, name)
            say(acknowledge, "gone", made.id, name)
        if number % 3 == 2:
            marks.withdraw(made.id, name)
            say(acknowledge, "gone", made.id, name)
        number += 1


def say(acknowledge: int, what: str, id: str, name: str) -> None:
    os.write(acknowledge, f"{what} {id} {name}\n".encode())


def main(path: Path, rounds: int) -> dict[str, int]:
    chance = random.Random(0)
    counts = {"rounds": rounds, "told": 0, "lost": 0, "back": 0, "wrong": 0, "unsound": 0}
    log = Log(path)
    turn = whole(TURN)
    log.save(turn, (DetectorRun("copy", "1", "found", 0.0, FOUND),))
    log.close()
    told: list[list[str]] = []
    for round_ in range(rounds):
        told += run_and_kill(partial(write, path, round_), chance)
        log = Log(path)
        standing = {a.id: a for a in Marked(log).annotations(TURN)}
        gone = {id for what, id, *_ in told if what == "gone"}
        kept = {id for what, id, *_ in told if what == "stands"} - gone
        # what was told to stand may have been revised or withdrawn just before the kill
        replaced = {a.supersedes for a in standing.values()} | withdrawn(path)
        counts["lost"] += len(kept - standing.keys() - replaced)
        counts["back"] += len(gone & standing.keys())
        text = turn.reply.text
        counts["wrong"] += sum(text[a.start : a.end] != a.quote for a in standing.values())
        log.close()
        connection = sqlite3.connect(path)
        counts["unsound"] += connection.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        connection.close()
    counts["told"] = len(told)
    return counts


def withdrawn(path: Path) -> set[str]:
    """Annotations of the newest transactions, of which nobody was told any more."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT id FROM annotations WHERE withdrawn IS NOT NULL").fetchall()
    connection.close()
    return {id for (id,) in rows}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
