"""Choices in the shapes of OpenAI's objects, whole and piece by piece.

What is particular to retrieval stands in a field `retro` beside them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.protocol import ChunkEvent, DoneEvent, Reply, TokenEvent
from engine.server.echoing import Scored
from engine.server.service import END
from engine.server.writing import Item, TimeUp, Written
from engine.tokenizer import BOS, EOS, PAD, UNKNOWN, ByteStream, Tokenizer
from retrieval.protocol import Neighbour

SPECIAL = {PAD: "<pad>", UNKNOWN: "<unk>", BOS: "<s>", EOS: END}
_LOWEST = -9999.0  # for what JSON has no number for, as other servers do


class Shape(Protocol):
    """One of the two kinds of choices. `alternatives` is None without log-probabilities."""

    @property
    def kind(self) -> str: ...

    @property
    def piece_kind(self) -> str: ...

    @property
    def prefix(self) -> str: ...

    def whole(self, written: Written) -> dict[str, Any]:
        """A finished choice."""
        ...

    def piece(self, written: Written, item: Item) -> dict[str, Any]:
        """What `item`, which `written` has taken already, adds to a choice."""
        ...


@dataclass(frozen=True)
class ChatShape:
    tokenizer: Tokenizer
    alternatives: int | None
    kind: str = "chat.completion"
    piece_kind: str = "chat.completion.chunk"
    prefix: str = "chatcmpl-"

    def whole(self, written: Written) -> dict[str, Any]:
        return {
            "index": written.choice.index,
            "message": {"role": "assistant", "content": written.text, "refusal": None},
            "logprobs": self._logprobs(written.tokens),
            "finish_reason": written.finish,
            "retro": whole_retro(written),
        }

    def piece(self, written: Written, item: Item) -> dict[str, Any]:
        delta: dict[str, Any] = {}
        logprobs = None
        if isinstance(item, TokenEvent):
            delta["content"] = item.text
            logprobs = self._logprobs([item])
        return {
            "index": written.choice.index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": written.finish if _last(written, item) else None,
        } | piece_retro(written, item)

    def _logprobs(self, tokens: Sequence[TokenEvent]) -> dict[str, Any] | None:
        if self.alternatives is None:
            return None
        return {"content": [self._token(t) for t in tokens], "refusal": None}

    def _token(self, token: TokenEvent) -> dict[str, Any]:
        top = [
            {
                "token": text, "logprob": finite(logprob),
                "bytes": None if "\ufffd" in text else list(text.encode("utf-8", "surrogatepass")),
            }
            for text, logprob in token.top[: self.alternatives]
        ]  # fmt: skip
        return {
            "token": name_of(token.id, self.tokenizer),
            "logprob": finite(token.logprob),
            "bytes": list(self.tokenizer.decode_bytes([token.id])),
            "top_logprobs": top,
        }


@dataclass(frozen=True)
class CompletionShape:
    tokenizer: Tokenizer
    alternatives: int | None
    kind: str = "text_completion"
    piece_kind: str = "text_completion"
    prefix: str = "cmpl-"

    def whole(self, written: Written) -> dict[str, Any]:
        scored = written.scored
        return {
            "index": written.choice.index,
            "text": (scored.text if scored else "") + written.text,
            "logprobs": self._logprobs(scored, written.tokens, 0),
            "finish_reason": written.finish,
            "retro": whole_retro(written),
        }

    def piece(self, written: Written, item: Item) -> dict[str, Any]:
        text, logprobs = "", None
        if isinstance(item, Scored):
            text, logprobs = item.text, self._logprobs(item, (), 0)
        elif isinstance(item, TokenEvent):
            before = len(written.scored.text) if written.scored else 0
            text = item.text
            logprobs = self._logprobs(None, [item], before + len(written.text) - len(text))
        return {
            "index": written.choice.index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": written.finish if _last(written, item) else None,
        } | piece_retro(written, item)

    def _logprobs(
        self, scored: Scored | None, tokens: Sequence[TokenEvent], at: int
    ) -> dict[str, Any] | None:
        if self.alternatives is None:
            return None
        names: list[str] = []
        logprobs: list[float | None] = []
        top: list[dict[str, float] | None] = []
        offsets: list[int] = []
        if scored is not None:
            names = [name_of(i, self.tokenizer) for i in scored.tokens]
            logprobs = [None if p is None else finite(p) for p in scored.logprobs]
            top = list(self._top_of_prompt(scored, names, logprobs))
            stream = ByteStream(self.tokenizer)
            for i, token in enumerate(scored.tokens):
                offsets.append(at)
                at += len(END if i == 0 and token == EOS else stream.feed(token))
            at = len(scored.text)
        for token in tokens:
            name, logprob = name_of(token.id, self.tokenizer), finite(token.logprob)
            names.append(name)
            logprobs.append(logprob)
            likeliest = [(t, finite(p)) for t, p in token.top[: self.alternatives]]
            top.append(_first_of_each([*likeliest, (name, logprob)]))
            offsets.append(at)
            at += len(token.text)
        return {
            "tokens": names,
            "token_logprobs": logprobs,
            "top_logprobs": top if self.alternatives else None,
            "text_offset": offsets,
        }

    def _top_of_prompt(
        self, scored: Scored, names: Sequence[str], logprobs: Sequence[float | None]
    ) -> Iterable[dict[str, float] | None]:
        """The likeliest tokens in each place and the one that stands there."""
        for name, logprob, likeliest in zip(names, logprobs, scored.top, strict=True):
            if logprob is None or likeliest is None:
                yield None
                continue
            named = [
                (name_of(i, self.tokenizer), finite(p)) for i, p in likeliest[: self.alternatives]
            ]
            yield _first_of_each([*named, (name, logprob)])


def _last(written: Written, item: Item) -> bool:
    """Whether nothing comes after this."""
    return item is (written.done if written.choice.writes else written.scored)


def name_of(token: int, tokenizer: Tokenizer) -> str:
    """A token as text; where it is a part of a character, its bytes, as OpenAI writes them."""
    raw = tokenizer.decode_bytes([token])
    try:
        return raw.decode() if raw else SPECIAL.get(token, "")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else _LOWEST


def _first_of_each(named: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Two tokens may have one name; the likelier of them, which comes first, stays."""
    found: dict[str, float] = {}
    for name, logprob in named:
        found.setdefault(name, logprob)
    return found


# ----- retrieval


def whole_retro(written: Written) -> dict[str, Any]:
    reply = Reply.of([*written.chunks, *written.tokens])
    chunks = [
        {
            "index": c.index, "query": c.query, "seconds": c.seconds, "error": c.error,
            "first": c.first, "last": c.last, "start": c.start, "end": c.end,
            "neighbours": [shown_neighbour(n) for n in c.neighbours],
        }
        for c in reply.chunks
    ]  # fmt: skip
    tokens = {"tokens": [token.id for token in written.tokens]}
    return ended_retro(written) | tokens | {"chunks": chunks} | _prompt_retro(written.scored)


def piece_retro(written: Written, item: Item) -> dict[str, Any]:
    match item:
        case TokenEvent():
            return {"retro": {"tokens": [item.id]}}
        case ChunkEvent():
            chunk = {
                "index": item.index, "query": item.query, "seconds": item.seconds,
                "error": item.error, "neighbours": [shown_neighbour(n) for n in item.neighbours],
            }  # fmt: skip
            return {"retro": {"chunk": chunk, "ahead": written.ahead}}
        case Scored() if shown := _prompt_retro(item):
            return {"retro": shown}
        case DoneEvent() | TimeUp():
            return {"retro": ended_retro(written)}
    return {}


def ended_retro(written: Written) -> dict[str, Any]:
    """How a choice was drawn, how many replies it waited for, and how it ended."""
    seconds = dict(written.done.seconds) if isinstance(written.done, DoneEvent) else {}
    return {
        "seed": written.choice.request.sampling.seed,
        "retrieve": written.choice.request.retrieve,
        "ahead": written.ahead,
        "finish": written.why,
        "seconds": seconds,
    }


def _prompt_retro(scored: Scored | None) -> dict[str, Any]:
    """The neighbours under which a prompt was scored, for each chunk after its first token."""
    if scored is None or not any(scored.shown):
        return {}
    shown = [[shown_neighbour(n) for n in neighbours] for neighbours in scored.shown]
    return {"prompt": shown}


def shown_neighbour(neighbour: Neighbour) -> dict[str, Any]:
    """A neighbour without its tokens, as `retro.pinned` takes it."""
    n = neighbour
    return {
        "id": n.chunk_id, "document": n.document_id, "title": n.title, "source": n.source,
        "start": n.start, "end": n.end, "text": n.text, "continuation": n.continuation,
        "distance": n.distance, "overlap": n.overlap,
    }  # fmt: skip
