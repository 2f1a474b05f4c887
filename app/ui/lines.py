"""Lines and notices: components that show a text as it is, never as HTML."""

import gradio as gr

from app.ui.files import text_of

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
    """A coloured notice: {"kind", "text", "done", "total", "button", "link"}, or None to hide it.

    Its button triggers the event "press"; a link is {"text", "href"}.
    """
    return gr.HTML(
        None, html_template="<div class='notice' hidden></div>", elem_id=elem_id,
        js_on_load=text_of("notice.js"), apply_default_css=False,
    )  # fmt: skip
