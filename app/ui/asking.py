"""What the scripts of a view ask the server: one JSON value in, a dictionary out, no error."""

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from app.store.connection import LogError
from app.store.filters import BadFilter

Answer = dict[str, Any]
T = TypeVar("T")

_logger = logging.getLogger(__name__)


class Refused(ValueError):
    """What the page asked for makes no sense; says why."""


def answered(
    ask: Callable[[Any, Mapping[str, Any]], Answer],
) -> Callable[[Any, Any], Answer]:
    """A method that is asked by a page: what it is sent is a mapping, empty if it was none, and
    {"problem": why} is given instead of raising."""

    @wraps(ask)
    def answer(self: Any, wanted: Any) -> Answer:
        try:
            return ask(self, wanted if isinstance(wanted, dict) else {})
        except (LogError, BadFilter, Refused) as problem:
            return {"problem": str(problem)}
        except Exception as defect:
            _logger.exception("the page asked for %s %.200r", ask.__name__, wanted)
            return {"problem": f"{type(defect).__name__}: {defect}"}

    return answer


def given(wanted: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A field that the page must send. Raises Refused."""
    found = wanted.get(name)
    huge = isinstance(found, int) and abs(found) > 2**53  # JavaScript counts no further
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)) or huge:
        raise Refused(f"the page sent no usable “{name}”; load the page again")
    return found
