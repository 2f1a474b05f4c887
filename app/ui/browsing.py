"""The browse view: cases, which are findings of detectors and failures that people marked."""

from collections.abc import Callable, Sequence
from typing import Any

from app.compose import Application


def browsing(app: Application) -> Sequence[Callable[[Any], dict[str, Any]]]:
    """What the view's scripts may ask for. Each takes one JSON value, which any page may send."""
    return []
