"""One reply from its prompt to its end, without a model: what it needs next, and what comes of it.

The chunk loop follows RETRO's sampling (arXiv 2112.04426, section 2.4): neighbours of a completed
chunk are searched before its last token is fed, because that token already reads them. A prompt is
read in blocks that begin with the last token of a chunk; all but the last block need nothing that
the search for the reply's first chunk finds.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.layout import Layout
from engine.presets import Preset
from engine.protocol import ChunkEvent, DoneEvent, Event, Reason, Request, TokenEvent
from engine.slots import Block, Draw, Drawn
from engine.streaming import TextStream
from engine.tokenizer import EOS, Tokenizer
from retrieval.protocol import Neighbour

Shown = tuple[Neighbour, ...]


@dataclass(frozen=True)
class Search:
    """Neighbours to be found for a reply chunk, k in all."""

    chunk: int
    query: str
    k: int


@dataclass(frozen=True)
class Token:
    """A token to be fed that completes no chunk."""

    at: int
    token: int
    draw: Draw


class Read(NamedTuple):
    """A block to be read, and how the token after it is drawn if that is wanted."""

    block: Block
    draw: Draw | None


class Prompt:
    """A prompt that is read and nothing more: all that stands before `end`, which begins a block.

    `shown[u]` are the neighbours of chunk u, where it has any. To be fed in order: `next` says what
    is to be done, `begin` and `fed` that it was.
    """

    def __init__(self, layout: Layout, chunk: int, end: int):
        self.tokens, self.valid, self._chunk = layout.tokens, layout.valid, chunk
        self.shown: dict[int, Shown] = dict(layout.shown)
        self.latest = end  # where reading has to begin at the latest
        self._end, self._at = end, 0

    @property
    def search(self) -> Search | None:
        """What it waits for."""
        return None

    @property
    def ended(self) -> bool:
        return self._at >= self._end

    def begin(self, at: int) -> list[Event]:
        """What is before `at` has been read already."""
        self._at = at
        return []

    def next(self) -> Read | Token | None:
        """What is to be fed now; None while it waits, and at the end."""
        return None if self.ended else Read(self._block(), None)

    def fed(self, drawn: Drawn | None, seconds: float) -> list[Event]:
        """Takes what was drawn after `next` was fed, which took so long."""
        self._at += len(self._block().tokens)
        return []

    def _block(self) -> Block:
        """The prompt's tokens from the next one on, up to the last token of a chunk."""
        M, at = self._chunk, self._at
        whole, over = divmod(at + 1, M)
        end = min((whole + 1) * M - 1, len(self.tokens))
        shown = None if over else self.shown.get(whole - 1, ())
        return Block(at, self.tokens[at:end], self.valid[at:end], shown)


class Writing(Prompt):
    """A reply after its prompt, `length` tokens in all at most. `searches` says whether anything
    can be searched."""

    def __init__(
        self,
        request: Request,
        layout: Layout,
        preset: Preset,
        tokenizer: Tokenizer,
        length: int,
        *,
        searches: bool,
        clock: Callable[[], float] = time.monotonic,
    ):
        M, T = preset.chunk, len(layout.tokens)
        super().__init__(layout, M, T)
        self._request, self._searches, self._length = request, searches, length
        self._most = preset.retrieval.neighbours if preset.retrieval else 0
        self._tokenizer, self._stream = tokenizer, TextStream(tokenizer, request.stop)
        self._prompt, self._count = T, int(layout.valid.sum())
        # the last block reads the first neighbours that are found
        self.latest = max(T // M * M - 1, 0) if preset.retrieval else T - 1
        self._written: list[int] = []
        self._search: Search | None = None
        self._ended = False
        self._clock, self._start = clock, clock()
        self._seconds = dict.fromkeys(("retrieval", "prefill", "decode", "first_token"), 0.0)

    @property
    def search(self) -> Search | None:
        return self._search

    @property
    def ended(self) -> bool:
        return self._ended

    def begin(self, at: int) -> list[Event]:
        self._at = at
        return self._look(0, self._request.query)

    def next(self) -> Read | Token | None:
        if self._ended:
            return None
        sampling, number, at = self._request.sampling, len(self._written), self._at
        if at < self._prompt:
            block = self._block()
            last = at + len(block.tokens) == self._prompt
            if not last:
                return Read(block, None)
            return None if self._search else Read(block, Draw(sampling, 0))
        draw = Draw(sampling, number)
        if (at + 1) % self._chunk:
            return Token(at, self._written[-1], draw)
        if self._search:
            return None
        shown = self.shown.get((at + 1) // self._chunk - 1, ())
        token = np.array(self._written[-1:], np.int32)
        return Read(Block(at, token, np.ones(1, bool), shown), draw)

    def fed(self, drawn: Drawn | None, seconds: float) -> list[Event]:
        inside = self._at < self._prompt
        self._seconds["prefill" if inside else "decode"] += seconds
        self._at += len(self._block().tokens) if inside else 1
        return [] if drawn is None else list(self._wrote(drawn))

    def found(
        self, neighbours: Sequence[Neighbour], seconds: float, error: str | None = None
    ) -> list[Event]:
        """Takes what the search found, or why it found nothing."""
        search, request = self._search, self._request
        assert search is not None
        always = request.always[: search.k]
        taken = {n.chunk_id for n in always}
        fresh = tuple(n for n in neighbours if n.chunk_id not in taken)[: search.k - len(always)]
        fresh = tuple(n for n in fresh if n.chunk_id not in request.without)
        self._search = None
        event = ChunkEvent(
            search.chunk, search.query, (*always, *fresh), round(seconds, 4), error
        )  # fmt: skip
        return self._show(event)

    def _wrote(self, drawn: Drawn) -> Iterator[Event]:
        """Takes the token at the place that is to be fed next."""
        at, M, limit = self._at, self._chunk, self._request.sampling.max_tokens
        first = self._prompt // M
        if not self._written:
            self._seconds["first_token"] = self._clock() - self._start
        if drawn.token == EOS:
            yield from self._end_by("stop")
            return
        self._written.append(drawn.token)
        yield from self._stream.feed(self._describe(drawn, at // M - first))
        if self._stream.stopped:
            yield from self._end_by("stop")
        elif len(self._written) == limit:
            yield from self._end_by("length")
        elif at + 1 >= self._length:
            yield from self._end_by("context")
        elif (at + 1) % M == 0:
            text = self._tokenizer.decode(self._written[-M:])
            query = self._request.query
            both = self._request.follow == "question+chunk"
            yield from self._look((at + 1) // M - first, f"{query}\n{text}" if both else text)

    def _end_by(self, reason: Reason) -> Iterator[Event]:
        self._ended = True
        yield from self._stream.close()
        seconds = {**self._seconds, "total": self._clock() - self._start}
        yield DoneEvent(reason, self._count, {k: round(v, 4) for k, v in seconds.items()})

    def _describe(self, drawn: Drawn, chunk: int) -> TokenEvent:
        """A drawn token with its likeliest alternatives, its own text still open."""
        decode = self._tokenizer.decode
        named = tuple((decode([i]), round(p, 4)) for i, p in drawn.top)
        return TokenEvent(drawn.token, "", round(drawn.logprob, 4), named, chunk)

    def _look(self, chunk: int, query: str) -> list[Event]:
        """Begins a reply chunk with the neighbours that are pinned, or shown always; what else it
        is shown must be searched."""
        request = self._request
        if not self._most:
            return self._show(ChunkEvent(chunk, "", (), 0.0))
        if chunk in request.pinned:
            pinned = tuple(request.pinned[chunk])[: self._most]
            return self._show(ChunkEvent(chunk, query, pinned, 0.0))
        k = min(self._most, request.k)
        always = request.always[:k]
        if not request.retrieve or not self._searches or len(always) == k:
            return self._show(ChunkEvent(chunk, "", always, 0.0))
        self._search = Search(chunk, query, k)
        return []

    def _show(self, event: ChunkEvent) -> list[Event]:
        self._seconds["retrieval"] += event.seconds
        completed = self._prompt // self._chunk - 1 + event.index
        if completed >= 0:  # a prompt of less than a chunk shows nothing yet
            self.shown[completed] = event.neighbours
        return [event]
