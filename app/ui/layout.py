"""What is where on the page."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from app.records import Settings
from app.ui.desk import Place
from app.ui.files import text_of
from app.ui.form import settings_form
from app.ui.inspector import inspector_panel
from app.ui.notices import line, notice

EXAMPLES = (
    "What does a mitochondrion do?",
    "How does a refrigerator stay cold?",
    "Why does the Moon have phases?",
    "How does rain form?",
)
_WELCOME = "### Ask about something in the library\n\nOr begin with one of these."


@dataclass(frozen=True)
class Layout:
    """The components of the page that change. `place` is kept by the server for each page."""

    place: gr.State
    timer: gr.Timer
    loading: gr.HTML
    unsaved: gr.HTML
    new: gr.Button
    search: gr.Textbox
    listed: gr.HTML
    chat: gr.Chatbot
    status: gr.HTML
    box: gr.Textbox
    note: gr.HTML
    fields: list[Component]
    inspector: gr.HTML


def lay_out(defaults: Settings, inspect: Callable[[str], Any]) -> Layout:
    """Puts everything in its place; `inspect` gives the inspector's payload for a turn."""
    place = gr.State(Place())
    timer = gr.Timer(1, active=False)
    gr.HTML(text_of("header.html"), apply_default_css=False, elem_id="header")
    loading, unsaved = notice("loading"), notice("unsaved")
    with gr.Row(elem_id="columns"):
        with gr.Column(scale=2, min_width=220, elem_id="left"):
            new = gr.Button("New conversation", elem_id="new", size="sm")
            search = gr.Textbox(
                label="Search", placeholder="Search conversations", show_label=False,
                max_lines=1, elem_id="search",
            )  # fmt: skip
            listed = gr.HTML(
                None, html_template=text_of("conversations.html"), elem_id="conversations",
                js_on_load=text_of("conversations.js"), apply_default_css=False,
            )  # fmt: skip
        with gr.Column(scale=6, min_width=320, elem_id="centre"):
            chat = gr.Chatbot(
                elem_id="chat", show_label=False, label="Transcript", height="100%",
                render_markdown=False, latex_delimiters=[], allow_tags=False, layout="panel",
                editable="user", buttons=["copy"], group_consecutive_messages=False,
                placeholder=_WELCOME, examples=[{"text": text} for text in EXAMPLES],
            )  # fmt: skip
            status = line("status", role="status")
            box = gr.Textbox(
                label="Message", show_label=False, placeholder="Ask a question …",
                lines=1, max_lines=8, submit_btn="Send", stop_btn=False, autofocus=True,
                elem_id="box",
            )  # fmt: skip
            note = line("note")
            fields = settings_form(defaults)
        with gr.Column(scale=5, min_width=320, elem_id="right"):
            inspector = inspector_panel(inspect)
    return Layout(
        place, timer, loading, unsaved, new, search, listed, chat, status, box, note, fields,
        inspector,
    )  # fmt: skip
