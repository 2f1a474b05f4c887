"""What the drawer with two replies is given, as JSON. Pure; offsets are code points.

{"opening", "busy", "message", "problem", "parting", "a", "b", "earlier", "comparison", "vote",
 "presets"}, and for each side {"turn", "heading", "text", "marks", "parting", "ending", "facts",
"running"}. A drawer opens itself where `opening` is new; `marks` are the words that differ, and
`parting` of a side is its first other token.
"""

from typing import Any

from app.difference import Difference, difference
from app.records import Turn
from app.ui.payload import ending, facts
from engine.protocol import TokenEvent

AS_IT_WAS = "as it was written"


def single(
    a: Turn, *, heading: str = "", text: str | None = None, parting: str = ""
) -> dict[str, Any]:
    """A drawer with reply A, and B while it is written: its text so far."""
    drawer = _drawer(a, _side(a, AS_IT_WAS))
    if text is None:
        return drawer
    side = {
        "turn": "",
        "heading": heading,
        "text": text,
        "marks": [],
        "parting": None,
        "ending": "",
        "facts": [],
        "running": True,
    }
    return {**drawer, "b": side, "busy": True, "parting": parting}


def compared(a: Turn, b: Turn, change: str, gain: float | None = None) -> dict[str, Any]:
    """A drawer with two finished replies; `gain` in nats is what the passages of A changed."""
    found = difference(a.reply, b.reply)
    side_a = _side(a, AS_IT_WAS, found.spans_a, found.token)
    if gain is not None:
        side_a["facts"].append(f"measured: its passages changed it by {gain:+.1f} nats")
    drawer = _drawer(a, side_a)
    side_b = _side(b, change, found.spans_b, found.token)
    return {**drawer, "b": side_b, "parting": parting_of(a, b, found)}


def parting_of(a: Turn, b: Turn, found: Difference) -> str:
    """Where two replies part, in words."""
    if found.token is None:
        drawn = "greedy" if a.settings.sampling.temperature == 0 else "sampled"
        return f"Both replies are the same: this change had no effect on the {drawn} text."
    ends = [_token(turn, found.token) for turn in (a, b)]
    if found.token == 0:
        where = "They part at the first token"
    else:
        where = f"They are the same for {_tokens(found.token)} and part at token {found.token + 1}"
    return f"{where}: {ends[0]} in A, {ends[1]} in B."


def _token(turn: Turn, index: int) -> str:
    tokens = turn.reply.tokens
    if index >= len(tokens):
        return "the end of the reply"
    text = tokens[index].text
    if text.strip():
        return f"“{text.strip()}”"
    # a reply's first space is not part of its text
    return "a space" if text or not index else "a part of a character"


def _tokens(count: int) -> str:
    return f"{count} token{'' if count == 1 else 's'}"


def _drawer(a: Turn, side: dict[str, Any]) -> dict[str, Any]:
    return {
        "opening": "",
        "busy": False,
        "message": a.message,
        "problem": "",
        "parting": "",
        "a": side,
        "b": None,
        "earlier": [],
        "comparison": "",
        "vote": None,
        "presets": [],
    }


def _side(
    turn: Turn,
    heading: str,
    marks: tuple[tuple[int, int], ...] = (),
    token: int | None = None,
) -> dict[str, Any]:
    return {
        "turn": turn.id,
        "heading": heading,
        "text": turn.reply.text,
        "marks": [list(span) for span in marks],
        "parting": _span(turn.reply.tokens, token),
        "ending": ending(turn),
        "facts": facts(turn),
        "running": False,
    }


def _span(tokens: tuple[TokenEvent, ...], index: int | None) -> list[int] | None:
    """The code points of a token; None past the end, or where there is none."""
    if index is None or index >= len(tokens):
        return None
    start = sum(len(token.text) for token in tokens[:index])
    return [start, start + len(tokens[index].text)]
