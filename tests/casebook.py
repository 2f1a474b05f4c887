"""A small log with cases of every sort, drawn at random, and its cases told without the store's
own table of them."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from app.records import DetectorRun, Finding, Settings, Turn
from app.store.ids import new_id
from app.store.log import Log
from app.store.marks import Marks
from engine.protocol import Info, Sampling

PEOPLE = ("Ada", "Grace", "Mary")
KINDS = ("copy.neighbour", "copy.database", "repetition.loop", "unsupported.number", "empty")
LABELS = ("copy", "wrong.fact", "unsupported.number", "W.I.3", "W.III.1", "toxic")
WORDS = ("harbour", "heron", "silt", "guild", "lantern", "bread", "glacier", "moon", "🌊", "été")
MODELS = (Info("small", 1, "a" * 64, "e" * 64, 9, ""), Info("large", 2, "b" * 64, "e" * 64, 9, ""))


@dataclass(frozen=True)
class Told:
    """A case as the rest of the log tells it."""

    id: str
    source: str
    kind: str
    severity: int
    status: str
    annotator: str
    ruled: frozenset[str]
    note: str
    turn: Turn
    start: int


def fill(log: Log, toy_turn: Callable[..., Turn], turns: int = 24, seed: int = 5) -> list[Turn]:
    """Saves so many turns with findings, marks, rulings and reviews; oldest first."""
    rng, marks, made = random.Random(seed), Marks(log), []
    for i in range(turns):
        text = " ".join(rng.choices(WORDS, k=rng.choice((5, 70))))
        turn = toy_turn(
            text, id=new_id(), conversation=f"c{i // 3}", message=" ".join(rng.choices(WORDS, k=3)),
            created=f"2026-11-{1 + i // 4:02}T0{i % 4}:00:00.000Z", model=rng.choice(MODELS),
            settings=Settings(
                Sampling(temperature=rng.choice((0.0, 0.7))),
                retrieve=rng.random() < 0.7, k=rng.choice((1, 2)),
            ),
        )  # fmt: skip
        log.save(turn, _runs(text, rng))
        made.append(turn)
        flagged = bool(log.findings(turn.id))
        for person in PEOPLE:
            if rng.random() < 0.5:
                marks.begin(turn.id, person, "flagged" if flagged else "sample", blind=False)
                if rng.random() < 0.8:
                    marks.close(turn.id, person, rng.choice(("done", "done", "skipped")))
            if rng.random() < 0.4:
                start = rng.randrange(len(text))
                end = rng.randrange(start, len(text) + 1)
                one = marks.annotate(
                    turn.id, person, rng.choice(LABELS), (start, end),
                    severity=rng.randint(1, 3), note=rng.choice(("", "no lantern 100% sure")),
                )  # fmt: skip
                if rng.random() < 0.3:
                    marks.revise(one.id, person, label=rng.choice(LABELS))
            for logged in marks.findings(turn.id):
                if rng.random() < 0.3:
                    marks.rule(logged.id, person, rng.choice(("accepted", "rejected")))
    return made


def _runs(text: str, rng: random.Random) -> tuple[DetectorRun, ...]:
    runs = []
    for kind in rng.sample(KINDS, 3):
        status = rng.choice(("found", "ok", "skipped", "error"))
        start = rng.randrange(len(text))
        quote = text[start : start + 9]
        severity = rng.choice(("info", "warn", "alert"))
        found = Finding(kind, start, start + len(quote), quote, 1, 0.5, severity, "So.")
        runs.append(DetectorRun(kind, "1", status, 0.1, (found,) if status == "found" else ()))
    return tuple(runs)


def told(log: Log, turns: list[Turn]) -> list[Told]:
    """All cases of the turns."""
    marks, found = Marks(log), []
    for turn in turns:
        for logged in marks.findings(turn.id):
            ruled = set(logged.rulings.values())
            status = "open" if not ruled else ruled.pop() if len(ruled) == 1 else "disputed"
            f = logged.finding
            severity = ("info", "warn", "alert").index(f.severity) + 1
            found.append(
                Told(f"f{logged.id}", "machine", f.kind, severity, status, "",
                     frozenset(logged.rulings), "", turn, f.start)
            )  # fmt: skip
        for a in marks.annotations(turn.id):
            found.append(
                Told(f"a{a.id}", "person", a.label, a.severity, "marked", a.annotator,
                     frozenset(), a.note, turn, a.start)
            )  # fmt: skip
    return found
