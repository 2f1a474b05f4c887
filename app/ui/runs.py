"""The runs page: the model, presets of settings, and how a prompt is written."""

import gradio as gr

from app.compose import Application


def runs_page(app: Application) -> None:
    """Lays the page out, inside the route that is open."""
    gr.Markdown("## Not built yet")
