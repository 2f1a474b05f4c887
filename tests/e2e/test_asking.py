"""Asking: a reply is streamed, stopped, asked for again, and its message edited."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.records import Preset, Settings
from app.ui.example import QUESTIONS
from engine.protocol import Sampling
from tests.e2e.acting import ask, expect_idle, open_settings, send, turn_of, wait_until
from tests.e2e.conftest import Server
from tests.e2e.scripted import HARBOUR


def test_a_reply_is_streamed_and_logged(page: Page, server: Server):
    send(page, "slow story")
    bot = page.locator("[data-testid=bot]")
    expect(bot).to_contain_text("The old harbour")
    expect(page.locator("#status")).to_contain_text("Writing")
    expect(page.locator(".ribbon button").nth(1)).to_be_visible()  # while it is still being written
    page.locator("#box .stop-button").click()
    expect_idle(page)
    turn = server.log.turn(turn_of(page))
    assert turn.reply.text.strip() == bot.text_content().strip()  # type: ignore[union-attr]


def test_a_stopped_reply_keeps_its_text_and_says_so(page: Page, server: Server):
    send(page, "slow story")
    expect(page.locator("[data-testid=bot]")).to_contain_text("masons")
    page.locator("#box .stop-button").click()
    expect(page.locator("#status")).to_have_text("Stopped by you.")
    expect(page.locator(".inspector .ending")).to_have_text("stopped by you")
    turn = server.log.turn(turn_of(page))
    assert turn.finish == "stopped"
    assert "masons" in turn.reply.text and len(turn.reply.text) < len(HARBOUR * 12)


def test_closing_the_page_stops_the_reply(page: Page, server: Server):
    send(page, "slow story")
    expect(page.locator("[data-testid=bot]")).to_contain_text("harbour")
    turn = turn_of(page)
    page.close()
    wait_until(lambda: server.log.turn(turn).finish == "stopped", "the turn is saved as stopped")


def test_retry_makes_a_sibling_with_another_seed(page: Page, server: Server):
    ask(page, "Who dug the harbour?")
    first = server.log.turn(turn_of(page))
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".inspector .facts")).to_contain_text("version 2 of 2")
    expect_idle(page)
    second = server.log.turn(turn_of(page))
    assert server.log.siblings(first.id) == (first.id, second.id)
    assert second.message == first.message
    assert second.settings.sampling.seed != first.settings.sampling.seed
    expect(page.locator("[data-testid=bot]")).to_have_count(1)


def test_editing_a_message_forks_the_conversation(page: Page, server: Server):
    ask(page, "Who dug the harbour?")
    first = turn_of(page)
    ask(page, "And then?")
    page.get_by_role("button", name="Edit").first.click()
    page.locator(".edit-textarea").fill("Who <b>really</b> dug &amp; paid?")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("[data-testid=bot]")).to_have_count(1)
    expect_idle(page)
    expect(page.locator("[data-testid=user]")).to_have_text("Who <b>really</b> dug &amp; paid?")
    forked = server.log.turn(turn_of(page))
    assert forked.message == "Who <b>really</b> dug &amp; paid?"
    assert forked.parent is None and forked.id in server.log.siblings(first)


def test_the_seed_of_the_settings_is_the_one_that_is_used(page: Page, server: Server):
    open_settings(page)
    page.locator("#seed input").fill("4321")
    ask(page, "Who dug the harbour?")
    assert server.log.turn(turn_of(page)).settings.sampling.seed == 4321
    expect(page.locator(".inspector .facts")).to_contain_text("seed 4321")


@pytest.mark.slow  # the first minute sends one as well
def test_an_example_question_is_sent_by_a_click(page: Page):
    page.locator("#chat .example", has_text=QUESTIONS[0]).click()
    expect(page.locator("[data-testid=user]")).to_have_text(QUESTIONS[0])
    expect_idle(page)


def test_shift_and_enter_make_a_new_line(page: Page):
    box = page.locator("#box textarea")
    box.fill("one")
    box.press("Shift+Enter")
    box.press_sequentially("two")
    expect(box).to_have_value("one\ntwo")
    expect(page.locator("[data-testid=user]")).to_have_count(0)


@pytest.mark.slow
def test_a_new_page_starts_with_the_default_preset_and_another_fills_the_settings_in(
    visit: Callable[..., Page], server: Server
):
    warm = Settings(Sampling(temperature=1.25, max_tokens=20), template="Q: {message}\nA:")
    server.log.save_preset(Preset("Warm", warm, default=True))
    server.log.save_preset(Preset("Bare", Settings(Sampling(temperature=0), retrieve=False)))
    try:
        page = visit(server.url)
        expect(page.locator("#settings > button")).to_contain_text("preset “Warm”")
        ask(page, "Who dug the harbour?")
        settings = server.log.turn(turn_of(page)).settings
        assert settings.sampling.temperature == 1.25 and settings.template == warm.template
        open_settings(page)
        page.locator("#preset input").click()
        page.get_by_role("option", name="Bare").click()
        expect(page.locator("#temperature input[type=number]")).to_have_value("0")
        expect(page.locator("#settings > button")).to_contain_text("“Bare”, retrieval is off")
        ask(page, "And then?")
        settings = server.log.turn(turn_of(page)).settings
        assert (settings.sampling.temperature, settings.retrieve) == (0, False)
        assert settings.template == ""
        page.close()
    finally:
        for name in ("Warm", "Bare"):
            server.log.delete_preset(name)
