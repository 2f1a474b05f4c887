"""What a person does in the queue, and sees there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Locator, Page, expect

from app.records import Annotation, DetectorRun, Finding, Turn
from app.store.ids import new_id

if TYPE_CHECKING:  # it imports this module
    from tests.e2e.conftest import Server

TEXT = "Ships 🌊🧑🏽‍🚀 came in 1411. The harbour was dug by the guild.\n\nThen it filled with silt."
QUEUE = "#view-queue .annotate"


def finding(quote: str, kind: str = "copy.neighbour", text: str = TEXT) -> Finding:
    at = text.index(quote)
    return Finding(
        kind, at, at + len(quote), quote, 3.5, 3.0, "info", f"About {quote}.", {"words": 9}
    )


def reviews(desk: "Server", toy_turn: Callable[..., Turn]) -> Callable[..., str]:
    """Saves a reply with findings in the log of `desk`, now empty; gives its id."""
    for conversation in desk.log.conversations():
        desk.log.delete_conversation(conversation.id)

    def save(text: str, *found: Finding, **fields: str) -> str:
        id = new_id()
        run = DetectorRun("toy", "1", "found" if found else "ok", 0.0, found)
        desk.log.save(toy_turn(text, **{"id": id, "conversation": id, **fields}), [run])
        return id

    return save


def open_queue(page: Page) -> Page:
    """Goes to the queue as a person does, and is asked for a name."""
    page.get_by_role("link", name="Failures", exact=True).click()
    expect(page.locator("#annotate-name")).to_be_focused()
    page.keyboard.type(" Ada  Lovelace")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="There is no reply to review yet")).to_be_visible()
    assert page.evaluate("localStorage.getItem('retroscope-annotator')") == "Ada Lovelace"
    return page


def go(page: Page, turn: str = "", annotator: str = "Ada", **fields: Any) -> None:
    """Leads to a reply, or to the next of the queue, as a link does."""
    page.bring_to_front()
    query = "&".join(f"{k}={v}" for k, v in {"view": "queue", "turn": turn, **fields}.items() if v)
    page.evaluate(
        """([name, query]) => {
          localStorage.setItem("retroscope-annotator", name);
          history.pushState(history.state, "", `?${query}`);
          dispatchEvent(new CustomEvent("failures-go"));
        }""",
        [annotator, query],
    )
    page.get_by_role("button", name="Change").click()  # that loads the reply anew
    press(page, "Enter")
    expect(page.locator(QUEUE)).to_have_attribute("aria-busy", "false")
    if turn:
        expect(page.locator(f"{QUEUE} .chat")).to_have_attribute(
            "href", f"{origin(page)}/?turn={turn}"
        )


def origin(page: Page) -> str:
    return page.evaluate("location.origin")


def shown(page: Page) -> str:
    """The id of the reply that is shown."""
    expect(page.locator(f"{QUEUE} .review")).to_be_visible()
    return (page.locator(f"{QUEUE} .chat").get_attribute("href") or "").split("turn=")[1]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Page, target: Locator) -> None:
    """Presses Tab until the element has the focus, as a keyboard must be able to."""
    for _ in range(60):
        if target.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("Tab does not lead there")


def reply_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Reply")


def rows(page: Page, kind: str = "") -> Locator:
    return page.locator(f"{QUEUE} .items > li{kind}")


def said(page: Page) -> Locator:
    return page.locator(f"{QUEUE} > .said")


def marks(desk: "Server", turn: str) -> list[tuple[str, str, int, str]]:
    standing: tuple[Annotation, ...] = desk.application.marks.annotations(turn)
    return [(a.quote, a.label, a.severity, a.note) for a in standing]
