"""Turns as the messages of the transcript, in plain text that no HTML parser can take for more.

The transcript component parses what it is given as HTML, so the few signs that could begin a tag
or an entity are escaped; everything else is left as it was typed.
"""

import re
from collections.abc import Sequence

from app.records import Turn

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?\w+)")
_FILE = re.compile(r'(src=)"(?=/file)')  # which the component would rewrite to its own address

Message = dict[str, str]


def escape(text: str) -> str:
    """Text that, parsed as HTML, is shown exactly as it was."""
    text = _ENTITY.sub("&amp;", text)
    text = _TAG.sub("&lt;", text)
    return _FILE.sub(r"\1&quot;", text)


def unescape(text: str) -> str:
    """The text that `escape` was given."""
    return text.replace("&quot;", '"').replace("&lt;", "<").replace("&amp;", "&")


def asked(message: str) -> Message:
    return {"role": "user", "content": escape(message)}


def replied(text: str) -> Message:
    return {"role": "assistant", "content": escape(text)}


def messages(turns: Sequence[Turn]) -> list[Message]:
    """Two messages a turn, so that turn i has the messages 2i and 2i + 1."""
    return [m for t in turns for m in (asked(t.message), replied(t.reply.text))]
