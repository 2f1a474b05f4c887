"""The page: what is where, and which of the desk's answers goes where."""

import html
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import gradio as gr
from starlette.middleware import Middleware

from app.compose import Application
from app.store.connection import LogError
from app.ui.desk import EXPECTED, Busy, Desk, Place, View
from app.ui.form import BadSetting, read_settings, settings_form
from app.ui.notices import about, line, loading_notice, notice, unsaved_notice
from app.ui.offline import Offline
from app.ui.transcript import unescape

HERE = Path(__file__).parent
EXAMPLES = (
    "What does a mitochondrion do?",
    "How does a refrigerator stay cold?",
    "Why does the Moon have phases?",
    "How does rain form?",
)
_WELCOME = "### Ask about something in the library\n\nOr begin with one of these."
_REFUSED = (*EXPECTED, Busy, BadSetting)
_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
_AT_ONCE: dict[str, Any] = {**_PRIVATE, "queue": False}


def build(app: Application) -> gr.Blocks:
    """The page of an application, which may still be loading its model."""
    desk = Desk(app)
    with gr.Blocks(title="Retroscope", analytics_enabled=False, fill_width=True) as blocks:
        place = gr.State(Place())
        timer = gr.Timer(1, active=False)
        gr.HTML(_text("header.html"), apply_default_css=False, elem_id="header")
        loading, unsaved = notice("loading"), notice("unsaved")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=2, min_width=220, elem_id="left"):
                new = gr.Button("New conversation", elem_id="new", size="sm")
                search = gr.Textbox(
                    label="Search", placeholder="Search conversations", show_label=False,
                    max_lines=1, elem_id="search",
                )  # fmt: skip
                listed = gr.HTML(
                    None, html_template=_text("conversations.html"), elem_id="conversations",
                    js_on_load=_text("conversations.js"), apply_default_css=False,
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
                fields = settings_form(app.defaults)
            with gr.Column(scale=5, min_width=320, elem_id="right"):
                inspector = gr.HTML(
                    None, html_template=_text("inspector.html"), elem_id="inspector",
                    js_on_load=_text("places.js") + _text("inspector.js"), apply_default_css=False,
                    server_functions=[_inspect(desk)],
                )  # fmt: skip

        # ----- what a view changes

        def conversations(search: str, place: Place) -> Any:
            try:
                return desk.conversations(search, place)
            except LogError as problem:
                _warn(problem)
                return gr.skip()

        def shown(view: View, words: str) -> dict[Any, Any]:
            """Everything that a finished view says."""
            updates: dict[Any, Any] = {
                place: view.place,
                chat: view.messages,
                status: view.status,
                box: _box(view),
                listed: conversations(words, view.place),
            }
            if view.inspector is not None:
                updates[inspector] = view.inspector
            if view.unsaved is not None:
                updates[unsaved] = unsaved_notice(view.unsaved)
            return updates

        everything = [place, chat, status, box, listed, inspector, unsaved]

        # ----- asking: accept at once, then write

        def accept(request: gr.Request, message: str, place: Place, values: Any, index=None) -> Any:
            try:
                settings = read_settings(app.defaults, values)
                view = desk.accept(_session(request), message, settings, place, index)
            except _REFUSED as problem:
                _warn(problem)
                return None
            return {chat: view.messages, status: view.status, box: _box(view)}

        def send(request: gr.Request, message: str, place: Place, *values: Any) -> Any:
            return accept(request, message, place, values) or {status: gr.skip()}

        def send_example(
            request: gr.Request, event: gr.SelectData, place: Place, *values: Any
        ) -> Any:
            text = event.value["text"]
            return accept(request, text, place, values) or {box: text}

        def retry(request: gr.Request, place: Place, *values: Any) -> Any:
            index = len(place.turns) - 1
            try:
                message = desk.message(place, index)
            except LogError as problem:
                _warn(problem)
                return {status: gr.skip()}
            return accept(request, message, place, values, index) or {status: gr.skip()}

        def edit(request: gr.Request, event: gr.EditData, place: Place, *values: Any) -> Any:
            text = unescape(event.value)
            index = event.index // 2  # type: ignore[operator]  # two messages a turn
            try:
                before = desk.open(place.conversation, place.turns[-1])
            except LogError as problem:
                _warn(problem)
                return {status: gr.skip()}
            return accept(request, text, place, values, index) or {chat: before.messages}

        def write(request: gr.Request, words: str) -> Iterator[Any]:
            known = None
            for view in desk.write(_session(request)):
                if not view.busy:
                    yield shown(view, words)
                    return
                updates = {place: view.place, chat: view.messages, status: view.status}
                if view.inspector is not None:
                    updates[inspector] = view.inspector
                if view.place.conversation != known:
                    known = view.place.conversation
                    updates[listed] = conversations(words, view.place)
                yield updates
            yield {status: gr.skip()}

        asking = (
            box.submit(send, [box, place, *fields], [chat, status, box], **_AT_ONCE),
            chat.example_select(send_example, [place, *fields], [chat, status, box], **_AT_ONCE),
            chat.retry(retry, [place, *fields], [chat, status, box], **_AT_ONCE),
            chat.edit(edit, [place, *fields], [chat, status, box], **_AT_ONCE),
        )
        for event in asking:
            event.then(
                write, search, everything, concurrency_limit=1, concurrency_id="model",
                show_progress="minimal", show_progress_on=chat, api_visibility="private",
            )  # fmt: skip

        def stop(request: gr.Request, words: str) -> Any:
            view = desk.stop(_session(request))
            return {status: "Stopping …"} if view is None else shown(view, words)

        box.stop(stop, search, everything, **_AT_ONCE)

        # ----- conversations

        def open_conversation(event: gr.EventData, words: str) -> Any:
            try:
                return shown(desk.open(event.id), words)
            except LogError as problem:
                _warn(problem)
                return {listed: conversations(words, Place())}

        def delete(event: gr.EventData, place: Place, words: str) -> Any:
            try:
                desk.delete(event.id)
            except (LogError, Busy) as problem:
                _warn(problem)
                return {listed: conversations(words, place)}
            if event.id == place.conversation:
                return shown(desk.open(None), words)
            return {listed: conversations(words, place)}

        listed.open(open_conversation, search, everything, **_AT_ONCE)
        listed.remove(delete, [place, search], everything, **_AT_ONCE)
        new.click(lambda words: shown(desk.open(None), words), search, everything, **_AT_ONCE)
        search.input(conversations, [search, place], listed, trigger_mode="always_last", **_AT_ONCE)

        # ----- loading and saving

        def tick() -> Any:
            ready = app.status.stage != "loading"
            return loading_notice(app), about(app), gr.Timer(active=not ready)

        def arrive(request: gr.Request) -> Any:
            wanted = request.query_params.get("conversation")
            try:
                view = desk.open(wanted, request.query_params.get("turn"))
            except LogError as problem:
                _warn(problem)
                view = desk.open(None)
            banner, words, ticking = tick()
            return {**shown(view, ""), loading: banner, note: words, timer: ticking}

        def save_again() -> Any:
            try:
                return unsaved_notice(app.turns.save_waiting())
            except EXPECTED as problem:
                return unsaved_notice(str(problem))

        def leave(request: gr.Request) -> None:
            desk.leave(_session(request))

        timer.tick(tick, None, [loading, note, timer], **_AT_ONCE)
        unsaved.press(save_again, None, unsaved, **_AT_ONCE)
        blocks.load(arrive, None, [*everything, loading, note, timer], **_AT_ONCE)
        blocks.unload(leave)
    return blocks.queue(default_concurrency_limit=8)


def launch(
    blocks: gr.Blocks, host: str, port: int, *, open_browser: bool = False, block: bool = True
) -> None:
    """Serves the page to this machine's browsers; until interrupted, if `block`."""
    blocks.launch(
        server_name=host,
        server_port=port,
        inbrowser=open_browser,
        prevent_thread_lock=not block,
        share=False,
        quiet=True,
        show_error=True,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        footer_links=[],
        theme=gr.themes.Default(
            primary_hue="teal", neutral_hue="slate",
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"],
        ).set(
            body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400",
        ),
        head=f"<style>{_text('page.css')}</style>",  # css= would put a prefix to every rule
        js=_text("transcript.js"),
        app_kwargs={"middleware": [Middleware(Offline)]},
    )  # fmt: skip


def _text(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _inspect(desk: Desk) -> Any:
    def inspect(turn: str) -> Any:
        """The inspector's payload for a reply that a person has clicked on."""
        try:
            return desk.inspect(turn)
        except LogError as problem:
            _warn(problem)
            return None

    return inspect


def _session(request: gr.Request) -> str:
    return request.session_hash or ""


def _warn(problem: Exception) -> None:
    """A toast; it would be parsed as HTML, and a problem may quote what was typed."""
    gr.Warning(html.escape(str(problem)), title="Not done")


def _box(view: View) -> Any:
    """The message box after a view: to stop the reply, or to send the next message."""
    if view.busy:
        return gr.Textbox(value="", submit_btn=False, stop_btn="Stop")
    if view.give_back is not None:
        return gr.Textbox(value=view.give_back, submit_btn="Send", stop_btn=False)
    return gr.Textbox(submit_btn="Send", stop_btn=False)
