"""LocalEngine: replies written in this process, one at a time.

The chunk loop follows RETRO's sampling (arXiv 2112.04426, section 2.4): neighbours of a completed
chunk are searched before its last token is fed, because that token already reads them.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as SearchTimeout
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from engine.checkpoint import load_weights
from engine.decode import Logits, compile_decoding, freeze
from engine.layout import Layout, lay_out, passages_of
from engine.presets import preset
from engine.protocol import (
    ChunkEvent,
    ChunkScores,
    DoneEvent,
    Event,
    Info,
    PromptTooLong,
    Reason,
    Request,
    Sampling,
    Scoring,
    Segment,
    TokenEvent,
)
from engine.retro import Cache, Passages
from engine.sampling import Choice, draw_of
from engine.scoring import Scorer, chunks_of
from engine.streaming import TextStream
from engine.tokenizer import EOS, PAD, Tokenizer
from retrieval.protocol import Neighbour, Retrieve

SEARCH_SECONDS = 10.0  # a longer search is given up, and the reply says so and goes on without
_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # prompt lengths, in chunks, that are compiled for


class LocalEngine:
    """Writes replies with a model in this process; `retrieve` finds its neighbours."""

    def __init__(
        self,
        arrays: Mapping[str, Any],
        tokenizer: Tokenizer,
        info: Info,
        retrieve: Retrieve | None = None,
    ):
        self.tokenizer = tokenizer
        self._preset = preset(info.preset)
        self._retrieve = retrieve
        self._info = info
        self._decoding = compile_decoding(self._preset, self._preset.context)
        self._weights = freeze(dict(arrays))
        self._tables = self._decoding.tables(self._weights)
        self._scorer = Scorer(self._preset, self._decoding, self._weights, self._tables)
        self._turn, self._next = threading.Lock(), threading.Lock()
        self._search = ThreadPoolExecutor(1, thread_name_prefix="search")

    @classmethod
    def load(cls, directory: Path) -> "LocalEngine":
        """Opens a weights directory. Raises CheckpointError or TokenizerError."""
        card, arrays = load_weights(directory)
        tokenizer = Tokenizer(directory / "tokenizer.model")
        info = Info(
            preset=card["preset"],
            parameters=int(card["parameters"]),
            fingerprint=card["sha256"],
            tokenizer=tokenizer.fingerprint,
            context=preset(card["preset"]).context,
            note=str(card.get("note", "")),
        )
        return cls(arrays, tokenizer, info)

    def use(self, retrieve: Retrieve | None) -> None:
        """Sets what finds neighbours; not while a reply is being written."""
        self._retrieve = retrieve

    @property
    def info(self) -> Info:
        return self._info

    @property
    def device(self) -> str:
        """Where it computes, and in what numbers."""
        array = jax.tree.leaves(self._weights)[0]
        return f"{min(array.devices(), key=str).device_kind}, {array.dtype}"

    def count(self, text: str) -> int:
        return len(self.tokenizer.encode(text))

    def warm_up(self) -> None:
        """Compiles, or fetches from the compilation cache, what short turns need."""
        M = self._preset.chunk
        prompts = [np.full(chunks * M, PAD, np.int32) for chunks in _BUCKETS[:4]]
        layouts = [Layout(tokens, np.ones(len(tokens), bool), {}) for tokens in prompts]
        started = [self.prefill(layout, reserve=1) for layout in layouts]
        logits, cache = started[0]
        token = self.choose(logits, Sampling(), 0).token
        for found in (None, {}):
            _, cache = self.step(cache, token, found)

    def warm_up_scores(self) -> None:
        """The same for scoring short replies."""
        M, none = self._preset.chunk, ((), ())
        self.score(Scoring((Segment("", tokens=(PAD,) * M),), (PAD,) * (M + 1), none, (none, ())))

    def generate(self, request: Request) -> Iterator[Event]:
        """Streams a reply; see `engine.protocol.Engine`."""
        layout = lay_out(request.prompt, self.tokenizer.encode, self._preset.chunk)
        size, slots = len(layout.tokens), self._preset.context
        if not 0 < size < slots:
            raise PromptTooLong(
                f"the prompt takes {size} tokens with padding, this model 1 to {slots - 1}; "
                "shorten the message or start a new conversation"
            )
        with self._in_turn():
            yield from self._write(request, layout)

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        """Scores a finished reply; see `engine.protocol.Engine`.

        A reply that is asked for meanwhile waits for one batch of one chunk, not for all.
        """
        M, context = self._preset.chunk, self._preset.context
        chunks = list(chunks_of(scoring, M))
        layout = lay_out(scoring.prompt, self.tokenizer.encode, M)
        size, reply = len(layout.tokens), len(chunks) * M
        if size + len(scoring.tokens) > context:
            raise PromptTooLong(
                f"the prompt takes {size} tokens with padding and the reply {len(scoring.tokens)}, "
                f"together more than the {context} of this model"
            )
        if not size or size % M:
            raise ValueError(f"the prompt takes {size} tokens; it must end a chunk of {M}")
        with self._in_turn():
            cache = self._scorer.start(self.prefill(layout, reserve=reply)[1], reply)
        last = int(layout.tokens[-1])
        return tuple(self._scorer.score(cache, last, chunks, self._in_turn))

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """The model is one caller's at a time; who gives it back waits behind who is waiting."""
        with self._next:
            self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    def _write(self, request: Request, layout: Layout) -> Iterator[Event]:
        start = time.monotonic()
        M, T, limit = self._preset.chunk, len(layout.tokens), request.sampling.max_tokens
        seconds = dict.fromkeys(("retrieval", "prefill", "decode", "first_token"), 0.0)
        stream = TextStream(self.tokenizer, request.stop)
        written: list[int] = []
        reason: Reason = "length"

        event = self._find(request, 0, request.query)
        seconds["retrieval"] += event.seconds
        yield event
        shown = dict(layout.shown)
        if T >= M:
            shown[T // M - 1] = event.neighbours
        mark = time.monotonic()
        logits, cache = self.prefill(Layout(layout.tokens, layout.valid, shown), reserve=limit)
        slots = self._preset.context - int(cache.at)
        seconds["prefill"] = time.monotonic() - mark

        for number in range(limit):
            choice = self.choose(logits, request.sampling, number)
            token = int(choice.token[0])
            seconds["first_token"] = seconds["first_token"] or time.monotonic() - start
            if token == EOS:
                reason = "stop"
                break
            written.append(token)
            at = T + number
            yield from stream.feed(self._describe(choice, at // M - T // M))
            if stream.stopped:
                reason = "stop"
                break
            if number + 1 == limit:
                break
            if number + 1 >= slots:
                reason = "context"
                break
            passages = None
            if (at + 1) % M == 0:
                chunk = (at + 1) // M - T // M
                text = self.tokenizer.decode(written[-M:])
                query = f"{request.query}\n{text}" if request.follow == "question+chunk" else text
                event = self._find(request, chunk, query)
                seconds["retrieval"] += event.seconds
                yield event
                passages = {0: event.neighbours}
            mark = time.monotonic()
            logits, cache = self.step(cache, choice.token, passages)
            logits.block_until_ready()
            seconds["decode"] += time.monotonic() - mark
        yield from stream.close()
        total = time.monotonic() - start
        rounded = {k: round(v, 4) for k, v in {**seconds, "total": total}.items()}
        yield DoneEvent(reason, int(layout.valid.sum()), rounded)

    def _describe(self, choice: Choice, chunk: int) -> TokenEvent:
        """A sampled token with its likeliest alternatives, its own text still open."""
        top = zip(choice.top[0].tolist(), choice.top_logprobs[0].tolist(), strict=True)
        named = tuple((self.tokenizer.decode([i]), round(p, 4)) for i, p in top)
        logprob = round(float(choice.logprob[0]), 4)
        return TokenEvent(int(choice.token[0]), "", logprob, named, chunk)

    def _find(self, request: Request, chunk: int, query: str) -> ChunkEvent:
        """The neighbours for a reply chunk: pinned, or those shown always and then found ones."""
        if self._preset.retrieval is None:
            return ChunkEvent(chunk, "", (), 0.0)
        k = self._preset.retrieval.neighbours
        if chunk in request.pinned:
            return ChunkEvent(chunk, query, tuple(request.pinned[chunk])[:k], 0.0)
        k = min(k, request.k)
        always = request.always[:k]
        if not request.retrieve or self._retrieve is None or len(always) == k:
            return ChunkEvent(chunk, "", always, 0.0)
        start, error, found = time.monotonic(), None, ()
        try:
            job = self._search.submit(self._retrieve, query, k)
            found = tuple(job.result(SEARCH_SECONDS))
        except SearchTimeout:
            error = f"the search took longer than {SEARCH_SECONDS:.0f} s; written without passages"
        except Exception as problem:  # a broken search must not end the reply
            error = f"the search failed ({problem}); written without passages"
        taken = {n.chunk_id for n in always}
        found = tuple(n for n in found if n.chunk_id not in taken)[: k - len(always)]
        found = tuple(n for n in found if n.chunk_id not in request.without)
        seconds = round(time.monotonic() - start, 4)
        return ChunkEvent(chunk, query, (*always, *found), seconds, error)

    def prefill(self, layout: Layout, reserve: int) -> tuple[Logits, Cache]:
        """Runs a prompt: whole chunks at once, in a bucket padded at the far left, then the rest.

        Padding whole chunks in front changes nothing: distances are relative and padding is
        masked. Returns the logits after the last token [1 V] and the cache.
        """
        M, T = self._preset.chunk, len(layout.tokens)
        chunks = T // M
        fits = self._preset.context - reserve - T % M
        size = next((b for b in _BUCKETS if chunks <= b and b * M <= fits), chunks)
        extra = size - chunks
        if chunks:
            tokens = np.pad(layout.tokens[: chunks * M], (extra * M, 0), constant_values=PAD)
            valid = np.pad(layout.valid[: chunks * M], (extra * M, 0))
            moved = {u + extra: n for u, n in layout.shown.items()}
            logits, cache = self._decoding.prefill(
                self._weights, tokens[None], valid[None], self._passages(moved, size)
            )
        else:
            logits, cache = None, self._decoding.empty(1)
        for token in layout.tokens[chunks * M :]:
            logits, cache = self.step(cache, jnp.array([token], jnp.int32), None)
        assert logits is not None  # the prompt has at least one token
        return logits, cache

    def step(
        self, cache: Cache, token: Any, found: Mapping[int, Sequence[Neighbour]] | None
    ) -> tuple[Logits, Cache]:
        """Feeds one token [1]; `found` = {0: neighbours} at the last token of a chunk."""
        passages = None if found is None else self._passages(found, 1)
        return self._decoding.step(self._weights, self._tables, cache, token, passages)

    def choose(self, logits: Logits, sampling: Sampling, number: int) -> Choice:
        return self._decoding.choose(logits, draw_of(sampling, number))

    def _passages(self, shown: Mapping[int, Sequence[Neighbour]], chunks: int) -> Passages | None:
        r = self._preset.retrieval
        return None if r is None else passages_of(shown, chunks, r.neighbours, r.neighbour_tokens)
