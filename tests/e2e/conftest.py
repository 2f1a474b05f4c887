"""A real page in a real browser, with a scripted engine behind it and a real log.

Every page fails its test on an error in the console and on any request to another host.
"""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from app.compose import Application, recover
from app.logins import Logins
from app.records import Settings
from app.store.log import Log
from app.ui.example import Example
from engine.attribution import Thresholds
from tests.e2e.acting import ask
from tests.e2e.annotating import open_queue
from tests.e2e.scripted import ScriptedEngine, offsets, passage
from tests.ports import free_port

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Server:
    """An application with its page on a free port, as `app.serving.serve` starts one."""

    def __init__(
        self,
        data: Path,
        *,
        ready: bool = True,
        example: Example | None = None,
        logins: Logins | None = None,
    ):
        from app.ui.page import build, launch

        self.log = Log(data / "log.db", "test")
        recover(self.log)
        self.application = Application(self.log, Settings())
        if ready:
            self.finish_loading()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        self.blocks = build(self.application, example or Example())
        launch(self.application, self.blocks, "127.0.0.1", port, logins=logins, block=False)

    def finish_loading(self) -> None:
        self.engine = ScriptedEngine()
        self.application.attach(
            self.engine, lambda query, k: [passage(i) for i in range(2)][:k], encode_offsets=offsets
        )

    def stop(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # gradio's own about its event loop
            self.blocks.close()
        self.log.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("data"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        missing = f"there is no Chromium at {CHROMIUM}; install it, or set CHROMIUM to its path"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all tests: its cache makes each page but the first fast to load."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context
    context.close()


@pytest.fixture(scope="session")
def problems() -> list[str]:
    """What has gone wrong in any open page since it was last looked at."""
    return []


@pytest.fixture(autouse=True)
def nothing_goes_wrong(problems: list[str]) -> Iterator[None]:
    problems.clear()
    yield
    assert problems == []


@pytest.fixture(scope="session")
def visit(context: BrowserContext, problems: list[str]) -> Callable[..., Page]:
    """Opens a page that is watched: `visit(url)`, or `visit(url, other_context)`."""

    def visit(url: str, where: BrowserContext = context) -> Page:
        page = where.new_page()
        home = url.split("?")[0]

        def look(request: Request) -> None:
            if not request.url.startswith((home, "data:", "blob:")):
                problems.append(f"request to another host: {request.url}")

        def listen(message: ConsoleMessage) -> None:
            if message.type == "error":
                problems.append(f"console: {message.text}")

        page.on("request", look)
        page.on("console", listen)
        page.on("pageerror", lambda error: problems.append(f"page error: {error}"))
        page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
        page.goto(url)
        expect(page.locator("#chat [role=log]")).to_be_visible()
        expect(page.locator("#inspector .inspector")).to_be_visible()
        return page

    return visit


def ready_page(visit: Callable[..., Page], server: Server) -> Page:
    page = visit(server.url)
    expect(page.locator("#note")).to_contain_text("scripted, 1.23 million parameters")
    return page


@pytest.fixture(scope="session")
def idle_tabs() -> list[Page]:
    """Tabs of earlier tests: a page opens in one twice as fast as in a new one."""
    return []


@pytest.fixture
def page(
    visit: Callable[..., Page], server: Server, idle_tabs: list[Page], problems: list[str]
) -> Iterator[Page]:
    """A page with an empty conversation and the model ready."""
    page = idle_tabs.pop() if idle_tabs else ready_page(visit, server)
    page.bring_to_front()  # one behind another is drawn once a second
    if page.url == "about:blank":
        page.goto(server.url)
        expect(page.locator("#inspector .inspector")).to_be_visible()
        expect(page.locator("#note")).to_contain_text("scripted, 1.23 million parameters")
    yield page
    if page.is_closed():
        return
    if not start_anew(page, server):
        known = len(problems)
        page.evaluate("sessionStorage.clear()")
        page.goto("about:blank")
        del problems[known:]  # what was broken off by leaving
    idle_tabs.append(page)


def start_anew(page: Page, server: Server) -> bool:
    """Begins a conversation as a person does, where a test has left the page so that nothing of it
    shows then; that is faster than loading the page again."""
    chat = page.url.split("?")[0] == server.url and page.evaluate("""
        !document.querySelector("#settings [type=checkbox], dialog[open]")
        && !document.querySelector("#box textarea").value
        && document.querySelector("#box .submit-button") !== null
        && document.querySelector("#inspector-chunks-tab[aria-selected=true]") !== null
    """)
    if not chat:
        return False
    page.locator("#new").click()
    expect(page.locator("[data-testid=bot], [data-testid=user]")).to_have_count(0)
    page.wait_for_function("!new URL(location).search")
    return True


@pytest.fixture(scope="module")
def shared_page(visit: Callable[..., Page], server: Server) -> Iterator[Page]:
    """A page for tests that leave it as they found it: loading one takes a second or two."""
    page = ready_page(visit, server)
    yield page
    page.close()


@pytest.fixture(scope="session")
def replied(visit: Callable[..., Page], server: Server) -> Iterator[Page]:
    """A page with one reply of four chunks whose effects are measured; nothing is asked of it
    again."""
    page = ready_page(visit, server)
    server.application.thresholds = Thresholds(used=0.5, hurt=-0.2, copied=8)
    ask(page, "Who dug the harbour?")
    expect(page.locator(".ribbon .helped")).to_have_count(4)
    server.application.thresholds = None
    yield page
    page.close()


@pytest.fixture
def inspected(replied: Page) -> Page:
    """The reply with its first chunk chosen and none held."""
    replied.bring_to_front()
    replied.locator("#inspector-chunks-tab").click()
    replied.locator(".ribbon button").first.click()
    replied.keyboard.press("Escape")
    replied.mouse.move(0, 0)
    return replied


# ----- the queue of replies to review


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An application with a log of its own, so that the queue holds what a test puts there."""
    server = Server(tmp_path_factory.mktemp("annotating"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def queue(visit: Callable[..., Page], desk: Server) -> Iterator[Page]:
    page = open_queue(visit(desk.url))
    yield page
    page.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Keeps a picture of each page at the end of its test in the folder SCREENSHOTS, if set."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder or not isinstance(item, pytest.Function):
        return
    pages = [value for value in item.funcargs.values() if isinstance(value, Page)]
    for number, page in enumerate(dict.fromkeys(pages)):
        if not page.is_closed():
            name = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{item.path.stem}.{item.name}.{number}")
            page.screenshot(path=Path(folder) / f"{name}.png")
