"""Lines of text round the conversation: what the application is doing, and what to know of it."""

from pathlib import Path
from typing import Any

import gradio as gr

from app.compose import Application

HERE = Path(__file__).parent
_LINE = "<p role='{role}' aria-live='polite'></p>"
_LINE_SCRIPT = """
const line = element.querySelector("p");
const show = () => {
  const text = props.value ?? "";
  if (line.textContent !== text) line.textContent = text;
};
watch("value", show);
show();
"""


def line(elem_id: str, *, role: str = "note") -> gr.HTML:
    """A line of plain text; its value is shown as it is, never as HTML."""
    return gr.HTML(
        "", html_template=_LINE.format(role=role), js_on_load=_LINE_SCRIPT, elem_id=elem_id,
        apply_default_css=False,
    )  # fmt: skip


def notice(elem_id: str) -> gr.HTML:
    """A coloured notice: {"kind", "text", "done", "total", "button"}, or None to hide it.

    Its button triggers the event "press".
    """
    return gr.HTML(
        None, html_template="<div class='notice' hidden></div>", elem_id=elem_id,
        js_on_load=(HERE / "notice.js").read_text("utf-8"), apply_default_css=False,
    )  # fmt: skip


def loading_notice(application: Application) -> dict[str, Any] | None:
    """How loading goes; nothing once the model is ready."""
    status = application.status
    if status.stage == "ready":
        return None
    if status.stage == "failed":
        text = f"The model could not be loaded: {status.message}"
        return {"kind": "failed", "text": text}
    text = f"{status.message} … You can already read earlier conversations."
    return {"kind": "loading", "text": text, "done": status.done, "total": status.total}


def unsaved_notice(reason: str) -> dict[str, Any] | None:
    """That a turn is not in the log, and why; nothing for ""."""
    if not reason:
        return None
    text = f"The last reply is not saved, it is only on this page: {reason}"
    return {"kind": "failed", "text": text, "button": "Save again"}


def about(application: Application) -> str:
    """What is answering, and what to expect of it."""
    info = application.info
    if info is None:
        return ""
    return f"{info.preset}, {_rounded(info.parameters)} parameters. {info.note}"


def _rounded(count: int) -> str:
    for size, word in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {word}"
    return str(count)
