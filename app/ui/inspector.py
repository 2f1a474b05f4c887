"""The inspector: the panel that shows what the model was shown for each chunk of a reply."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from app.ui.files import text_of


def inspector_panel(inspect: Callable[[str], Any]) -> gr.HTML:
    """The panel; `inspect` gives its payload for a turn."""
    return gr.HTML(
        None, html_template=text_of("inspector.html"), elem_id="inspector",
        js_on_load=text_of("places.js", "inspector.js"),
        apply_default_css=False, server_functions=[inspect],
    )  # fmt: skip
