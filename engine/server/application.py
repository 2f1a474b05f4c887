"""The engine server: OpenAI's routes around any engine, without gradio."""

import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from engine.server import passthrough, tokens
from engine.server.answering import Answer
from engine.server.bodies import ChatBody, CompletionBody, body_of
from engine.server.guard import Guard
from engine.server.keys import Keys
from engine.server.metrics import Meter
from engine.server.planning import Plan, plan_chat, plan_completion
from engine.server.pump import Places
from engine.server.refusals import Refusal, ascii_json, refusal_of
from engine.server.service import Limits, Service
from engine.server.shapes import ChatShape, CompletionShape

Handler = Callable[["Server", Request], Awaitable[Response]]


def build(service: Service, keys: Keys, limits: Limits = Limits()) -> Starlette:  # noqa: B008
    """The server of an engine that is ready."""
    server = Server(keys, limits)
    server.open(service)
    return server.app


def answered(handle: Handler) -> Handler:
    """What a client did wrong is an answer, not a failure."""

    @wraps(handle)
    async def answer(self: "Server", request: Request) -> Response:
        try:
            return await handle(self, request)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except Exception as error:
            if (refusal := refusal_of(error)) is None:
                raise
            return refusal.response()

    return answer


class Server:
    """`app` answers from the start; what needs the engine is refused with 503 until `open`."""

    def __init__(self, keys: Keys, limits: Limits):
        self._limits, self._service = limits, None
        self._state = "loading"
        self._places = Places(limits.requests)
        self._meter = Meter(self._places)
        routes = [
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.metrics),
            Route("/v1/models", self.models),
            Route("/v1/models/{model}", self.model),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.complete, methods=["POST"]),
            Route("/tokenize", self.tokenize, methods=["POST"]),
            Route("/detokenize", self.detokenize, methods=["POST"]),
            Route("/tokenizer_info", self.tokenizer_info),
        ]
        paths = [route.path for route in routes]
        routes.append(Route("/retro/{rest:path}", self.unopened, methods=["GET", "POST"]))
        guard = Middleware(Guard, keys=keys, meter=self._meter, routes=paths)
        handlers: Any = {HTTPException: _unrouted}
        self.app = Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)

    def open(self, service: Service) -> None:
        """Begins to answer with an engine. To be called once."""
        self.app.router.routes[:0] = passthrough.routes(service.engine, service.card)
        self._service, self._state = service, "ready"

    def say(self, state: str) -> None:
        """What /ready says until the server is open."""
        self._state = state

    @answered
    async def unopened(self, request: Request) -> Response:
        """Any route under /retro that is not there, or not yet."""
        self._ready()
        raise HTTPException(404)

    @property
    def running(self) -> int:
        """Requests for text under way, with those whose threads have not ended yet."""
        return self._places.taken

    def _ready(self) -> Service:
        if self._service is None:
            raise Refusal(
                503, f"the engine is not ready: {self._state}", code="not_ready",
                retry_after=self._limits.retry_seconds,
            )  # fmt: skip
        return self._service

    # ----- the state of things

    async def health(self, request: Request) -> Response:
        return ascii_json({"status": "ok"})

    @answered
    async def ready(self, request: Request) -> Response:
        return ascii_json({"status": "ready", "model": self._ready().model})

    async def metrics(self, request: Request) -> Response:
        return Response(self._meter.text(), media_type=self._meter.media_type)

    @answered
    async def models(self, request: Request) -> Response:
        return ascii_json({"object": "list", "data": [_described(self._ready())]})

    @answered
    async def model(self, request: Request) -> Response:
        service, name = self._ready(), request.path_params["model"]
        if name != service.model:
            raise Refusal(
                404, f'there is no such model; expected "{service.model}"', param="model",
                code="model_not_found",
            )  # fmt: skip
        return ascii_json(_described(service))

    # ----- texts

    @answered
    async def chat(self, request: Request) -> Response:
        service, limits = self._ready(), self._limits
        body = await body_of(request, ChatBody, limits)
        plan = await run_in_threadpool(plan_chat, body, service, limits)
        return self._answer(service, body, plan, ChatShape)

    @answered
    async def complete(self, request: Request) -> Response:
        service, limits = self._ready(), self._limits
        body = await body_of(request, CompletionBody, limits)
        plan = await run_in_threadpool(plan_completion, body, service, limits)
        return self._answer(service, body, plan, CompletionShape)

    def _answer(
        self, service: Service, body: ChatBody | CompletionBody, plan: Plan,
        shape: type[ChatShape] | type[CompletionShape],
    ) -> Answer:  # fmt: skip
        return Answer(
            plan, shape(service.engine.tokenizer, plan.alternatives), service, self._limits,
            self._places, self._meter,
            stream=body.stream, count=body.stream_options.include_usage,
        )  # fmt: skip

    # ----- tokens

    @answered
    async def tokenize(self, request: Request) -> Response:
        service = self._ready()
        body = await body_of(request, tokens.Tokenize, self._limits)
        return ascii_json(await run_in_threadpool(tokens.tokenize, body, service))

    @answered
    async def detokenize(self, request: Request) -> Response:
        service = self._ready()
        body = await body_of(request, tokens.Detokenize, self._limits)
        return ascii_json(await run_in_threadpool(tokens.detokenize, body, service))

    @answered
    async def tokenizer_info(self, request: Request) -> Response:
        return ascii_json(tokens.about(self._ready()))


async def _unrouted(request: Request, error: HTTPException) -> Response:
    """A path that is not there, or a method that it does not have."""
    known = {404: "there is no such route; see docs/serving.md", 405: "the method is not allowed"}
    message = known.get(error.status_code, str(error.detail))
    response = Refusal(error.status_code, message, code="not_found").response()
    response.headers.update(error.headers or {})
    return response


def _described(service: Service) -> dict[str, Any]:
    info = service.engine.info
    return {
        "id": service.model,
        "object": "model",
        "created": service.started or int(time.time()),
        "owned_by": "retroscope",
        "retro": {
            "parameters": info.parameters, "fingerprint": info.fingerprint,
            "tokenizer": info.tokenizer, "context": info.context, "chunk": service.chunk,
            "neighbours": service.neighbours, "searches": service.retrieve is not None,
            "device": service.engine.device, "note": info.note,
        },
    }  # fmt: skip
