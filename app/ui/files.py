"""Templates, scripts and styles that lie beside the modules of the page."""

from pathlib import Path

HERE = Path(__file__).parent
STYLES = (
    "page.css", "chat.css", "inspector.css", "compare.css", "corpus.css", "runs.css",
    "failures.css", "annotate.css", "browse.css", "dashboard.css", "probe.css",
)  # fmt: skip


def text_of(*names: str) -> str:
    """Files of this folder, one after the other."""
    return "".join((HERE / name).read_text("utf-8") for name in names)
