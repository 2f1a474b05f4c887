"""Words of a reply marked: with the mouse, by an address, from the chat, whatever they hold."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.records import Settings, Turn
from app.turn import Finished
from tests.e2e.acting import painted, wait_until
from tests.e2e.annotating import (
    QUEUE,
    TEXT,
    finding,
    go,
    marks,
    press,
    reply_box,
    reviews,
    rows,
)
from tests.e2e.conftest import Server
from tests.e2e.scripted import INERT

MARKUP = '<img src=x onerror="alert(1)"> <script>alert(2)</script> <b>🌊</b>'


@pytest.fixture
def review(desk: Server, toy_turn: Callable[..., Turn]) -> Callable[..., str]:
    return reviews(desk, toy_turn)


def test_words_after_an_emoji_have_the_offsets_of_the_log(queue: Page, desk: Server, review):
    turn = review(TEXT)
    go(queue, turn)
    box = reply_box(queue)
    box.focus()
    press(queue, "ArrowRight", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "m")
    expect(rows(queue, ".mine")).to_have_count(1)
    press(queue, "ArrowDown", "t")  # the rest of the sentence after the last of these words
    expect(rows(queue, ".mine")).to_have_count(2)
    queue.mouse.move(0, 0)
    start = queue.evaluate(  # with the mouse: a double click takes a word
        """() => { const node = document.querySelector(".paper .reply").firstChild;
        const range = document.createRange(); const at = node.data.indexOf("guild");
        range.setStart(node, at); range.setEnd(node, at + 5);
        const box = range.getBoundingClientRect();
        return [box.left + 8, box.top + 8]; }"""
    )
    queue.mouse.dblclick(*start)
    expect(queue.locator(f"{QUEUE} .target .chosen")).to_have_text("Mark guild as")
    queue.get_by_role("button", name="Copied").click()
    expect(rows(queue, ".mine")).to_have_count(3)
    for annotation in desk.application.marks.annotations(turn):
        assert annotation.quote == TEXT[annotation.start : annotation.end]
    assert [quote for quote, *_ in marks(desk, turn)] == [
        TEXT.split("\n")[0].split(" The")[0], "🌊🧑🏽‍🚀 came in", "guild",
    ]  # fmt: skip
    assert painted(queue, "annotate-lit") == ["guild"]
    press(queue, "k")
    assert painted(queue, "annotate-lit") == ["🌊🧑🏽‍🚀 came in"]
    queue.mouse.click(*start)  # on marked words
    assert painted(queue, "annotate-lit") == ["guild"]
    expect(queue.locator(f"{QUEUE} .target .chosen")).to_have_text("Mark the whole reply as")


def test_an_address_chooses_words(queue: Page, desk: Server, review):
    turn = review(TEXT, finding("silt"))
    at = TEXT.index("harbour")
    go(queue, turn, start=at, end=at + 7)
    expect(queue.locator(f"{QUEUE} .target .chosen")).to_have_text("Mark harbour as")
    assert painted(queue, "annotate-chosen") == ["harbour"]
    press(queue, "y")
    expect(rows(queue, ".mine")).to_have_count(1)
    assert marks(desk, turn) == [("harbour", "support", 2, "")]
    go(queue, turn, start=5, end=9999)
    expect(queue.locator(f"{QUEUE} .target .chosen")).to_have_text("Mark the whole reply as")


def test_words_that_changed_meanwhile_are_not_marked(queue: Page, desk: Server, review, toy_turn):
    turn = review(TEXT)
    go(queue, turn)
    reply_box(queue).focus()
    press(queue, "ArrowRight")
    desk.log.save(toy_turn(f"Other {TEXT}", id=turn, conversation=turn))
    press(queue, "w")
    expect(queue.locator(f"{QUEUE} > .problem")).to_contain_text("load the reply again")
    assert marks(desk, turn) == []


def test_text_of_the_log_stays_text(queue: Page, desk: Server, review):
    text = INERT.strip() + MARKUP
    turn = review(text, finding("<b>bold</b>", text=text), message=MARKUP)
    other = desk.application.marks
    other.annotate(turn, MARKUP[:50], "wrong", (0, 5), note=MARKUP)
    go(queue, turn, annotator=MARKUP[:40])
    assert reply_box(queue).evaluate("node => node.textContent") == text
    expect(queue.locator(f"{QUEUE} .message")).to_have_text(MARKUP)
    press(queue, "r", "n")
    expect(queue.get_by_role("textbox", name="Note", exact=True)).to_be_focused()
    queue.keyboard.insert_text(MARKUP)
    press(queue, "Enter")
    expect(rows(queue, ".mine").locator(".note")).to_have_text(MARKUP)
    other.close(turn, MARKUP[:40], "done")
    go(queue, turn, annotator=MARKUP[:40])
    expect(rows(queue, ".other")).to_have_count(1)
    assert queue.locator(f"{QUEUE} :is(img, script, b, style)").count() == 0


# ----- from the chat


def test_findings_are_ruled_on_and_failures_marked_from_the_chat(
    queue: Page, visit: Callable[..., Page], desk: Server
):
    *_, last = desk.application.turns.run("Who dug the harbour?", Settings())
    assert isinstance(last, Finished)
    turn = last.turn
    queue.evaluate("localStorage.removeItem('retroscope-annotator')")
    page = visit(f"{desk.url}?turn={turn.id}")
    page.locator("#inspector-findings-tab").click()
    page.get_by_role("button", name="Accept finding 1").click()
    page.get_by_label("Your name").fill("Dee")
    page.keyboard.press("Enter")
    accepted = page.get_by_role("button", name="Accept finding 1")
    expect(accepted).to_have_attribute("aria-pressed", "true")
    rulings = lambda: [f.rulings for f in desk.application.marks.findings(turn.id)]  # noqa: E731
    wait_until(lambda: rulings()[0] == {"Dee": "accepted"}, "the ruling is in the log")
    expect(accepted).to_be_focused()
    page.evaluate(
        """() => { const bot = document.querySelector("#chat [data-testid=bot]");
        const walker = document.createTreeWalker(bot, NodeFilter.SHOW_TEXT);
        let node = walker.nextNode();
        while (!node.data.includes("winter")) node = walker.nextNode();
        const at = node.data.indexOf("storms");
        document.getSelection().setBaseAndExtent(node, at, node, at + "storms 🌊, and".length); }"""
    )
    page.get_by_role("link", name="Mark a failure in this reply").click()
    expect(page.locator(f"{QUEUE} .target .chosen")).to_have_text("Mark storms 🌊, and as")
    expect(rows(page).first).to_contain_text("accepted")
    press(page, "i")
    expect(rows(page, ".mine")).to_have_count(1)
    assert marks(desk, turn.id) == [("storms 🌊, and", "incoherent", 2, "")]
    page.close()
