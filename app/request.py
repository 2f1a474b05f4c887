"""What an engine is asked for: a turn's prompt, and the passages that are settled beforehand."""

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence

from app.prompt import chunk_of
from app.records import Settings, Turn
from engine.protocol import Info, Request, Segment
from prompts.dialogue import template_of
from prompts.templates import stop_of
from retrieval.protocol import Neighbour

Draw = Callable[[int, int], Sequence[Neighbour]]  # (how many, seed) -> passages at random


class NoPassages(RuntimeError):
    """Random passages were asked for and there are none to draw from."""


def request_of(
    turn: Turn, prompt: Sequence[Segment], shown: Mapping[int, tuple[Neighbour, ...]]
) -> Request:
    """The request of a turn; `shown` are all neighbours of chunks that are not searched."""
    settings = turn.settings
    return Request(
        prompt=tuple(prompt),
        query=turn.message,
        sampling=settings.sampling,
        stop=stop_of(template_of(settings.template)),
        retrieve=settings.retrieve,
        k=settings.k,
        follow=settings.follow,
        pinned=shown,
        always=settings.pinned if settings.retrieve else (),
        without=frozenset(settings.without),
    )


def drawn(settings: Settings, model: Info, draw: Draw | None) -> dict[int, tuple[Neighbour, ...]]:
    """All neighbours of each chunk that a reply can have, if they are to be random, else {}.

    Drawn with a seed that follows from that of the sampling; one that is left out is not replaced,
    so that the others stay. Where there are too few, they come again. Raises NoPassages without a
    `draw`.
    """
    if not (settings.random and settings.retrieve):
        return {}
    if draw is None:
        raise NoPassages("there are no passages to draw random ones from; ingest some first")
    chunks = -(-min(settings.sampling.max_tokens, model.context) // chunk_of(model))
    digest = hashlib.sha256(f"random passages {settings.sampling.seed}".encode()).digest()
    found = draw(chunks * settings.k, int.from_bytes(digest[:4], "big"))
    dealt = itertools.cycle(found)
    shown = {}
    for j in range(chunks):
        fresh = dict.fromkeys((*settings.pinned, *itertools.islice(dealt, settings.k)))
        shown[j] = tuple(
            n for n in [*fresh][: settings.k]
            if n in settings.pinned or n.chunk_id not in settings.without
        )  # fmt: skip
    return shown
