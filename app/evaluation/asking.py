"""Turns as the page runs them, in a log that is gone afterwards."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.store.log import Log
from app.turn import Turns
from engine.protocol import Engine
from retrieval.protocol import Retrieve


@contextmanager
def unlogged(
    engine: Engine, retrieve: Retrieve, database: Callable[[], str]
) -> Iterator[tuple[Turns, Log]]:
    """`database` tells the fingerprint of the passages. The engine must use `retrieve` too."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Log(Path(folder) / "log.db")) as log,
    ):
        yield Turns(engine, log, retrieve=retrieve, database=database), log
