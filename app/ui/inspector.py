"""The inspector: the panel that shows what the model was shown for each chunk of a reply.

It triggers two events: "vary" {turn, change} to write the reply again with a change, see
`app.changes`, and "pin" {turn, chunk, rank} to show a passage for the next replies as well;
chunk and rank count from 0.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr

from app.ui.files import text_of
from app.ui.reading import Reading

SCRIPTS = (
    "nodes.js", "kept.js", "places.js", "figures.js", "painting.js", "ribbon.js", "cards.js",
    "tokens.js", "findings.js", "raw.js", "dialogs.js", "inspector.js",
)  # fmt: skip


def inspector_panel(reading: Reading) -> gr.HTML:
    """The panel; `reading` answers what its script asks."""
    asked = (
        reading.inspect, reading.measure, reading.tokens, reading.context, reading.judge,
        reading.raw, reading.replay, reading.rulings, reading.rule,
    )  # fmt: skip
    return gr.HTML(
        None, html_template=text_of("inspector.html"), elem_id="inspector",
        js_on_load=text_of(*SCRIPTS), apply_default_css=False,
        server_functions=[_served(ask) for ask in asked],
    )  # fmt: skip


def _served(ask: Callable[..., Any]) -> Callable[[Any], Any]:
    """A server function: its one argument is what the script gave, a list if that was several."""

    def serve(given: Any) -> Any:
        return ask(*given) if isinstance(given, list) else ask(given)

    serve.__name__ = ask.__name__
    return serve
