"""The page: which event calls which handler, and how the page is served."""

import os
from typing import Any

# Both are read by gradio: no telemetry, and no statistics (by pandas) after each reply either.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(10**9)

import gradio as gr
from gradio.components import Navbar
from gradio.themes import Default
from starlette.middleware import Middleware

from app.compose import Application
from app.logins import Logins
from app.ui import exporting
from app.ui.comparing import Comparing
from app.ui.comparisons import Comparisons
from app.ui.corpus import corpus_page
from app.ui.desk import Desk
from app.ui.downloads import routes
from app.ui.example import Example
from app.ui.failures import failures_page
from app.ui.files import STYLES, text_of
from app.ui.guard import Guard
from app.ui.handlers import Handlers
from app.ui.keeping import Keeping
from app.ui.layout import Layout, lay_out
from app.ui.offline import Offline
from app.ui.reading import Reading
from app.ui.runs import runs_page
from app.ui.screen import Screen
from app.ui.shelf import Shelf
from app.ui.underway import Underway
from app.uploads import LARGEST

_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
_AT_ONCE: dict[str, Any] = {**_PRIVATE, "queue": False}  # in such a handler no toast can be made
_STOPPING = "() => 'Stopping …'"  # by the browser: an answer could come after the end of the reply
_BY_THE_MODEL: dict[str, Any] = {  # one reply at a time, of all pages
    "concurrency_limit": 1, "concurrency_id": "model", "api_visibility": "private",
}  # fmt: skip


def build(app: Application, example: Example) -> gr.Blocks:
    """The page of an application, which may still be loading its model."""
    underway = Underway()
    desk, shelf = Desk(app, underway, example), Shelf(app.log, underway)
    with gr.Blocks(title="Retroscope", analytics_enabled=False, fill_width=True) as blocks:
        Navbar(main_page_name="Chat")
        on = lay_out(app.defaults, Reading(app, example))
        screen = Screen(on, shelf)
        comparing = Comparing(app, underway, example)
        page = Handlers(app, desk, comparing, underway, on, screen)
        _wire_asking(blocks, on, page)
        _wire_keeping(on, Keeping(desk, shelf, underway, on, screen))
        _wire_comparing(on, Comparisons(desk, comparing, on, screen), page)
    with blocks.route("Failures", "/failures"):
        Navbar(main_page_name="Chat")
        failures_page(app)
    with blocks.route("Corpus", "/corpus"):
        Navbar(main_page_name="Chat")
        corpus_page(app)
    with blocks.route("Runs", "/runs"):
        Navbar(main_page_name="Chat")
        runs_page(app)
    return blocks.queue(default_concurrency_limit=8)


def _at_rest(on: Layout) -> list[Any]:
    """Everything that `Screen.shown` updates."""
    return [
        on.place, on.chat, on.status, on.box, on.listed, on.inspector, on.branches, on.unsaved,
    ]  # fmt: skip


def _wire_asking(blocks: gr.Blocks, on: Layout, page: Handlers) -> None:
    shown = _at_rest(on)
    accepted = [on.chat, on.status, on.box, on.branches]
    asked_from = [on.place, on.pinned, *on.form.values]
    for asking in (
        on.box.submit(page.send, [on.box, *asked_from], accepted, **_PRIVATE),
        on.chat.example_select(page.send_example, asked_from, accepted, **_PRIVATE),
        on.chat.retry(page.retry, asked_from, accepted, **_PRIVATE),
        on.chat.edit(page.edit, asked_from, accepted, **_PRIVATE),
    ):
        asking.then(
            page.write, on.search, shown, show_progress="minimal", show_progress_on=on.chat,
            **_BY_THE_MODEL,
        )  # fmt: skip
    on.box.stop(None, None, on.status, js=_STOPPING, **_AT_ONCE)
    on.box.stop(page.stop, on.search, [*shown, on.compare], **_AT_ONCE)
    on.form.preset.input(
        page.choose_preset, on.form.preset, [on.status, *on.form.outputs], **_PRIVATE
    )
    on.form.retrieve.input(
        page.retitle, [on.form.preset, on.form.retrieve], on.form.panel, **_PRIVATE
    )

    state = [on.loading, on.note, on.timer]
    blocks.load(page.arrive, None, [*shown, *state, *on.form.outputs], **_PRIVATE)
    blocks.unload(page.leave)
    on.timer.tick(page.tick, None, state, **_AT_ONCE)
    on.unsaved.press(page.save_again, None, on.unsaved, **_AT_ONCE)


def _wire_keeping(on: Layout, keep: Keeping) -> None:
    shown = _at_rest(on)
    on.new.click(keep.new, on.search, shown, **_PRIVATE)
    on.listed.open(keep.open, on.search, shown, **_PRIVATE)
    for strip in (on.branches, on.compare):
        strip.visit(keep.visit, on.search, shown, **_PRIVATE)
    on.listed.rename(keep.rename, [on.place, on.search], [on.listed, on.status], **_PRIVATE)
    on.listed.remove(keep.delete, [on.place, on.search], shown, **_PRIVATE)
    on.search.change(  # not input, which the component triggers by key presses alone
        keep.list, [on.search, on.place], on.listed, trigger_mode="always_last", **_PRIVATE
    )
    pinned = [on.pinned, on.pins, on.status]
    on.inspector.pin(keep.pin, on.pinned, pinned, **_PRIVATE)
    on.pins.unpin(keep.unpin, on.pinned, pinned, **_PRIVATE)


def _wire_comparing(on: Layout, compare: Comparisons, page: Handlers) -> None:
    drawer = [on.compare, on.status]
    for varying in (
        on.inspector.vary(compare.vary, on.compare, [*drawer, on.box], **_PRIVATE),
        on.compare.vary(compare.vary, on.compare, [*drawer, on.box], **_PRIVATE),
    ):
        varying.then(
            compare.write, [on.place, on.search],
            [*drawer, on.box, on.branches, on.listed, on.unsaved],
            show_progress="hidden", **_BY_THE_MODEL,
        )  # fmt: skip
    on.compare.stop(None, None, on.status, js=_STOPPING, **_AT_ONCE)
    on.compare.stop(page.stop, on.search, [*_at_rest(on), on.compare], **_AT_ONCE)
    on.branches.choose(compare.choose, None, drawer, **_PRIVATE)
    for strip in (on.branches, on.compare):
        strip.recall(compare.recall, None, drawer, **_PRIVATE)
    on.compare.vote(compare.vote, [on.compare, on.place], [on.compare, on.branches], **_PRIVATE)


def launch(
    app: Application,
    blocks: gr.Blocks,
    host: str,
    port: int,
    *,
    logins: Logins | None = None,
    open_browser: bool = False,
    block: bool = True,
) -> None:
    """Serves the page to who has a login, if there are any; until interrupted, if `block`."""
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
        max_file_size=LARGEST,
        pwa=False,
        footer_links=[],
        theme=theme,
        head=f"<style>{text_of(*STYLES)}</style>",  # css= would put a prefix to every rule
        js=text_of("transcript.js"),
        app_kwargs={
            "middleware": [Middleware(Guard, host, logins), Middleware(Offline)],
            "routes": [*routes(app.log), *exporting.routes(app.log)],
        },
    )
