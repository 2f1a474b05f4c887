"""The page behind a login."""

import base64
import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.routing import BaseRoute

from app.logins import Logins
from tests.e2e.acting import ask
from tests.e2e.conftest import Server

HEADERS = {"authorization": "Basic " + base64.b64encode(b"anna:secret").decode()}


@pytest.fixture(scope="module")
def locked(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # `browser`, because gradio leaves event loops open where none is running
    server = Server(tmp_path_factory.mktemp("locked"), logins=Logins.of([("anna", "secret")]))
    yield server
    server.stop()


def paths(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of every route, with an x for each parameter."""
    for route in routes:
        path = prefix + re.sub(r"\{[^}]*\}", "x", getattr(route, "path", ""))
        inner = getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", None
        )
        if inner:
            yield from paths(inner, path)
        else:
            for method in getattr(route, "methods", None) or ["GET"]:
                yield method, path or "/"


def status(client: httpx.Client, method: str, path: str) -> int:
    with client.stream(method, path) as answer:  # a stream of events would not end
        return answer.status_code


def test_no_route_answers_without_a_login_and_each_does_with_one(locked: Server):
    found = sorted({*paths(locked.blocks.app.routes), ("GET", "/failures"), ("GET", "/nowhere")})
    assert len(found) > 40
    assert {"/conversations/x.x", "/gradio_api/upload", "/gradio_api/queue/data"} <= {
        path for _, path in found
    }
    with httpx.Client(base_url=locked.url, timeout=20) as client:
        without = {where: status(client, *where) for where in found}
    assert {where: code for where, code in without.items() if code != 401} == {}
    with httpx.Client(base_url=locked.url, timeout=20, headers=HEADERS) as client:
        refused = [where for where in found if status(client, *where) == 401]
    assert refused == []


@pytest.mark.slow
def test_who_logs_in_has_the_page(
    browser: Browser, locked: Server, visit: Callable[..., Page], problems: list[str]
):
    context = browser.new_context(http_credentials={"username": "anna", "password": "secret"})
    page = visit(locked.url, context)
    problems.clear()  # a browser notes the first answer, which asks for the login
    expect(page.locator("#note")).to_contain_text("scripted, 1.23 million parameters")
    ask(page, "Who dug the harbour?")
    expect(page.locator(".ribbon button")).to_have_count(4)
    page.goto(f"{locked.url}failures?view=browse")
    expect(page.locator("body")).to_contain_text("Browse")
    context.close()
