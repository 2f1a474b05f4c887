"""How likely a text is after a prompt, under passages that were found for one text or another.

The prompt is plain text that ends a chunk, as the prompt of a turn does; the continuation is
scored in the place of a reply, so that the first of its tokens already reads the passages.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from app.compose import Application, NotReady
from app.probe.records import Mode, ProbeError, Score, Scored
from app.probe.swaps import Swap
from app.prompt import chunk_of
from engine.protocol import Engine, Scoring, Segment
from retrieval.protocol import EncodeOffsets, Neighbour, Retrieve

NEIGHBOURS = 2  # passages shown for a chunk; every model here takes as many


@dataclass(frozen=True)
class Instruments:
    """What a probe measures with. `retrieve` is None where there are no passages."""

    engine: Engine
    encode: EncodeOffsets
    retrieve: Retrieve | None = None
    database: Callable[[], str] = lambda: ""


def instruments_of(app: Application) -> Instruments:
    """Raises NotReady while the model is being loaded."""
    if app.engine is None or app.encode_offsets is None:
        raise NotReady(f"{app.status.message}; try again when the model is ready")
    if app.passages is None:
        return Instruments(app.engine, app.encode_offsets)
    return Instruments(
        app.engine, app.encode_offsets, app.passages.retrieve, app.passages.fingerprint
    )


class Scorer:
    """Scores texts in one mode. Passages for the same text are searched for once."""

    def __init__(self, instruments: Instruments, mode: Mode):
        if mode != "off" and instruments.retrieve is None:
            raise ProbeError(
                f"mode {mode} shows passages, but there are none here; choose the mode off"
            )
        self._on, self._mode = instruments, mode
        self._found: dict[str, tuple[Neighbour, ...]] = {}

    def swap(self, swap: Swap) -> Scored:
        """Raises PromptTooLong, and DatabaseError where the passages cannot be searched."""
        shown = self.shown(swap.neutral if self._mode == "frozen" else swap.prompt)
        first, second = (self.text(swap.prompt, t, shown) for t in (swap.first, swap.second))
        return Scored(swap.template, swap.terms, swap.term, swap.pair, first, second)

    def shown(self, query: str) -> tuple[Neighbour, ...]:
        """The passages for a text; none where the mode is off."""
        if self._mode == "off" or self._on.retrieve is None:
            return ()
        if query not in self._found:
            self._found[query] = tuple(self._on.retrieve(query, NEIGHBOURS))
        return self._found[query]

    def text(self, prompt: str, continuation: str, shown: tuple[Neighbour, ...]) -> Score:
        """Scores a continuation that has at least one token."""
        tokens = tuple(piece for piece, _, _ in self._on.encode(continuation))
        chunks = -(-len(tokens) // chunk_of(self._on.engine.info))
        scored = self._on.engine.score(
            Scoring((Segment(prompt, ends_chunk=True),), tokens, (shown,) * chunks)
        )
        return Score(math.fsum(p for chunk in scored for p in chunk.shown.logprobs), len(tokens))
