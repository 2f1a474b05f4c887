"""The prompt of a sample message as the model would read it, piece by piece and token by token."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from app.compose import Application, NotReady
from app.prompt import LaidOut, Piece, chunk_of
from app.records import Settings
from app.store.connection import LogError
from app.turn import BadMessage
from app.ui.fields import Unfit, read_values
from prompts.templates import BadTemplate
from retrieval.protocol import EncodeOffsets

Answer = dict[str, Any]


class Preview:
    """Previews of prompts with an application's engine and its log."""

    def __init__(self, app: Application):
        self._app = app

    def look(self, message: Any, values: Any, parent: Any = None) -> Answer:
        """`prompt_of` a message after the turn `parent`; or {"waiting"} or {"problem"} in words, or
        {"problems"} by field where the values are unfit."""
        try:
            turns, engine = self._app.turns, self._app.engine
            assert engine is not None  # turns come with it
            named = values if isinstance(values, Mapping) else {}
            settings = read_values(named, self._app.defaults)
            shown = turns.laid_out(str(message or ""), settings, parent or None)
        except Unfit as unfit:
            return {"problems": unfit.problems}
        except BadTemplate as problem:
            return {"problems": {"template": str(problem)}}
        except BadMessage as problem:
            return {"problems": {"message": str(problem)}}
        except NotReady:
            return {"waiting": "The prompt is laid out here when the model is ready."}
        except LogError as problem:
            return {"problem": str(problem)}
        return prompt_of(shown, settings, chunk_of(engine.info), self._app.encode_offsets)


def prompt_of(
    shown: LaidOut, settings: Settings, chunk: int, offsets: EncodeOffsets | None = None
) -> Answer:
    """{"pieces": [{"label", "text", "tokens", "padding", "parts"}], "text", "padding", "total",
    "reply", "context", "chunk", "left"}: numbers of tokens.

    `parts` are the token texts of a piece, null where they are not known. `left` is what is free
    beside the prompt and the longest reply; below 0 the reply may be cut short.
    """
    padding = sum(piece.padding for piece in shown.pieces)
    reply = settings.sampling.max_tokens
    return {
        "pieces": [
            {
                "label": label,
                "text": piece.text,
                "tokens": piece.tokens,
                "padding": piece.padding,
                "parts": parts_of(piece, offsets),
            }
            for label, piece in zip(_labels(len(shown.pieces)), shown.pieces, strict=True)
        ],
        "text": shown.total - padding,
        "padding": padding,
        "total": shown.total,
        "reply": reply,
        "context": shown.context,
        "chunk": chunk,
        "left": shown.context - shown.total - reply,
    }


def parts_of(piece: Piece, offsets: EncodeOffsets | None) -> list[str] | None:
    """The texts of a piece's tokens, which together are its text.

    None without a tokenizer, or where the piece was written with other tokens than its text is
    read with. A token that completes no character is empty.
    """
    if offsets is None:
        return None
    ends = [0, *(end for _, _, end in offsets(piece.text))]
    if len(ends) - 1 != piece.tokens or ends[-1] != len(piece.text):
        return None
    return [piece.text[a:b] for a, b in pairwise(ends)]


def _labels(count: int) -> list[str]:
    """An exchange before this one has a piece for its reply, unless that is empty."""
    return ["Earlier exchange"] * (count - 1) + ["This exchange"]
