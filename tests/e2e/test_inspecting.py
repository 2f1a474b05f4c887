"""Inspecting: the chunks of a reply found by pointer and keys, and the other views of it."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.acting import ask, painted, turn_of, wait_until
from tests.e2e.conftest import Server
from tests.e2e.scripted import INERT


def chosen(page: Page) -> str | None:
    return page.locator(".ribbon [aria-pressed=true]").text_content()


def address(page: Page) -> str:
    return page.evaluate("location.href")  # page.url follows later


def tab(page: Page, name: str) -> Locator:
    return page.locator(f"#inspector-{name}-tab")


@pytest.mark.slow
def test_the_help_lists_the_keys_and_gives_the_focus_back(inspected: Page):
    page, dialog = inspected, inspected.locator("dialog.keys")
    page.locator(".ribbon button").first.focus()
    page.keyboard.press("?")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("write the reply again without that passage")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(".ribbon button").first).to_be_focused()
    page.get_by_role("button", name="Keys and words").click()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_tabs_are_walked_by_keys(inspected: Page):
    page = inspected
    tab(page, "chunks").focus()
    for key, name in (("ArrowRight", "tokens"), ("End", "raw"), ("ArrowLeft", "findings")):
        page.keyboard.press(key)
        expect(tab(page, name)).to_be_focused()
        expect(page.get_by_role("tabpanel")).to_have_attribute("id", f"inspector-{name}")
        assert page.locator("[role=tab][aria-selected=true]").count() == 1
    page.keyboard.press("1")
    expect(page.locator("#inspector-chunks")).to_be_visible()


def test_a_finding_is_shown_in_the_reply(inspected: Page, server: Server):
    page = inspected
    findings = server.log.findings(turn_of(page))
    tab(page, "findings").click()
    expect(tab(page, "findings")).to_have_text(f"Findings {len(findings)}")
    quote = page.locator(".found .quote").first
    quote.click()
    expect(quote).to_have_attribute("aria-pressed", "true")
    assert painted(page, "found-words") == [findings[0].quote]
    page.keyboard.press("Escape")
    expect(quote).to_have_attribute("aria-pressed", "false")
    assert painted(page, "found-words") == []
    for run in server.log.runs(turn_of(page)):
        words = {"ok": "Found nothing", "found": "Found something", "skipped": "Did not apply"}
        line = page.locator(".ran li", has_text=words[run.status])
        expect(line).to_contain_text(run.detector)


def test_the_raw_turn_is_copied_linked_and_replayed(inspected: Page, server: Server):
    page, turn = inspected, server.log.turn(turn_of(inspected))
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.kept = text; }")
    page.locator(".ribbon button").nth(2).click()
    tab(page, "raw").click()
    raw = page.locator("#inspector-raw")
    expect(raw.locator(".json")).to_contain_text(turn.id)
    document = json.loads(raw.locator(".json").text_content() or "")
    assert document["turn"]["reply"]["text"] == turn.reply.text
    raw.get_by_role("button", name="Copy JSON").click()
    expect(raw.get_by_role("status")).to_have_text("The JSON copied.")
    assert json.loads(page.evaluate("window.kept")) == document
    raw.get_by_role("button", name="Copy as command").click()
    expect(raw.get_by_role("status")).to_have_text("The command copied.")
    seed = turn.settings.sampling.seed
    assert page.evaluate("window.kept") == f"python app.py ask --seed {seed} '{turn.message}'"
    raw.get_by_role("button", name="Copy link").click()
    expect(raw.get_by_role("status")).to_have_text("The link copied.")
    assert page.evaluate("window.kept") == f"{server.url}?turn={turn.id}&chunk=3"
    raw.get_by_role("button", name="Check replay").click()
    expect(raw.get_by_role("status")).to_contain_text("Written again: the same 47 tokens again")


def test_the_address_names_the_chunk_that_was_chosen_by_hand(inspected: Page, server: Server):
    page, turn = inspected, turn_of(inspected)
    assert address(page) == f"{server.url}?turn={turn}"
    page.keyboard.press("]")
    assert address(page) == f"{server.url}?turn={turn}&chunk=2"
    page.keyboard.press("Escape")
    assert address(page) == f"{server.url}?turn={turn}"


def test_a_link_shows_its_chunk(inspected: Page, visit: Callable[..., Page], server: Server):
    turn = turn_of(inspected)
    page = visit(f"{server.url}?turn={turn}&chunk=3")
    expect(page.locator(".ribbon [aria-pressed=true]")).to_have_text("3")
    text = server.log.turn(turn).reply
    expected = text.text[text.chunks[2].start : text.chunks[2].end]
    wait_until(lambda: painted(page, "chosen-chunk") == [expected], "the chunk is lit")
    assert address(page) == f"{server.url}?turn={turn}&chunk=3"
    page.close()


def test_the_ribbon_does_without_highlights(inspected: Page):
    page = inspected
    put = "value => Object.defineProperty(CSS, 'highlights', { value, configurable: true })"
    kept = page.evaluate_handle("CSS.highlights")
    page.evaluate(put, None)
    try:
        page.locator(".ribbon button").nth(3).click()
        page.locator(".card").first.hover()
        assert chosen(page) == "4"
    finally:
        page.evaluate(put, kept)


def test_the_chosen_chunk_is_highlighted_in_the_reply(inspected: Page, server: Server):
    page = inspected
    reply = server.log.turn(turn_of(page)).reply
    page.locator(".ribbon button").nth(2).click()
    chunk = reply.chunks[2]
    assert painted(page, "chosen-chunk") == [reply.text[chunk.start : chunk.end]]
    page.locator(".ribbon button").nth(0).click()
    copied = "The old harbour was dug in 1411 by the guild of masons"
    assert painted(page, "copied-words") == [copied]


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


@pytest.mark.slow
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


def test_a_loop_is_found_and_logged_with_its_span(page: Page, server: Server):
    ask(page, "loop please")
    expect(page.locator("#status")).to_have_text(
        "Stopped early: the reply had begun to repeat itself."
    )
    loop = page.locator(".found li", has_text="repetition.loop")
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_phone_needs_no_sideways_scrolling(
    browser: Browser, server: Server, visit: Callable[..., Page]
):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = visit(server.url, context)
    widths = """[document.documentElement, document.querySelector("#chat"), ...
        document.querySelectorAll(".inspector, .inspector [role=tabpanel], .card, dialog[open]")]
        .map(node => node.scrollWidth)"""
    assert max(page.evaluate(widths)) <= 390
    ask(page, "Who dug the harbour?")
    turn = server.log.turn(turn_of(page))
    long = replace(turn.reply.chunks[0].neighbours[0], title="W" * 300, source="s/" * 200)
    chunks = tuple(replace(chunk, neighbours=(long,)) for chunk in turn.reply.chunks)
    server.log.save(replace(turn, reply=replace(turn.reply, chunks=chunks)))
    page.reload()
    expect(page.locator(".ribbon .helped")).to_have_count(4)
    for name in ("tokens", "findings", "raw", "chunks"):
        tab(page, name).click()
        assert max(page.evaluate(widths)) <= 390
    page.locator(".card").get_by_role("button", name="Context").click()
    assert max(page.evaluate(widths)) <= 390
    context.close()
