"""What if a word of the message were another: a logged reply scored under both messages.

An anecdote: one prompt, no control. How common the two words are moves the score as well, so a
difference here says nothing of what the model does with such words in general.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.compose import Application
from app.effects import check_model
from app.probe.records import MODES, Mode, ProbeError
from app.probe.scoring import Instruments, instruments_of
from app.prompt import prompt_of
from app.records import Turn
from app.request import request_of
from app.store.redaction import redacted
from app.turn import clean_message
from engine.attribution import Unmeasurable
from engine.protocol import ReplyChunk, Scoring, Segment
from retrieval.protocol import Neighbour

LONGEST_WORD = 100  # characters
Shown = Sequence[tuple[Neighbour, ...]]


@dataclass(frozen=True)
class Difference:
    """A mode: log-probability of the reply in nats after either message, and `tokens`, the
    difference for each token. `missing` says why there is none."""

    mode: Mode
    original: float = 0.0
    changed: float = 0.0
    tokens: tuple[float, ...] = ()
    missing: str = ""


def swapped(message: str, word: str, replacement: str) -> str:
    """The message with every occurrence of a word, or of words, replaced. Raises ProbeError."""
    for what, text in (("word", word), ("replacement", replacement)):
        if not text.strip():
            raise ProbeError(f"the {what} is empty; write one")
        if len(text) > LONGEST_WORD:
            raise ProbeError(f"the {what} has {len(text)} characters; the limit is {LONGEST_WORD}")
    pattern = rf"(?<!\w){re.escape(word.strip())}(?!\w)"
    changed, count = re.subn(pattern, lambda _: replacement.strip(), message)
    if not count:
        raise ProbeError(
            f"the message does not have “{word.strip()}”; copy a word from it, with its capitals"
        )
    changed = clean_message(changed)
    if changed == message:
        raise ProbeError("the word and its replacement are the same; write another word")
    return changed


def what_if(app: Application, turn_id: str, word: str, replacement: str) -> dict[str, Any]:
    """The reply of a turn under its own message and the changed one, for JSON; see `Difference`.

    Writes nothing. Raises NotReady, ProbeError, Unmeasurable, LogError (an unknown turn),
    BadMessage, PromptTooLong and DatabaseError.
    """
    on = instruments_of(app)
    turn = app.log.turn(turn_id)
    changed = replace(turn, message=swapped(turn.message, word, replacement))
    if turn.finish == "running":
        raise Unmeasurable("the reply is still being written; try again when it is complete")
    check_model(turn, on.engine.info)
    if redacted(app.log, turn):
        raise Unmeasurable("personal data in the turn was masked, which the model had read")
    chunks = [chunk for chunk in turn.reply.chunks if chunk.last > chunk.first]
    if not chunks:
        raise Unmeasurable("the reply is empty, so there is nothing to score")
    prompts = [prompt_of(app.log, t, on.engine.count) for t in (turn, changed)]
    found = [_difference(on, mode, (turn, changed), prompts, chunks) for mode in MODES]
    return {
        "turn": turn.id,
        "message": turn.message,
        "changed": changed.message,
        "passage": bool(turn.passage),
        "modes": [asdict(mode) for mode in found],
        "pieces": list(_pieces(turn)),
    }


def _difference(
    on: Instruments, mode: Mode, turns: tuple[Turn, Turn],
    prompts: Sequence[tuple[Segment, ...]], chunks: Sequence[ReplyChunk],
) -> Difference:  # fmt: skip
    settings = turns[0].settings
    if mode != "off" and not any(chunk.neighbours for chunk in chunks):
        return Difference(mode, missing="no passage was shown while the reply was written")
    if mode == "live" and settings.random:
        return Difference(mode, missing="the passages were drawn at random, not found")
    if mode == "live" and on.retrieve is None:
        return Difference(mode, missing="the model was started without passages")
    scores = []
    for turn, prompt in zip(turns, prompts, strict=True):
        shown: Shown = {
            "frozen": lambda: [chunk.neighbours for chunk in chunks],
            "off": lambda: [()] * len(chunks),
            "live": lambda turn=turn: [_found(on, turn, chunks, j) for j in range(len(chunks))],
        }[mode]()
        tokens = tuple(token.id for token in turn.reply.tokens)
        scored = on.engine.score(Scoring(prompt, tokens, tuple(shown)))
        scores.append([p for chunk in scored for p in chunk.shown.logprobs])
    before, after = scores
    return Difference(
        mode, math.fsum(before), math.fsum(after),
        tuple(round(b - a, 4) for a, b in zip(before, after, strict=True)),
    )  # fmt: skip


def _found(
    on: Instruments, turn: Turn, chunks: Sequence[ReplyChunk], j: int
) -> tuple[Neighbour, ...]:
    """What chunk j would be shown for this message and the reply up to there, as in a turn."""
    assert on.retrieve is not None
    request = request_of(turn, (), {})
    always = request.always[: request.k]
    query = request.query
    if j:
        text = turn.reply.text[chunks[j - 1].start : chunks[j - 1].end]
        query = f"{query}\n{text}" if request.follow == "question+chunk" else text
    taken = {n.chunk_id for n in always}
    free = request.k - len(always)
    found = [n for n in on.retrieve(query, request.k) if n.chunk_id not in taken][:free]
    return (*always, *(n for n in found if n.chunk_id not in request.without))


def _pieces(turn: Turn) -> Iterator[dict[str, Any]]:
    """The texts of the reply with the tokens [first, last) of each: a token may be half a
    character, whose text comes with the last of it."""
    first = 0
    tokens = turn.reply.tokens
    for number, token in enumerate(tokens, 1):
        if token.text or number == len(tokens):
            yield {"text": token.text, "first": first, "last": number}
            first = number
