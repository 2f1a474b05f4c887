"""What the scripts of the page ask the server: a dictionary is answered, and nothing raised."""

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from app.store.connection import LogError
from app.store.filters import BadFilter

Answer = dict[str, Any]
Serve = Callable[[Any], Answer]
P = ParamSpec("P")
T = TypeVar("T")

_logger = logging.getLogger(__name__)


class Refused(ValueError):
    """What the page asked for makes no sense; says why."""


def answering(*expected: type[Exception]) -> Callable[[Callable[P, Answer]], Callable[P, Answer]]:
    """Makes what it decorates give {"problem": why} instead of raising. The `expected` errors say
    that to a person; all others are logged as well."""

    def decorate(ask: Callable[P, Answer]) -> Callable[P, Answer]:
        @wraps(ask)
        def answer(*sent: P.args, **named: P.kwargs) -> Answer:
            try:
                return ask(*sent, **named)
            except expected as problem:
                return {"problem": str(problem)}
            except Exception as defect:
                _logger.exception("the page asked for %s %.200r", ask.__name__, sent)
                return {"problem": f"{type(defect).__name__}: {defect}"}

        return answer

    return decorate


def answered(ask: Callable[[Any, Mapping[str, Any]], Answer]) -> Callable[[Any, Any], Answer]:
    """A method that is sent one JSON value: a mapping, which is empty if it was none."""

    @wraps(ask)
    def answer(self: Any, wanted: Any) -> Answer:
        return ask(self, wanted if isinstance(wanted, dict) else {})

    return answering(LogError, BadFilter, Refused)(answer)


def given(wanted: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A field that the page must send. Raises Refused."""
    found = wanted.get(name)
    huge = isinstance(found, int) and abs(found) > 2**53  # JavaScript counts no further
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)) or huge:
        raise Refused(f"the page sent no usable “{name}”; load the page again")
    return found
