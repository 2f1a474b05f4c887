"""The failures page: review, browse, count and probe for failures. One view is shown at a time.

The view is a part of the address, `?view=queue`, `browse`, `dashboard` or `probe`; so is what it
shows. Each view is a component of its own, which begins when it is first shown.
"""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.compose import Application
from app.ui.annotating import annotating
from app.ui.asking import Serve
from app.ui.browsing import browsing
from app.ui.charting import charting
from app.ui.files import text_of
from app.ui.probing import probing

QUEUE = (
    "kept.js", "places.js", "annotate_state.js", "annotate_text.js", "annotate_list.js",
    "annotate_marks.js", "annotate_palette.js", "annotate_passages.js", "annotate_keys.js",
    "annotate.js",
)  # fmt: skip
PROBE = ("probe_plot.js", "probe_report.js", "probe_runs.js", "probe_word.js", "probe.js")
BROWSE = (
    "kept.js", "places.js", "table.js", "browse_state.js", "browse_list.js", "browse_act.js",
    "browse_case.js", "browse.js",
)  # fmt: skip
DASHBOARD = ("figures.js", "dashboard_plots.js", "dashboard_panels.js", "dashboard.js")


def failures_page(app: Application) -> None:
    """Lays the page out, inside the route that is open."""
    gr.HTML(text_of("header.html"), apply_default_css=False, elem_id="header")
    gr.HTML(
        None, html_template=text_of("failures.html"), js_on_load=text_of("failures.js"),
        elem_id="failures", apply_default_css=False,
    )  # fmt: skip
    _view("queue", ("annotate.html",), QUEUE, annotating(app))
    _view("browse", ("browse.html",), BROWSE, browsing(app))
    _view("dashboard", ("dashboard.html",), DASHBOARD, charting(app))
    _view("probe", ("probe.html",), PROBE, probing(app))


def _view(name: str, pages: Sequence[str], scripts: Sequence[str], asked: Sequence[Serve]) -> None:
    gr.HTML(
        None, html_template=text_of(*pages), apply_default_css=False,
        js_on_load=text_of("nodes.js", "server.js", "view.js", *scripts), elem_id=f"view-{name}",
        elem_classes="failures-view", server_functions=[_served(ask) for ask in asked],
    )  # fmt: skip


def _served(ask: Serve) -> Serve:
    """A function for a method: gradio writes an attribute to what the page may ask for."""

    def serve(wanted: Any) -> dict[str, Any]:
        return ask(wanted)

    serve.__name__ = ask.__name__
    return serve
