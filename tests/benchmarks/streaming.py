"""How far the page lags behind a reply of 1,500 words at 200 words a second, in a real browser.

python -m tests.benchmarks.streaming
"""

import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from app.records import Settings
from engine.protocol import Sampling
from tests.e2e.acting import send
from tests.e2e.conftest import CHROMIUM, FLAGS, Server

WORDS = 1500
ROUNDS = 3


class Watch:
    """Notes when the engine has written its last word."""

    def __init__(self, server: Server):
        self._write = server.engine.generate
        self.first = self.last = 0.0
        self.ended = threading.Event()
        server.engine.generate = self._generate  # type: ignore[method-assign]

    def _generate(self, request):  # as ScriptedEngine.generate
        self.ended.clear()
        self.first = time.perf_counter()
        yield from self._write(request)
        self.last = time.perf_counter()
        self.ended.set()


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        server = Server(Path(directory))
        server.application.defaults = Settings(Sampling(max_tokens=WORDS + 1))
        watch = Watch(server)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        for number in range(1, ROUNDS + 1):
            page.goto(server.url)
            expect(page.locator("#note")).to_contain_text("scripted")
            send(page, "long story")
            bot = page.locator("[data-testid=bot]")
            expect(bot).to_contain_text("10th", timeout=60_000)
            text = "document.querySelector('[data-testid=bot]').textContent"
            page.wait_for_function(f"{text}.includes('{WORDS - 1}th')", timeout=120_000, polling=20)
            shown = time.perf_counter()
            watch.ended.wait()
            expect(page.locator("#box .submit-button")).to_be_visible()
            idle = time.perf_counter()
            rate = WORDS / (watch.last - watch.first)
            print(
                f"round {number}: {rate:.0f} words/s by the engine, "
                f"the last word on the page {shown - watch.last:+.2f} s after it was written, "
                f"the page idle {idle - watch.last:+.2f} s after"
            )
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
