"""The log to write to from the command line: never beside a running application."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from app.compose import StartError, lock, recover
from app.settings import VERSION, Options
from app.store.log import Log
from app.store.queries import open_reader


@contextmanager
def owned(options: Options) -> Iterator[Log]:
    """The log, with the data directory locked as `chat` locks it; it is made up to date.

    Raises LogError where there is no log, StartError where the application is running.
    """
    with held(options), closing(Log(options.log, VERSION)) as log:
        recover(log)  # nobody is writing a reply now
        yield log


@contextmanager
def held(options: Options) -> Iterator[None]:
    """The data directory locked, if there is a log; raises as `owned`."""
    if not options.log.is_file():
        open_reader(options.log).close()  # says that there is none
    descriptor = lock(options.data)
    try:
        yield
    finally:
        os.close(descriptor)


def running(options: Options) -> bool:
    """Whether the application is using the log, or it cannot be told."""
    try:
        with held(options):
            return False
    except StartError:
        return True
