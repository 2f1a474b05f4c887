"""Turns for the tests of detectors: a reply, and the passages that were shown for it."""

from app.records import Settings, Turn
from engine.protocol import Info, Reply, ReplyChunk
from retrieval.protocol import Neighbour


def passage(text: str, title: str = "Harbour", number: int = 1) -> Neighbour:
    """The text is cut in the middle into neighbour and continuation."""
    half = len(text) // 2
    return Neighbour(number, number, title, "", 0, 0, 0, text[:half], text[half:], (), ())


def turn(
    reply: str, *passages: str | Neighbour, message: str = "When was the harbour dug?",
    later: dict[int, str] | None = None, **fields,
) -> Turn:  # fmt: skip
    """All passages are shown from the start; those of `later` from a code point of the reply."""
    shown = [
        p if isinstance(p, Neighbour) else passage(p, number=i) for i, p in enumerate(passages)
    ]
    starts = [0, *(later or {})]
    groups = [tuple(shown), *((passage(p, number=100 + i),) for i, p in (later or {}).items())]
    chunks = tuple(
        ReplyChunk(i, "", group, 0.0, None, 0, 0, start, end)
        for i, (group, start, end) in enumerate(
            zip(groups, starts, [*starts[1:], len(reply)], strict=True)
        )
    )
    given = {
        "id": "t", "conversation": "c", "parent": None, "message": message,
        "reply": Reply(reply, (), chunks), "settings": Settings(),
        "model": Info("tiny", 1, "", "", 2048, ""), "database": "", "finish": "stop",
        "created": "",
    }  # fmt: skip
    return Turn(**given | fields)
