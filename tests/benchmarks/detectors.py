"""How long all detectors take together: python -m tests.benchmarks.detectors

Prints, and asserts nothing: times belong to a machine. The reply is prose of the labelled cases'
passages, one word a token, with two passages for each 64 tokens; each size is a new text, so that
nothing of the reply is remembered, while the passages are, as in a conversation.
"""

import argparse
import json
import random
import time
from statistics import median

from app.failures.detectors import DETECTORS, run_detectors
from app.failures.labelled import CASES
from app.records import Settings, Turn
from engine.protocol import ChunkEvent, Event, Info, Reply, TokenEvent
from retrieval.protocol import CHUNK, Neighbour

SIZES = (75, 150, 300, 600, 1200, 2400)
WRITINGS = {
    "prose": lambda words: words,
    "one word": lambda words: ["the"] * len(words),
    "a loop": lambda words: (words[:20] * len(words))[: len(words)],
    "marks": lambda words: ["!?."] * len(words),
    "numbers": lambda words: [str(i * 37) for i in range(len(words))],
}


def turn_of(words: list[str], passages: list[Neighbour]) -> Turn:
    events: list[Event] = []
    for i, word in enumerate(words):
        if i % CHUNK == 0:
            first = 2 * (i // CHUNK) % len(passages)
            events.append(ChunkEvent(i // CHUNK, "", tuple(passages[first : first + 2]), 0.0))
        events.append(TokenEvent(i, f" {word}", -1.0, (), i // CHUNK))
    info = Info("none", 0, "", "", 2048, "")
    return Turn(
        "", "", None, "When was the harbour dug, and by whom?", Reply.of(events), Settings(), info,
        "", "stop", "",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="texts of each size (default 30)")
    rounds = parser.parse_args().rounds
    texts = json.loads((CASES / "passages.json").read_text(encoding="utf-8")).values()
    passages = [
        Neighbour(i, i, p["title"], "", 0, 0, 0, p["text"], p["continuation"], (), ())
        for i, p in enumerate(texts)
    ]
    sentences = [
        f"{sentence}."
        for p in passages
        for sentence in (p.text + p.continuation).rstrip(".").split(". ")
    ]
    chance = random.Random(0)

    def prose(size: int) -> list[str]:
        words: list[str] = []
        while len(words) < size:
            words += chance.choice(sentences).split()
        return words[:size]

    for size in SIZES:  # the passages have been seen
        run_detectors(turn_of(prose(size), passages))
    print(f"milliseconds for all {len(DETECTORS)} detectors, median (maximum) of {rounds} replies")
    print("tokens    " + "".join(f"{name:>18}" for name in WRITINGS))
    for size in SIZES:
        cells = []
        for write in WRITINGS.values():
            seconds = []
            for _ in range(rounds):
                turn = turn_of(write(prose(size)), passages)
                started = time.thread_time()
                run_detectors(turn)
                seconds.append(1000 * (time.thread_time() - started))
            cells.append(f"{median(seconds):.2f} ({max(seconds):.2f})")
        print(f"{size:<10}" + "".join(f"{cell:>18}" for cell in cells))
    parts: dict[str, list[float]] = {}
    for _ in range(rounds):
        for run in run_detectors(turn_of(prose(300), passages)):
            parts.setdefault(run.detector, []).append(1000 * run.seconds)
    print("\nmilliseconds for 300 tokens of prose, by detector")
    for kind, seconds in sorted(parts.items(), key=lambda part: -median(part[1])):
        print(f"  {kind:<16}{median(seconds):8.3f}")


if __name__ == "__main__":
    main()
