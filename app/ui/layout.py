"""What is where on the page."""

from dataclasses import dataclass

import gradio as gr

from app.records import Settings
from app.ui.branches import Place
from app.ui.example import QUESTIONS
from app.ui.files import text_of
from app.ui.form import Form, settings_form
from app.ui.inspector import inspector_panel
from app.ui.lines import line, notice
from app.ui.reading import Reading

_WELCOME = (
    "### Ask about something in the library\n\n"
    "Beside each reply you see the passages that the model was shown.\n\n"
    "Or begin with one of these:"
)


@dataclass(frozen=True)
class Layout:
    """The components of the page that change. `place` and `pinned` are kept by the server for
    each page."""

    place: gr.State
    pinned: gr.State
    timer: gr.Timer
    loading: gr.HTML
    unsaved: gr.HTML
    new: gr.Button
    search: gr.Textbox
    listed: gr.HTML
    chat: gr.Chatbot
    branches: gr.HTML
    status: gr.HTML
    pins: gr.HTML
    box: gr.Textbox
    note: gr.HTML
    form: Form
    inspector: gr.HTML
    compare: gr.HTML


def lay_out(defaults: Settings, reading: Reading) -> Layout:
    """Puts everything in its place; `reading` answers what the inspector asks."""
    place, pinned = gr.State(Place()), gr.State(())
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
            listed = part("conversations")
        with gr.Column(scale=6, min_width=320, elem_id="centre"):
            chat = gr.Chatbot(
                elem_id="chat", show_label=False, label="Transcript", height="100%",
                render_markdown=False, latex_delimiters=[], allow_tags=False, layout="panel",
                editable="user", buttons=["copy"], group_consecutive_messages=False,
                placeholder=_WELCOME, examples=[{"text": text} for text in QUESTIONS],
            )  # fmt: skip
            branches = part("branches")
            status = line("status", role="status")
            pins = part("pins")
            box = gr.Textbox(
                label="Message", show_label=False, placeholder="Ask a question …",
                lines=1, max_lines=8, submit_btn="Send", stop_btn=False, autofocus=True,
                elem_id="box",
            )  # fmt: skip
            note = line("note")
            form = settings_form(defaults)
        with gr.Column(scale=5, min_width=320, elem_id="right"):
            inspector = inspector_panel(reading)
    compare = part("compare", "places.js")
    return Layout(
        place, pinned, timer, loading, unsaved, new, search, listed, chat, branches, status, pins,
        box, note, form, inspector, compare,
    )  # fmt: skip


def part(name: str, *scripts: str) -> gr.HTML:
    """A component of our own: NAME.html, filled from its value by NAME.js after other scripts."""
    return gr.HTML(
        None, html_template=text_of(f"{name}.html"), elem_id=name,
        js_on_load=text_of("nodes.js", *scripts, f"{name}.js"), apply_default_css=False,
    )  # fmt: skip
