"""Failures as a file: GET /failures/export?format=jsonl and the fields of a filter."""

from collections.abc import Iterator
from itertools import chain

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app.exports.formats import FORMATS, export
from app.store.connection import LogError
from app.store.filters import BadFilter, Filter
from app.store.ids import now
from app.store.log import Log
from app.store.queries import Reader
from app.ui.downloads import disposition


def routes(log: Log) -> list[Route]:
    """What is served beside the page. `guard.Guard` stands in front of it all."""

    def failures(request: Request) -> Response:
        given = request.query_params
        if (name := given.get("format", "jsonl")) not in FORMATS:
            return _refused(f"The format is {name[:40]!r}; give one of {', '.join(FORMATS)}.", 400)
        try:
            filter = Filter.of(given)
        except BadFilter as problem:
            return _refused(str(problem), 400)
        reader = Reader(log.path)  # its own: the pieces are read by several threads in turn
        pieces = _ending(reader, export(reader, name, filter))
        try:
            first = next(pieces, "")  # the log is read, so that what is wrong can still be said
        except LogError as problem:
            return _refused(str(problem), 503)
        made = FORMATS[name]
        headers = {
            "content-disposition": disposition(f"failures {now()[:10]}", made.end),
            "cache-control": "no-store",
            "cross-origin-resource-policy": "same-origin",
        }
        return StreamingResponse(chain([first], pieces), media_type=made.media, headers=headers)

    return [Route("/failures/export", failures)]


def _ending(reader: Reader, pieces: Iterator[str]) -> Iterator[str]:
    """The pieces; the reader is closed when they end or nobody wants more."""
    try:
        yield from pieces
    finally:
        reader.close()


def _refused(problem: str, status: int) -> Response:
    return PlainTextResponse(
        f"{problem}\n", status_code=status, headers={"cache-control": "no-store"}
    )
