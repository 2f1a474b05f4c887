"""An engine that follows a script instead of a model, so that a journey goes the same each time.

What it writes depends on the message: see `SCRIPTS`. A chunk has 12 tokens here, one a word.
"""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from engine.protocol import (
    ChunkEvent,
    ChunkScores,
    DoneEvent,
    Event,
    Info,
    PromptTooLong,
    Request,
    Score,
    Scoring,
    TokenEvent,
)
from retrieval.protocol import Neighbour

CHUNK = 12
CONTEXT = 2048
HARBOUR = (
    " The old harbour was dug in 1411 by the guild of masons. Its walls kept small boats safe from"
    " winter storms 🌊, and the town grew around it until the river moved away. Then the basin"
    " filled with silt and reeds, and herons came to fish there."
)
INERT = (
    ' <b>bold</b> & <img src=x onerror="alert(1)"> **not** $$x$$ &amp; 🌊 <script>alert(2)</script>'
)
PASSAGES = (
    ("The <b>harbour</b>", "Records say that the old harbour was dug in 1411 ",
     "by the guild of masons, who were paid in salt <img src=x onerror=alert(3)>."),
    ("Storms 🌊", "🌊🌊 Its walls kept small boats safe from winter storms ",
     "and the town grew around it; see <script>alert(4)</script> below."),
)  # fmt: skip
GAINS = {0: 0.25, 1: -0.05}  # nats a token that each passage adds


@dataclass(frozen=True)
class Script:
    """A reply of words, the seconds before each, and what goes wrong after the last."""

    text: str
    seconds: float = 0.004
    error: str = ""
    search_error: str = ""


SCRIPTS = {
    "loop": Script(" Well:" + " the heron waits in the reeds" * 40, seconds=0.001),
    "broken": Script(" The old harbour was dug", error="the script says so"),
    "slow": Script(HARBOUR * 12, seconds=0.03),
    "inert": Script(INERT),
    "lost": Script(HARBOUR, search_error="the search failed (no index); written without passages"),
    "mute": Script(""),
}


class ScriptedEngine:
    """Follows the script named by the first word of the message, or tells of the harbour."""

    info = Info(
        preset="scripted", parameters=1_234_567, fingerprint="f" * 64, tokenizer="e" * 64,
        context=CONTEXT, note="It follows a script and knows nothing; it copies from passages.",
    )  # fmt: skip

    def __init__(self) -> None:
        self.one_at_a_time = threading.Lock()

    def count(self, text: str) -> int:
        return len(text.split())

    def generate(self, request: Request) -> Iterator[Event]:
        size = sum(self.count(segment.text) for segment in request.prompt)
        if size >= CONTEXT:
            raise PromptTooLong(f"the prompt takes {size} tokens, this model {CONTEXT - 1}")
        name = (re.findall(r"\w+", request.query) or [""])[0].casefold()
        script = SCRIPTS.get(name, Script(HARBOUR))
        with self.one_at_a_time:
            yield from self._write(request, script)

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        """Each passage of `PASSAGES` adds its own nats to every token; all others add little."""
        scores = []
        for index, shown in enumerate(scoring.shown):
            size = len(scoring.tokens[index * CHUNK : (index + 1) * CHUNK])
            trials = scoring.trials[index] if scoring.trials else ()
            scores.append(ChunkScores(_score(shown, size), tuple(_score(t, size) for t in trials)))
        return tuple(scores)

    def _write(self, request: Request, script: Script) -> Iterator[Event]:
        words = re.findall(r"\s*\S+", script.text)
        clock = threading.Event()  # never set: waiting for it is a sleep
        for number in range(max(len(words), 1)):
            if number % CHUNK == 0:
                yield self._chunk(request, script, number // CHUNK)
            if not words:
                break
            if number == request.sampling.max_tokens:
                yield DoneEvent("length", 20, {"total": 0.5})
                return
            clock.wait(script.seconds)
            id = sum(map(ord, words[number].strip()))
            yield TokenEvent(id, words[number], -0.5, ((words[number], -0.5),), number // CHUNK)
        if script.error:
            raise RuntimeError(script.error)
        yield DoneEvent("stop", 20, {"total": 0.5})

    def _chunk(self, request: Request, script: Script, index: int) -> ChunkEvent:
        if not request.retrieve:
            return ChunkEvent(index, "", (), 0.0)
        if script.search_error:
            return ChunkEvent(index, request.query, (), 0.0, script.search_error)
        shown = tuple(passage(rank) for rank in range(request.k))
        return ChunkEvent(index, request.query, shown, 0.01)


def _score(shown: tuple[Neighbour, ...], size: int) -> Score:
    nats = -0.7 + sum(GAINS.get(n.chunk_id, 0.001) for n in shown)
    return Score((nats,) * size, (1 / len(shown),) * len(shown) if shown else ())


def passage(rank: int) -> Neighbour:
    title, text, continuation = PASSAGES[rank]
    return Neighbour(
        chunk_id=rank, document_id=rank, title=title, source=f"library/{rank}.md", position=0,
        start=100 * rank, end=100 * rank + len(text), text=text, continuation=continuation,
        tokens=(1, 2), continuation_tokens=(3,), distance=None if rank else 0.4123, overlap=0.5,
    )  # fmt: skip
