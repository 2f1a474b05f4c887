"""The corpus page: the documents that passages come from, searched, added to and taken from."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from app.compose import Application
from app.ui.catalogue import Catalogue
from app.ui.files import text_of
from app.ui.uploading import LIMITS, Uploading
from retrieval.manifest import DatabaseError

SCRIPTS = (
    "nodes.js", "server.js", "table.js", "corpus_words.js", "corpus_document.js", "corpus_list.js",
    "corpus_search.js", "corpus_job.js", "corpus.js",
)  # fmt: skip


def corpus_page(app: Application) -> None:
    """Lays the page out, inside the route that is open."""
    gr.HTML(text_of("header.html"), apply_default_css=False, elem_id="header")
    gr.HTML(
        None, html_template=text_of("corpus.html"), js_on_load=text_of(*SCRIPTS),
        elem_id="corpus", apply_default_css=False, server_functions=asked_by_the_page(app),
    )  # fmt: skip


def asked_by_the_page(app: Application) -> list[Any]:
    """What corpus.js may ask for. Each function takes one JSON value, which any page may send."""
    catalogue = Catalogue(app)
    uploading = Uploading(app, lambda: Path(get_upload_folder()))

    def corpus_state(_: Any) -> dict[str, Any]:
        return {**state_of(app, catalogue), **uploading.look(), "limits": LIMITS}

    def corpus_documents(wanted: Any) -> dict[str, Any]:
        return catalogue.documents(wanted)

    def corpus_document(wanted: Any) -> dict[str, Any]:
        return catalogue.document(wanted)

    def corpus_search(wanted: Any) -> dict[str, Any]:
        return catalogue.search(wanted)

    def corpus_remove(wanted: Any) -> dict[str, Any]:
        return catalogue.remove(wanted)

    def corpus_add(wanted: Any) -> dict[str, Any]:
        return uploading.add(wanted)

    def corpus_drive(action: Any) -> dict[str, Any]:
        return uploading.drive(action)

    return [
        corpus_state, corpus_documents, corpus_document, corpus_search, corpus_remove, corpus_add,
        corpus_drive,
    ]  # fmt: skip


def state_of(app: Application, catalogue: Catalogue) -> dict[str, Any]:
    """Whether there are passages to work with, and how many; else why not."""
    status = app.status
    if app.passages is None and status.stage == "ready":
        return {"stage": "failed", "message": "The model was started without passages."}
    if app.passages is None or status.stage == "loading":
        shown = {"stage": status.stage, "message": status.message}
        return {**shown, "done": status.done, "total": status.total}
    try:
        return {"stage": "ready", **catalogue.counts()}
    except DatabaseError as problem:
        return {"stage": "failed", "message": str(problem)}
