"""Inspecting: the passages of a chunk, found by clicks and keys; everything is inert text."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Server, ask, open_settings, turn_of
from tests.e2e.scripted import INERT, PASSAGES

HIGHLIGHTED = """name => CSS.highlights.has(name)
    ? [...CSS.highlights.get(name)].map(range => range.toString()) : []"""


@pytest.fixture(scope="module")
def replied(shared_page: Page) -> Page:
    """A page with one reply of four chunks; nothing is asked of it again."""
    ask(shared_page, "Who dug the harbour?")
    return shared_page


@pytest.fixture
def inspected(replied: Page) -> Page:
    """The reply with its first chunk chosen and none held."""
    replied.locator(".ribbon button").first.click()
    replied.keyboard.press("Escape")
    return replied


def chosen(page: Page) -> str | None:
    return page.locator(".ribbon [aria-pressed=true]").text_content()


def test_a_chunk_shows_its_passages(inspected: Page):
    page = inspected
    page.locator(".ribbon button").nth(1).click()
    expect(page.locator(".inspector .caption")).to_have_text(
        "Chunk 2 of 4: passages shown to the model while it wrote this chunk"
    )
    cards = page.locator(".card")
    expect(cards).to_have_count(2)
    expect(cards.nth(0).locator(".title")).to_have_text(PASSAGES[0][0])
    expect(cards.nth(0).locator(".where")).to_contain_text("distance 0.41")
    expect(cards.nth(1).locator(".where")).to_contain_text("characters 100-154")
    expect(cards.nth(1).locator(".where")).to_contain_text("distance -")
    assert cards.nth(1).locator(".passage p").all_text_contents() == list(PASSAGES[1][1:])
    assert cards.nth(1).locator("mark").all_text_contents() == [
        "Its walls kept small boats safe from winter storms", "and the town grew around it",
    ]  # fmt: skip


def test_the_chosen_chunk_is_highlighted_in_the_reply(inspected: Page, server: Server):
    page = inspected
    reply = server.log.turn(turn_of(page)).reply
    page.locator(".ribbon button").nth(2).click()
    chunk = reply.chunks[2]
    assert page.evaluate(HIGHLIGHTED, "chosen-chunk") == [reply.text[chunk.start : chunk.end]]
    page.locator(".ribbon button").nth(0).click()
    copied = "The old harbour was dug in 1411 by the guild of masons"
    assert page.evaluate(HIGHLIGHTED, "copied-words") == [copied]


def test_the_text_under_the_pointer_chooses_its_chunk_until_one_is_clicked(inspected: Page):
    page = inspected
    pressed = page.locator(".ribbon [aria-pressed=true]")
    box = page.locator("[data-testid=bot] .md").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 30, box["y"] + box["height"] - 8)  # first words of the last line
    expect(pressed).to_have_text("4")
    page.mouse.click(box["x"] + 30, box["y"] + 8)  # first words of the first line
    expect(pressed).to_have_text("1")
    page.mouse.move(box["x"] + 40, box["y"] + box["height"] - 8)
    page.wait_for_timeout(300)  # longer than the pointer has to rest
    expect(pressed).to_have_text("1")


def test_the_ribbon_is_walked_by_keys(inspected: Page):
    page = inspected
    page.locator(".ribbon button").first.focus()
    walked = []
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "End"):
        page.keyboard.press(key)
        walked.append(chosen(page))
        assert page.evaluate("document.activeElement.textContent") == walked[-1]
    assert walked == ["1", "2", "3", "2", "4"]


def test_brackets_move_between_chunks_but_not_while_typing(inspected: Page):
    page = inspected
    page.locator(".ribbon button").first.click()
    page.keyboard.press("]")
    page.keyboard.press("]")
    page.keyboard.press("[")
    assert chosen(page) == "2"
    page.locator("#box textarea").press_sequentially("]]")
    assert chosen(page) == "2"
    expect(page.locator("#box textarea")).to_have_value("]]")
    page.locator("#box textarea").fill("")


def test_an_earlier_reply_is_inspected_by_a_click(page: Page, server: Server):
    ask(page, "Who dug the harbour?")
    first = turn_of(page)
    ask(page, "mute reply")
    expect(page.locator(".inspector h2.title")).to_have_text("Reply 2 of 2")
    page.locator("[data-testid=bot]").first.click()
    expect(page.locator(".inspector h2.title")).to_have_text("Reply 1 of 2")
    expect(page.locator(".ribbon button")).to_have_count(4)
    assert turn_of(page) == first
    page.get_by_role("button", name="Later reply").click()
    expect(page.locator(".inspector h2.title")).to_have_text("Reply 2 of 2")


def test_a_chunk_without_passages_says_why(page: Page):
    ask(page, "lost passages")
    expect(page.locator(".absence")).to_contain_text("the search failed (no index)")
    open_settings(page)
    page.locator("#retrieval input").uncheck()
    ask(page, "Who dug the harbour?")
    expect(page.locator(".absence")).to_contain_text("Retrieval was off")


def test_a_loop_is_found_and_logged_with_its_span(page: Page, server: Server):
    ask(page, "loop please")
    expect(page.locator("#status")).to_have_text(
        "Stopped early: the reply had begun to repeat itself."
    )
    loop = page.locator(".findings li", has_text="repetition.loop")
    expect(loop).to_contain_text("The 6 words “the heron waits in the reeds” are repeated")
    turn = server.log.turn(turn_of(page))
    found = next(f for f in server.log.findings(turn.id) if f.kind == "repetition.loop")
    assert turn.finish == "loop"
    assert found.quote == turn.reply.text[found.start : found.end]
    assert found.quote.startswith("the heron") and turn.reply.text.endswith(found.quote)
    expect(loop.locator("blockquote")).to_have_text(found.quote)


def test_markup_is_inert_and_exact_everywhere(page: Page):
    message = '<img src=x onerror="alert(0)"> & &lt; **b** 🌊 <script>alert(9)</script>'
    ask(page, "inert " + message)
    assert page.locator("[data-testid=user]").text_content() == "inert " + message
    assert page.locator("[data-testid=bot]").text_content() == INERT.strip()
    expect(page.locator(".card").first).to_contain_text("<img src=x onerror=alert(3)>")
    assert page.locator("#columns :is(img, script, b)").count() == 0
    expect(page.locator("#conversations .title").first).to_contain_text(
        'inert <img src=x onerror="'
    )


def test_the_page_is_dark_where_the_system_is(
    browser: Browser, server: Server, visit: Callable[..., Page]
):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 800})
    page = visit(server.url, context)
    red, green, blue = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    assert max(red, green, blue) < 64
    context.close()


def test_a_phone_needs_no_sideways_scrolling(
    browser: Browser, server: Server, visit: Callable[..., Page]
):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = visit(server.url, context)
    widths = "[document.documentElement.scrollWidth, document.querySelector('#chat').scrollWidth]"
    assert max(page.evaluate(widths)) <= 390
    ask(page, "Who dug the harbour?")
    assert max(page.evaluate(widths)) <= 390
    expect(page.locator(".card")).to_have_count(2)
    context.close()
