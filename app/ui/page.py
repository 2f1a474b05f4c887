"""The page: which event calls which handler, and how the page is served."""

import os
from typing import Any

# Both are read by gradio: no telemetry, and no statistics (by pandas) after each reply either.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(10**9)

import gradio as gr
from gradio.themes import Default
from starlette.middleware import Middleware

from app.compose import Application
from app.store.connection import LogError
from app.ui.corpus import corpus_page
from app.ui.desk import Desk
from app.ui.files import STYLES, text_of
from app.ui.handlers import Handlers
from app.ui.layout import lay_out
from app.ui.offline import Offline
from app.ui.runs import runs_page

_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
_AT_ONCE: dict[str, Any] = {**_PRIVATE, "queue": False}  # in such a handler no toast can be made


def build(app: Application) -> gr.Blocks:
    """The page of an application, which may still be loading its model."""
    desk = Desk(app)

    def inspect(turn: str) -> Any:
        """The inspector's payload for a reply that a person has clicked on, or None."""
        try:
            return desk.inspect(turn)
        except LogError:
            return None

    with gr.Blocks(title="Retroscope", analytics_enabled=False, fill_width=True) as blocks:
        on = lay_out(app.defaults, inspect)
        handle = Handlers(app, desk, on)
        shown = [on.place, on.chat, on.status, on.box, on.listed, on.inspector, on.unsaved]

        accepted = [on.chat, on.status, on.box]
        asked_from = [on.place, *on.fields]
        for asking in (
            on.box.submit(handle.send, [on.box, *asked_from], accepted, **_PRIVATE),
            on.chat.example_select(handle.send_example, asked_from, accepted, **_PRIVATE),
            on.chat.retry(handle.retry, asked_from, accepted, **_PRIVATE),
            on.chat.edit(handle.edit, asked_from, accepted, **_PRIVATE),
        ):
            asking.then(
                handle.write, on.search, shown, concurrency_limit=1, concurrency_id="model",
                show_progress="minimal", show_progress_on=on.chat, api_visibility="private",
            )  # fmt: skip
        on.box.stop(handle.stop, on.search, shown, **_AT_ONCE)

        on.new.click(handle.new, on.search, shown, **_PRIVATE)
        on.listed.open(handle.open, on.search, shown, **_PRIVATE)
        on.listed.remove(handle.delete, [on.place, on.search], shown, **_PRIVATE)
        on.search.change(  # not input, which the component triggers by key presses alone
            handle.conversations,
            [on.search, on.place],
            on.listed,
            trigger_mode="always_last",
            **_PRIVATE,
        )

        state = [on.loading, on.note, on.timer]
        blocks.load(handle.arrive, None, [*shown, *state], **_PRIVATE)
        blocks.unload(handle.leave)
        on.timer.tick(handle.tick, None, state, **_AT_ONCE)
        on.unsaved.press(handle.save_again, None, on.unsaved, **_AT_ONCE)
    with blocks.route("Corpus", "/corpus"):
        corpus_page(app)
    with blocks.route("Runs", "/runs"):
        runs_page(app)
    return blocks.queue(default_concurrency_limit=8)


def launch(
    blocks: gr.Blocks, host: str, port: int, *, open_browser: bool = False, block: bool = True
) -> None:
    """Serves the page to this machine's browsers; until interrupted, if `block`."""
    theme = Default(
        primary_hue="teal", neutral_hue="slate",
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"],
    ).set(
        body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400"
    )  # fmt: skip
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
        theme=theme,
        head=f"<style>{text_of(*STYLES)}</style>",  # css= would put a prefix to every rule
        js=text_of("transcript.js"),
        app_kwargs={"middleware": [Middleware(Offline)]},
    )
