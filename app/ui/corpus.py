"""The corpus page: the documents that passages come from."""

import gradio as gr

from app.compose import Application


def corpus_page(app: Application) -> None:
    """Lays the page out, inside the route that is open."""
    gr.Markdown("## Not built yet")
