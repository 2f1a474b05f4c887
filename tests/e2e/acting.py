"""What a person does on the page, and sees."""

import time
from collections.abc import Callable

from playwright.sync_api import Page, expect

SECONDS = 30  # for a busy machine; nothing waits as long when all is well

expect.set_options(timeout=SECONDS * 1000)


def painted(page: Page, name: str) -> list[str]:
    """The texts that are highlighted in the transcript under a name."""
    ranges = "[...(CSS.highlights.get(name) ?? [])].map(range => range.toString())"
    return page.evaluate(f"name => {ranges}", name)


def send(page: Page, message: str) -> None:
    """Types a message and presses Enter."""
    page.locator("#box textarea").fill(message)
    page.locator("#box textarea").press("Enter")


def ask(page: Page, message: str) -> None:
    """Sends a message and waits for the end of the reply."""
    count = page.locator("[data-testid=bot]").count()
    send(page, message)
    expect(page.locator("[data-testid=bot]")).to_have_count(count + 1)
    expect_idle(page)


def open_settings(page: Page) -> None:
    """Opens the settings, whose fields are made only then, and lets two frames pass for that."""
    page.locator("#settings > button").click()
    expect(page.locator("#settings [type=checkbox]").last).to_be_visible()
    page.evaluate("new Promise(f => requestAnimationFrame(() => requestAnimationFrame(f)))")


def expect_idle(page: Page) -> None:
    """The reply has ended: the page can send again and the inspector says how it ended."""
    expect(page.locator("#box .submit-button")).to_be_visible()
    expect(page.locator(".inspector .ending")).not_to_have_text("being written")


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Waits for something that no element of the page shows."""
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, f"{SECONDS} s have passed, but still not: {what}"
        time.sleep(0.02)


def turn_of(page: Page) -> str:
    """The id of the turn that the page's address names."""
    page.wait_for_function("new URL(location).searchParams.has('turn')")
    return page.evaluate("new URL(location).searchParams.get('turn')")
