"""How a reply ended: without a word, or before its end. Taken from what is known, not guessed."""

import re

from app.failures.protocol import Detector, NotApplicable
from app.records import Finding, Severity, Turn

_WORD = re.compile(r"\w")
# The end of a sentence inside a text: a mark, closing quotes or brackets, then space; or a line's.
_BREAK = re.compile(r"""[.!?…。！？]["'”’»)\]]*\s+|[。！？]+|\n""")
_COMPLETE = re.compile(r"""[.!?…。！？]["'”’»)\]]*$""")

_CAUSES: dict[str, tuple[Severity, str]] = {
    "length": ("warn", "it reached the limit of {limit} tokens"),
    "context": ("warn", "the prompt and the reply filled the model's context of {limit} tokens"),
    "error": ("warn", "an error ended it"),
    "crashed": ("warn", "the application ended while it was being written"),
    "stopped": ("info", "a person stopped it"),
    "loop": ("info", "it was stopped because it had begun to repeat itself"),
}


def find_empty(turn: Turn) -> list[Finding]:
    """`empty`: a reply in which there is no letter and no digit."""
    _require_finished(turn)
    text = turn.reply.text
    if _WORD.search(text):
        return []
    what = f"only {len(text)} characters that are not words" if text.strip() else "no text at all"
    return [
        Finding(
            kind="empty",
            start=0,
            end=len(text),
            quote=text,
            score=0.0,
            threshold=1.0,
            severity="info" if turn.finish == "stopped" else "warn",
            explanation=f"The reply has no word: {what}.",
            evidence={"words": 0, "characters": len(text), "finish": turn.finish},
        )
    ]


def find_truncated(turn: Turn) -> list[Finding]:
    """`truncated.<cause>`: a reply that was cut off, by the reason that ended it.

    The span is the last sentence or line, which is where the text breaks off. Where that looks
    complete the finding is `info`: the cut fell between two sentences. Punctuation alone never
    makes a finding, since lists, poems and code end without any.
    """
    _require_finished(turn)
    if turn.finish not in _CAUSES:
        return []
    severity, cause = _CAUSES[turn.finish]
    start, end = last_sentence(turn.reply.text)
    quote = turn.reply.text[start:end]
    complete = bool(_COMPLETE.search(quote))
    score, limit = _measure(turn)
    where = "after a complete sentence" if complete else "within a sentence" if quote else "at once"
    return [
        Finding(
            kind=f"truncated.{turn.finish}",
            start=start,
            end=end,
            quote=quote,
            score=score,
            threshold=limit,
            severity="info" if complete else severity,
            explanation=f"The reply ended {where}: {cause.format(limit=round(limit))}.",
            evidence={"finish": turn.finish, "complete": complete, "error": turn.error},
        )
    ]


def last_sentence(text: str) -> tuple[int, int]:
    """Code points [start, end) of the last sentence or line, without the space around it."""
    end = len(text.rstrip())
    start = max(
        (match.end() for match in _BREAK.finditer(text, 0, end) if match.end() < end), default=0
    )
    return end - len(text[start:end].lstrip()), end


def _measure(turn: Turn) -> tuple[float, float]:
    """What was counted and its limit: tokens where a limit ended the reply, else 1 of 1."""
    written = len(turn.reply.tokens)
    if turn.finish == "length":
        return float(written), float(turn.settings.sampling.max_tokens)
    if turn.finish == "context":
        prompt = turn.reply.done.prompt_tokens if turn.reply.done else 0
        return float(prompt + written), float(turn.model.context)
    return 1.0, 1.0


def _require_finished(turn: Turn) -> None:
    if turn.finish == "running":
        raise NotApplicable("the reply is still being written")


EMPTY = Detector("empty", "1", find_empty)
TRUNCATED = Detector("truncated", "1", find_truncated)
