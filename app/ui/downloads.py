"""Conversations as files: GET /conversations/ID.json and /conversations/ID.md."""

import re
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.export import collect, to_json
from app.markdown import to_markdown
from app.store.connection import LogError
from app.store.log import Log

_KINDS: dict[str, Any] = {
    "json": (to_json, "application/json"),
    "md": (to_markdown, "text/markdown; charset=utf-8"),
}
_UNSAFE = re.compile(r"[^\w .,()-]+")  # in the name of a file on any system
_LONGEST_NAME = 60  # characters


def routes(log: Log) -> list[Route]:
    """What is served beside the page. `guard.Guard` stands in front of it all."""

    def conversation(request: Request) -> Response:
        id, kind = request.path_params["id"], request.path_params["kind"]
        if kind not in _KINDS:
            return _missing(f"There is no conversation as .{kind[:20]}; there is .json and .md.")
        write, media = _KINDS[kind]
        try:
            transcript = collect(log, id)
        except LogError as problem:
            return _missing(str(problem))
        headers = {
            "content-disposition": disposition(transcript.conversation.title, kind),
            "cache-control": "no-store",
            "cross-origin-resource-policy": "same-origin",
        }
        return Response(write(transcript), media_type=media, headers=headers)

    return [Route("/conversations/{id}.{kind}", conversation)]


def disposition(title: str, kind: str) -> str:
    """The header that saves a file under a conversation's title: as it is, and in plain ASCII."""
    name = _fit(_UNSAFE.sub(" ", title)[:_LONGEST_NAME])
    plain = _fit(re.sub(r"[^\x20-\x7e]+", " ", name))
    return f"attachment; filename=\"{plain}.{kind}\"; filename*=UTF-8''{quote(f'{name}.{kind}')}"


def _fit(name: str) -> str:
    return " ".join(name.split()).strip(" .") or "conversation"


def _missing(problem: str) -> Response:
    return PlainTextResponse(f"{problem}\n", status_code=404, headers={"cache-control": "no-store"})
