"""The runs page: the model, presets of settings, and how a prompt is written."""

from typing import Any

import gradio as gr

from app.compose import Application
from app.store.connection import LogError
from app.ui.card import model_card
from app.ui.files import text_of
from app.ui.notices import manifest_of
from app.ui.presets import Presets
from app.ui.preview import Preview

SCRIPTS = ("nodes.js", "card.js", "presets.js", "preview.js", "runs.js")


def runs_page(app: Application) -> None:
    """Lays the page out, inside the route that is open."""
    gr.HTML(text_of("header.html"), apply_default_css=False, elem_id="header")
    gr.HTML(
        None, html_template=text_of("runs.html"), js_on_load=text_of(*SCRIPTS), elem_id="runs",
        apply_default_css=False, server_functions=asked_by_the_page(app),
    )  # fmt: skip


def asked_by_the_page(app: Application) -> list[Any]:
    """What runs.js may ask for. Each function takes one JSON value, which any page may send."""
    presets, preview = Presets(app), Preview(app)

    def describe_model(_: Any) -> dict[str, Any]:
        device = getattr(app.engine, "device", "")
        return model_card(app.card, app.status, app.info, manifest_of(app), device)

    def preset_look(_: Any) -> dict[str, Any]:
        return {**presets.look(), "earlier": newest_turn(app)}

    def preset_save(request: Any) -> dict[str, Any]:
        return presets.save(*_named(request, "name", "values", "replaces"))

    def preset_copy(request: Any) -> dict[str, Any]:
        return presets.copy(*_named(request, "name"))

    def preset_delete(request: Any) -> dict[str, Any]:
        return presets.delete(*_named(request, "name"))

    def preset_prefer(request: Any) -> dict[str, Any]:
        return presets.prefer(*_named(request, "name"))

    def prompt_preview(request: Any) -> dict[str, Any]:
        return preview.look(*_named(request, "message", "values", "parent"))

    return [
        describe_model, preset_look, preset_save, preset_copy, preset_delete, preset_prefer,
        prompt_preview,
    ]  # fmt: skip


def newest_turn(app: Application) -> str | None:
    """The last turn of the newest conversation, for a sample of earlier exchanges."""
    try:
        conversations = app.log.conversations()
        return app.log.turns(conversations[0].id)[-1].id if conversations else None
    except (LogError, IndexError):
        return None


def _named(request: Any, *names: str) -> list[Any]:
    return [request.get(name) if isinstance(request, dict) else None for name in names]
