"""The queue view: one reply at a time, its findings to rule on and its failures to mark."""

from collections.abc import Callable, Sequence
from typing import Any

from app.compose import Application


def annotating(app: Application) -> Sequence[Callable[[Any], dict[str, Any]]]:
    """What the view's scripts may ask for. Each takes one JSON value, which any page may send."""
    return []
