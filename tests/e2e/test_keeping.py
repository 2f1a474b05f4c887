"""Keeping: conversations are listed, found, reopened, deleted; they survive the server."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from app.compose import Status
from tests.e2e.conftest import Server, ask, expect_idle, send


def titles(page: Page) -> list[str]:
    return page.locator("#conversations .title").all_text_contents()


def test_a_reload_shows_the_same_conversation(page: Page):
    ask(page, "Who dug the harbour?")
    ask(page, "And who kept it?")
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
    row = page.locator("#conversations li", has_text="A question about anvils")
    row.locator(".remove").click()
    row.get_by_role("button", name="Keep").click()
    assert server.log.conversations("anvils")
    row.locator(".remove").click()
    row.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
    expect(page.locator("[data-testid=user]")).to_have_count(0)
    assert server.log.conversations("anvils") == ()


def test_an_address_without_its_conversation_says_so(visit: Callable[..., Page], server: Server):
    page = visit(server.url + "?conversation=nowhere")
    expect(page.locator(".toast-wrap")).to_contain_text("there is no conversation nowhere")
    page.close()


def test_conversations_survive_a_restart_and_can_be_read_while_the_model_loads(
    visit: Callable[..., Page], tmp_path: Path
):
    first = Server(tmp_path)
    page = visit(first.url)
    ask(page, "Who dug the harbour?")
    query = page.url.removeprefix(first.url)
    page.close()
    first.stop()
    second = Server(tmp_path, ready=False)
    second.application.status = Status("loading", "Reading the library into passages", 3, 10)

    page = visit(second.url + query)
    expect(page.locator("[data-testid=bot]")).to_contain_text("The old harbour")
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
    expect_idle(page)
    page.close()
    second.stop()
