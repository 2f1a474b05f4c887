"""The README's pictures of the first minute, with the model that ships: python -m tests.pictures

The program is started with an empty log and asked two of its example questions in Chromium.
"""

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from app.ui.example import LABEL, QUESTIONS
from tests.e2e.acting import ask
from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.ports import free_port

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
STARTING = 300  # seconds for the library's keys and for compiling


def main() -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        words = ["chat", "--data", data, "--no-browser", "--port", str(port)]
        program = subprocess.Popen([sys.executable, ROOT / "app.py", *words], cwd=ROOT)
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            _open(page, port, program)
            take(page)
            browser.close()
        finally:
            program.terminate()
            program.wait()


def _open(page: Page, port: int, program: subprocess.Popen) -> None:
    end = time.monotonic() + STARTING
    while program.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                page.goto(f"http://127.0.0.1:{port}/")
                return
        time.sleep(0.1)
    raise SystemExit(f"the program ended, or opened no page at port {port} within {STARTING} s")


def take(page: Page) -> None:
    expect(page.locator(".inspector")).to_contain_text(LABEL)
    expect(page.locator(".inspector .total")).to_contain_text("All passages together")
    expect(page.locator("#chat .example")).to_have_count(len(QUESTIONS))
    page.screenshot(path=DOCS / "first-minute.png")

    expect(page.locator("#note")).to_contain_text("parameters", timeout=STARTING * 1000)
    expect(page.locator("#loading .notice")).to_be_hidden()
    for question in (QUESTIONS[3], QUESTIONS[1]):
        ask(page, question)
        expect(page.locator(".inspector .total")).to_contain_text("All passages together")
    expect(page.locator(".inspector h2.title")).to_have_text("Reply 2 of 2")
    page.mouse.move(0, 0)
    page.screenshot(path=DOCS / "page.png")

    page.locator("#inspector-tokens-tab").click()
    page.get_by_role("radio", name="what retrieval changed").check()
    page.screenshot(path=DOCS / "tokens.png")

    page.locator("#inspector-chunks-tab").click()
    page.get_by_role("button", name="Regenerate without").first.click()
    drawer = page.locator("dialog.compare")
    expect(drawer.get_by_role("button", name="Open B in the chat")).to_be_visible()
    page.screenshot(path=DOCS / "compare.png")


if __name__ == "__main__":
    main()
