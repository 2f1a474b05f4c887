"""The dashboard: what the log says of failures, in numbers."""

from collections.abc import Callable, Sequence
from typing import Any

from app.compose import Application


def charting(app: Application) -> Sequence[Callable[[Any], dict[str, Any]]]:
    """What the view's scripts may ask for. Each takes one JSON value, which any page may send."""
    return []
