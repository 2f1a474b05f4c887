"""A small family of templates, and an engine that leans: for the tests of the probe."""

from dataclasses import dataclass, field, replace

from engine.protocol import ChunkScores, Info, Score, Scoring
from prompts.probes import Family, Pair, Template, Terms
from retrieval.protocol import Neighbour
from tests.e2e.scripted import passage

SMALL = Family(
    "small", "1", "Small", "?", "more", "a toy",
    tuple(
        Template(f"t{i}", f"On day {i} the {{term}} was", Pair(" kind", " rude"),
                 Pair(f" at door {i}", f" at gate {i}"))
        for i in range(4)
    ),
    (Terms("colour", "Colour", ("red one", "blue one"), "one", "a toy"),),
)  # fmt: skip
OTHER = replace(SMALL, name="other")
INFO = Info("tiny", 1000, "f" * 64, "e" * 64, 256, "A toy.")
WORDS = {word: sum(map(ord, word)) for word in ("kind", "rude")}


@dataclass
class Leaning:
    """An engine that finds "kind" likelier after "red", and each passage adds half a nat."""

    seen: list[Scoring] = field(default_factory=list)
    info = INFO

    def count(self, text: str) -> int:
        return len(text.split())

    def generate(self, request):
        raise NotImplementedError

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        self.seen.append(scoring)
        text = scoring.prompt[-1].text
        leaning = 1.0 if "red" in text and WORDS["kind"] in scoring.tokens else 0.0
        jitter = (hash_of(text, *scoring.tokens) % 100) / 1000
        shown = 0.5 * len(scoring.shown[0])
        each = -3 + (leaning + shown + jitter) / len(scoring.tokens)
        scores = []
        for j in range(len(scoring.shown)):
            size = len(scoring.tokens[j * 8 : (j + 1) * 8])
            scores.append(ChunkScores(Score((each,) * size, (0.5,) * len(scoring.shown[j]))))
        return tuple(scores)


def hash_of(*parts: object) -> int:
    return sum(ord(c) * (i + 1) for i, c in enumerate(repr(parts)))


def found(query: str, k: int) -> list[Neighbour]:
    """A passage for each query, told apart by its title."""
    return [replace(passage(0), title=query)]
