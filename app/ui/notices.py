"""What is said round the conversation: what the application is doing, and what to know of it."""

from typing import Any

from app.compose import Application
from retrieval.manifest import DatabaseError, Manifest


def loading_notice(application: Application) -> dict[str, Any] | None:
    """How loading goes, and whether an engine elsewhere can be reached; nothing if all is well."""
    status = application.status
    if status.stage == "ready":
        return {"kind": "hint", "text": f"{status.news}."} if status.news else None
    if status.stage == "lost":
        text = f"The connection to the engine is lost and tried again. {_sentence(status.message)}"
        return {"kind": "failed", "text": text}
    if status.stage == "failed":
        text = f"The model could not be loaded: {status.message}"
        return {"kind": "failed", "text": text}
    text = f"{status.message} … You can already look around."
    return {"kind": "loading", "text": text, "done": status.done, "total": status.total}


def unsaved_notice(reason: str) -> dict[str, Any] | None:
    """That a turn is not in the log, and why; nothing for ""."""
    if not reason:
        return None
    text = f"The last reply is not saved, it is only on this page: {reason}"
    return {"kind": "failed", "text": text, "button": "Save again"}


def library_notice(application: Application) -> dict[str, Any] | None:
    """That there is nothing to retrieve from, and what to do; nothing where there is something."""
    held = manifest_of(application)
    if application.status.stage != "ready" or held is None or held.chunks:
        return None
    text = "The library has no passages, so replies are written without any."
    return {"kind": "hint", "text": text, "link": {"text": "Add documents", "href": "corpus"}}


def about(application: Application) -> str:
    """What is answering, what it reads from, and what to expect of it."""
    info, held = application.info, manifest_of(application)
    if info is None:
        return ""
    words = f"{info.preset}, {_rounded(info.parameters)} parameters"
    if application.address:
        words += f", at {application.address}"
    if held is not None:
        words += f"; {_counted(held.documents, 'document')} in {_counted(held.chunks, 'passage')}"
    return f"{words}. {info.note}"


def manifest_of(application: Application) -> Manifest | None:
    """What the passage database holds; None without one, or where it cannot be read just now."""
    try:
        return application.passages and application.passages.manifest
    except (DatabaseError, OSError):
        return None


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?')) else '.'}"


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _rounded(count: int) -> str:
    for size, word in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {word}"
    return str(count)
