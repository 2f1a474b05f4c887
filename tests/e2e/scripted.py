"""An engine that follows a script instead of a model, so that a journey goes the same each time.

What it writes depends on the message, see `SCRIPTS`, and on the passages that it is shown, see
`UNSEEN`. A chunk has 12 tokens here, one a word.
"""

import re
import threading
import time
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
CATCH_UP = 0.2  # seconds that a reply that was held up may make good
CONTEXT = 2048
HARBOUR = (
    " The old harbour was dug in 1411 by the guild of masons. Its walls kept small boats safe from"
    " winter storms 🌊, and the town grew around it until the river moved away. Then the basin"
    " filled with silt and reeds, and herons came to fish there."
)
INERT = (
    ' <b>bold</b> & <img src=x onerror="alert(1)"> **not** $$x$$ &amp; 🌊 <script>alert(2)</script>'
    " ![x](http://192.0.2.1/x.png) [y](javascript:alert(5)) <style>*{display:none}</style>"
    " 🧑🏽‍🚀 e\u0301"
)
PASSAGES = (
    ("The <b>harbour</b>", "Records say that the old harbour was dug in 1411 ",
     "by the guild of masons, who were paid in salt <img src=x onerror=alert(3)>."),
    ("Storms 🌊", "🌊🌊 Its walls kept small boats safe from winter storms ",
     "and the town grew around it; see <script>alert(4)</script> below."),
)  # fmt: skip
UNSEEN = {0: ("1411", "1398"), 1: ("storms", "gales")}  # words without a passage: (with, without)
GAINS = {0: 0.25, 1: -0.05}  # nats a token that each passage adds


@dataclass(frozen=True)
class Script:
    """A reply of words, the seconds before each, and what goes wrong after the last."""

    text: str
    seconds: float = 0.004
    error: str = ""
    search_error: str = ""
    chunk: int = CHUNK  # tokens


SCRIPTS = {
    "loop": Script(" Well:" + " the heron waits in the reeds" * 40, seconds=0.001),
    "broken": Script(" The old harbour was dug", error="the script says so"),
    "slow": Script(HARBOUR * 12, seconds=0.03),
    "long": Script("".join(f" {n}th" for n in range(1500)), seconds=1 / 200, chunk=64),
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
        due = time.monotonic()
        shown: tuple[Neighbour, ...] = ()
        for number in range(max(len(words), 1)):
            if number % script.chunk == 0:
                chunk = self._chunk(request, script, number // script.chunk)
                shown = chunk.neighbours
                yield chunk
            if not words:
                break
            if number == request.sampling.max_tokens:
                yield DoneEvent("length", 20, {"total": 0.5})
                return
            due = max(due + script.seconds, time.monotonic() - CATCH_UP)
            time.sleep(max(0.0, due - time.monotonic()))
            word = _as_shown(words[number], shown)
            id = sum(map(ord, word.strip()))
            yield TokenEvent(id, word, -0.5, ((word, -0.5),), number // script.chunk)
        if script.error:
            raise RuntimeError(script.error)
        yield DoneEvent("stop", 20, {"total": 0.5})

    def _chunk(self, request: Request, script: Script, index: int) -> ChunkEvent:
        if index in request.pinned:
            return ChunkEvent(index, "", request.pinned[index], 0.0)
        if not request.retrieve:
            return ChunkEvent(index, "", (), 0.0)
        if script.search_error:
            return ChunkEvent(index, request.query, (), 0.0, script.search_error)
        always = [n.chunk_id for n in request.always]
        found = tuple(passage(i) for i in range(len(PASSAGES)) if i not in always)
        kept = (*request.always, *found)[: request.k]
        shown = tuple(n for n in kept if n.chunk_id not in request.without)
        return ChunkEvent(index, request.query, shown, 0.01)


def _as_shown(word: str, shown: tuple[Neighbour, ...]) -> str:
    """The word of the script, or the one that stands for it where a passage is not shown."""
    for id, (seen, unseen) in UNSEEN.items():
        if all(n.chunk_id != id for n in shown):
            word = word.replace(seen, unseen)
    return word


def _score(shown: tuple[Neighbour, ...], size: int) -> Score:
    nats = -0.7 + sum(GAINS.get(n.chunk_id, 0.001) for n in shown)
    return Score((nats,) * size, (1 / len(shown),) * len(shown) if shown else ())


def offsets(text: str) -> list[tuple[int, int, int]]:
    """The tokens of a text: a word with the space before it, with the id of its replies' tokens."""
    found = re.finditer(r"\s*\S+", text)
    return [(sum(map(ord, m.group().strip())), m.start(), m.end()) for m in found]


def passage(rank: int) -> Neighbour:
    title, text, continuation = PASSAGES[rank]
    return Neighbour(
        chunk_id=rank, document_id=rank, title=title, source=f"library/{rank}.md", position=0,
        start=100 * rank, end=100 * rank + len(text), text=text, continuation=continuation,
        tokens=(1, 2), continuation_tokens=(3,), distance=None if rank else 0.4123, overlap=0.5,
    )  # fmt: skip
