"""What a person does on the corpus page, and an encoder that can be held up."""

import threading

from playwright.sync_api import Locator, Page, expect

from tests.bag import BagEmbedder

DROP = """([zone, files]) => {
    const dropped = new DataTransfer();
    for (const [name, text] of files) dropped.items.add(new File([text], name));
    zone.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true }));
}"""


class Gate(BagEmbedder):
    """An encoder that waits at each block of passages while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()

    def __call__(self, texts):
        if len(texts) > 1:
            assert self.open.wait(30)
        return super().__call__(texts)


def rows(page: Page) -> Locator:
    return page.locator(".documents tbody tr")


def listed(page: Page) -> Locator:
    return page.locator(".documents tbody .open")


def fill_filter(page: Page, words: str) -> None:
    page.get_by_label("Filter by title, source or topic").fill(words)


def drop(page: Page, **files: str) -> None:
    """Drops files: `drop(page, ferry_txt="...")` is one named ferry.txt."""
    given = [(name.replace("_", "."), text) for name, text in files.items()]
    page.evaluate(DROP, [page.locator(".drop").element_handle(), given])


def job(page: Page) -> Locator:
    return page.locator(".job .stage")


def dismiss(page: Page) -> None:
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".job")).to_be_hidden()


def search(page: Page, text: str) -> None:
    page.get_by_label("What would the model be shown").fill(text)
    page.get_by_label("What would the model be shown").press("Enter")
    expect(page.locator(".found .shown li").first).to_be_visible()


def remove(page: Page, title: str) -> None:
    page.get_by_role("button", name=f"Remove {title}").click()
    page.locator("dialog.confirm").get_by_role("button", name="Remove").click()
    expect(page.locator("dialog.confirm")).to_be_hidden()
