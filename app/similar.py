"""Similar cases: those whose sentences lie nearest to a case's, for the passage encoder in use.

Encoding takes a thread of its own, which fills in the keys of the newest cases while nobody has to
wait; what is asked meanwhile is compared with those that are there, and says with how many.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.failures.reading import sentences
from app.store.cases import Case, Cases
from app.store.connection import LogError
from app.store.keys import Keys, Place
from app.store.log import Log
from retrieval.protocol import Embedder

TOGETHER = 48  # texts that are encoded at once
LONGEST = 500  # characters of a text; the encoder would cut it anyway
MOST = 60  # nearest cases that are looked at for MANY of other replies
MANY = 6

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Near:
    """Cases of other replies with their likeness (cosine, at most 1), nearest first.

    They are the nearest of `compared` cases out of `of`. `waiting` says that the case itself has
    no key yet; it is being made.
    """

    cases: tuple[tuple[Case, float], ...]
    compared: int
    of: int
    waiting: bool = False


class Similar:
    """`encoder` gives the passage encoder, or None while there is none."""

    def __init__(self, log: Log, encoder: Callable[[], Embedder | None]) -> None:
        self._log, self._encoder = log, encoder
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wanted: list[str] = []

    def near(self, case: Case) -> Near | None:
        """What is like a case; None while there is no encoder. Encodes nothing itself.

        Raises LogError.
        """
        encoder = self._encoder()
        if encoder is None:
            return None
        keys = Keys(self._log, encoder.fingerprint)
        ids, matrix = keys.all()
        compared, of = keys.counts()
        if case.id not in ids:
            self._fill(encoder, case.id)
            return Near((), compared, of, waiting=True)
        if compared < of:
            self._fill(encoder)
        likeness = matrix @ matrix[ids.index(case.id)]
        nearest = np.argsort(-likeness, kind="stable")[:MOST]
        likenesses = {ids[i]: float(likeness[i]) for i in nearest}
        found = Cases(self._log).of(list(likenesses))
        others = [(c, min(likenesses[c.id], 1.0)) for c in found if c.turn != case.turn]
        return Near(tuple(others[:MANY]), compared, of)

    def wait(self, seconds: float) -> None:
        """Until all that may have a key has one, but no longer."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _fill(self, encoder: Embedder, first: str | None = None) -> None:
        """Begins to make the keys that are missing, that of the case `first` before all others."""
        with self._lock:
            if first is not None:
                self._wanted = [first, *(id for id in self._wanted if id != first)][:TOGETHER]
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, args=[encoder], name="similar", daemon=True
                )
                self._thread.start()

    def _run(self, encoder: Embedder) -> None:
        keys = Keys(self._log, encoder.fingerprint)
        try:
            while self._encoder() is encoder:
                with self._lock:
                    wanted, self._wanted = self._wanted, []
                # A person waits for what is wanted, so it goes alone.
                missing = keys.missing(wanted, max(len(wanted), 1) if wanted else TOGETHER)
                if not missing:
                    return
                started = time.monotonic()
                texts = [text_of(place) for place in missing]
                keys.put([place.case for place in missing], encoder(texts))
                if not wanted:
                    time.sleep(time.monotonic() - started)  # replies need the machine as well
        except LogError as problem:  # the log was closed, or cannot be written
            _logger.info("no more keys of cases: %s", problem)
        except Exception:
            _logger.exception("the keys of cases could not be made")


def text_of(place: Place) -> str:
    """The sentences that a case lies in; its words where it lies in none."""
    inside = [s.text for s in sentences(place.reply) if s.start < place.end and s.end > place.start]
    text = " ".join(inside) or place.reply[place.start : place.end] or place.reply
    return text[:LONGEST]
