"""The first minute: questions to begin with, and a turn to inspect before the first reply."""

import logging
from pathlib import Path
from typing import Any

from app.export import BadDocument, Exchange, transcript_of
from app.records import Turn
from app.ui.payload import inspection
from engine.attribution import Attribution

QUESTIONS = (  # that the library which comes with the program has an article for
    "What is the main cause of climate change?",
    "What does a battery consist of?",
    "What is the event horizon of a black hole?",
    "What does the word quantum mean?",
)
LABEL = "Example, stored with this program"
FILE = Path(__file__).with_name("example.json")  # made by: python app.py log export
_logger = logging.getLogger(__name__)


class Example:
    """A turn that is shown on an empty page and is not in the log; or none, where it is missing."""

    def __init__(self, exchange: Exchange | None = None):
        self.exchange = exchange

    @property
    def turn(self) -> Turn | None:
        return self.exchange and self.exchange.turn

    @property
    def attribution(self) -> Attribution | None:
        return self.exchange and self.exchange.attribution

    @property
    def id(self) -> str:
        return self.exchange.turn.id if self.exchange else ""

    @property
    def inspector(self) -> dict[str, Any]:
        """What the inspector shows on an empty page."""
        page: dict[str, Any] = {"conversation": None, "turns": [], "shown": None}
        if self.exchange is None:
            return page
        message = self.exchange.turn.message
        return {**page, "shown": self.shown, "example": {"label": LABEL, "message": message}}

    @property
    def shown(self) -> dict[str, Any] | None:
        """The inspector's payload for the turn."""
        found = self.exchange
        return found and inspection(
            found.turn, found.findings, runs=found.runs, judgements=found.judgements
        )


def stored_example(path: Path = FILE) -> Example:
    """The first turn of an exported conversation; no example where there is no fit file."""
    try:
        return Example(transcript_of(path.read_text("utf-8")).turns[0])
    except FileNotFoundError:
        return Example()
    except (OSError, UnicodeDecodeError, BadDocument, IndexError) as problem:
        _logger.warning("the stored example cannot be shown: %s", problem)
        return Example()
