"""Keeping: conversations are listed, found, renamed, saved, deleted; they survive the server."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from app.compose import Status
from tests.e2e.acting import ask, expect_idle, painted, send, turn_of, wait_until
from tests.e2e.conftest import Server


def menu_of(page: Page, title: str) -> Locator:
    """The row of a conversation, with its menu open."""
    row = page.locator("#conversations li", has_text=title)
    row.locator(".more").click()
    return row


def titles(page: Page) -> list[str]:
    return page.locator("#conversations .title").all_text_contents()


def test_a_reload_shows_the_same_conversation(page: Page):
    ask(page, "Who dug the harbour?")
    ask(page, "And who kept it?")
    expect(page.locator(".inspector .total")).to_contain_text("All passages together")
    page.reload()
    expect(page.locator("[data-testid=bot]")).to_have_count(2)
    expect(page.locator("[data-testid=user]").nth(1)).to_have_text("And who kept it?")
    expect(page.locator(".inspector h2.title")).to_have_text("Reply 2 of 2")
    expect(page.locator("#conversations [aria-current]")).to_contain_text("Who dug the harbour?")


def test_a_new_conversation_leaves_the_old_one_in_the_list(page: Page):
    ask(page, "A question about lanterns")
    page.locator("#new").click()
    expect(page.locator("[data-testid=bot]")).to_have_count(0)
    expect(page.locator(".inspector .welcome")).to_be_visible()
    assert "turn=" not in page.url and "conversation=" not in page.url
    page.locator("#conversations .open", has_text="A question about lanterns").click()
    expect(page.locator("[data-testid=user]")).to_have_text("A question about lanterns")


@pytest.mark.slow
def test_the_list_is_searched(page: Page):
    ask(page, "A question about windmills")
    page.locator("#new").click()
    page.locator("#search input").fill("windmil")
    expect(page.locator("#conversations li")).to_have_count(1)
    assert titles(page) == ["A question about windmills"]
    page.locator("#search input").fill("windmill zebra")
    expect(page.locator("#conversations .empty")).to_have_text("No conversation has these words.")


def test_deleting_asks_first_and_is_for_good(page: Page, server: Server):
    ask(page, "A question about anvils")
    row = menu_of(page, "A question about anvils")
    row.get_by_role("button", name="Delete", exact=True).click()
    row.get_by_role("button", name="Keep").click()
    assert server.log.conversations("anvils")
    row.locator(".more").click()
    row.get_by_role("button", name="Delete", exact=True).click()
    row.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
    expect(page.locator("[data-testid=user]")).to_have_count(0)
    assert server.log.conversations("anvils") == ()


def test_a_conversation_is_renamed_by_keys_and_saved_to_a_file(page: Page, server: Server):
    ask(page, "A question about kettles")
    row = menu_of(page, "A question about kettles")
    expect(row.get_by_role("button", name="Rename", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    field = row.get_by_label("Title of the conversation")
    field.fill("Never mind")
    page.keyboard.press("Escape")
    expect(field).to_have_count(0)
    expect(row.locator(".more")).to_be_focused()
    assert titles(page)[0] == "A question about kettles"

    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    field.fill("Kettles & <i>pots</i>")
    page.keyboard.press("Enter")
    expect(page.locator("#conversations .title").first).to_have_text("Kettles & <i>pots</i>")
    assert server.log.conversations("pots")[0].title == "Kettles & <i>pots</i>"

    menu_of(page, "Kettles")
    for name, ending in (("Save as JSON", "json"), ("Save as Markdown", "md")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.suggested_filename == f"Kettles i pots i.{ending}"
        text = download.value.path().read_text("utf-8")
        assert "A question about kettles" in text
        if ending == "json":
            assert json.loads(text)["turns"][0]["turn"]["id"] == turn_of(page)


@pytest.mark.slow
def test_versions_of_an_earlier_reply_are_switched_with_what_follows(page: Page, server: Server):
    ask(page, "Who dug the harbour?")
    ask(page, "And who kept it?")
    page.get_by_role("button", name="Edit").first.click()
    page.locator(".edit-textarea").fill("Who dug the well?")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("[data-testid=bot]")).to_have_count(1)
    expect_idle(page)
    expect(page.locator(".branches .version")).to_have_text("version 2 of 2")
    page.get_by_role("button", name="Reply: version before").click()
    expect(page.locator("[data-testid=user]")).to_have_text(
        ["Who dug the harbour?", "And who kept it?"]
    )
    expect(page.get_by_role("group", name="Reply 1")).to_contain_text("version 1 of 2")
    page.get_by_role("button", name="Reply 1: next version").click()
    expect(page.locator("[data-testid=user]")).to_have_text(["Who dug the well?"])


@pytest.mark.slow
def test_a_pinned_passage_is_shown_for_the_next_replies_until_it_is_unpinned(
    page: Page, server: Server
):
    ask(page, "Who dug the harbour?")
    page.locator(".card .pin").nth(1).click()
    chip = page.locator("#pins li")
    expect(chip).to_have_text("Storms 🌊×")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".branches .version")).to_have_text("version 2 of 2")
    expect_idle(page)
    turn = server.log.turn(turn_of(page))
    assert [n.title for n in turn.settings.pinned] == ["Storms 🌊"]
    assert [n.chunk_id for n in turn.reply.chunks[0].neighbours] == [1, 0]
    page.get_by_role("button", name="Unpin Storms 🌊").click()
    expect(page.locator("#pins .pins")).to_be_hidden()
    expect(page.locator("#box textarea")).to_be_focused()
    ask(page, "And now?")
    assert server.log.turn(turn_of(page)).settings.pinned == ()


def test_an_address_without_its_conversation_says_so(visit: Callable[..., Page], server: Server):
    page = visit(server.url + "?conversation=nowhere")
    expect(page.locator(".toast-wrap")).to_contain_text("there is no conversation nowhere")
    page.close()


@pytest.mark.slow
def test_a_permalink_is_read_after_a_restart_while_the_model_loads(
    browser: Browser, visit: Callable[..., Page], tmp_path: Path
):
    first = Server(tmp_path)
    page = visit(first.url)
    ask(page, "Who dug the harbour?")
    turn = turn_of(page)
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".branches .version")).to_have_text("version 2 of 2")
    expect_idle(page)
    page.close()
    first.stop()
    second, context = Server(tmp_path, ready=False), browser.new_context()
    second.application.status = Status("loading", "Reading the library into passages", 3, 10)

    page = visit(f"{second.url}?turn={turn}&chunk=3", context)
    expect(page.locator("[data-testid=bot]")).to_contain_text("The old harbour")
    expect(page.locator(".branches .version")).to_have_text("version 1 of 2")
    expect(page.locator(".ribbon [aria-pressed=true]")).to_have_attribute(
        "aria-label", re.compile("Chunk 3 of 4")
    )
    reply = second.log.turn(turn).reply
    text = reply.text[reply.chunks[2].start : reply.chunks[2].end]
    wait_until(lambda: painted(page, "chosen-chunk") == [text], "the chunk is painted")
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator("#loading")).to_contain_text("Reading the library into passages")
    assert page.locator("#loading progress").evaluate("bar => [bar.value, bar.max]") == [3, 10]

    send(page, "too early")
    expect(page.locator(".toast-wrap")).to_contain_text("try again when the model is ready")
    expect(page.locator("#box textarea")).to_have_value("too early")

    second.application.status = Status("failed", "the weights have a flipped byte")
    expect(page.locator("#loading [role=alert]")).to_contain_text("flipped byte")
    second.finish_loading()
    page.reload()
    expect(page.locator("#loading")).to_be_hidden()
    ask(page, "And now?")
    expect(page.locator("[data-testid=bot]")).to_have_count(2)
    expect(page.locator(".inspector .total")).to_contain_text("All passages together")

    second.log.delete_conversation(second.log.turn(turn).conversation)
    page.reload()
    expect(page.locator(".toast-wrap")).to_contain_text("it may have been deleted")
    expect(page.locator("[data-testid=bot]")).to_have_count(0)
    expect(page.locator(".inspector .welcome")).to_be_visible()
    context.close()
    second.stop()
