"""Trouble: each has a clear answer, and nothing that was typed or written is lost."""

import urllib.error
import urllib.request

import pytest
from playwright.sync_api import Page, expect

from app.store.connection import LogError
from app.turn import MESSAGE_LIMIT
from tests.e2e.acting import ask, expect_idle, open_settings, send, turn_of
from tests.e2e.conftest import Server


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("   ", "the message is empty"),
        ("x" * (MESSAGE_LIMIT + 1), "the limit is 20,000"),
        ("word " * 3000, "this model 2047"),
    ],
    ids=["empty", "too long", "longer than the context"],
)
def test_a_message_that_cannot_be_sent_is_kept(shared_page: Page, message: str, answer: str):
    page = shared_page
    send(page, message)
    expect(page.locator(".toast-wrap")).to_contain_text(answer)
    expect(page.locator("#box textarea")).to_have_value(message.strip() or message)
    expect(page.locator("[data-testid=user]")).to_have_count(0)


def test_a_setting_that_cannot_be_used_is_named_and_the_message_is_kept(page: Page):
    open_settings(page)
    page.locator("#seed input").fill("<b>many</b>")
    send(page, "Who dug the harbour?")
    expect(page.locator(".toast-wrap")).to_contain_text("the seed is '<b>many</b>'; give a whole")
    expect(page.locator("#box textarea")).to_have_value("Who dug the harbour?")


def test_an_error_in_a_reply_keeps_what_was_written(page: Page, server: Server):
    ask(page, "broken reply")
    expect(page.locator("#status")).to_have_text(
        "Broken off by an error: RuntimeError: the script says so."
    )
    expect(page.locator("[data-testid=bot]")).to_contain_text("The old harbour was dug")
    assert server.log.turn(turn_of(page)).finish == "error"


def test_a_reply_that_cannot_be_logged_is_kept_until_it_can(
    page: Page, server: Server, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:

        def full(*_):
            raise LogError("saving the turn failed: the disk is full; free some space")

        patch.setattr(server.log, "save", full)
        ask(page, "Who dug the harbour?")
        notice = page.locator("#unsaved [role=alert]")
        expect(notice).to_contain_text("the disk is full")
        expect(page.locator("[data-testid=bot]")).to_contain_text("The old harbour")
        page.get_by_role("button", name="Save again").click()
        expect(notice).to_contain_text("the disk is full")
    page.get_by_role("button", name="Save again").click()
    expect(page.locator("#unsaved")).to_be_hidden()
    assert server.log.turn(turn_of(page)).finish == "stop"
    expect_idle(page)


def test_the_limit_of_a_reply_is_said_in_words(page: Page):
    open_settings(page)
    page.locator("#max-tokens input[type=number]").fill("20")
    page.locator("#max-tokens input[type=number]").press("Tab")
    ask(page, "Who dug the harbour?")
    expect(page.locator("#status")).to_have_text("Ended: reached the limit of 20 tokens.")


def test_a_page_of_another_site_gets_nothing(server: Server):
    for path, header in (
        ("", {"Host": "evil.example"}),
        ("gradio_api/info", {"Host": "evil.example:80"}),
        ("gradio_api/info", {"Origin": "http://evil.example"}),
        ("conversations/any.json", {"Host": "evil.example"}),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(server.url + path, headers=header))
        assert refused.value.code == 403
        refused.value.close()


def test_the_plumbing_is_private_and_files_stay_where_they_are(server: Server):
    with urllib.request.urlopen(server.url + "gradio_api/info") as answer:
        assert answer.read() == b'{"named_endpoints":{},"unnamed_endpoints":{}}'
    for path in (server.log.path, "pyproject.toml"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{server.url}gradio_api/file={path}")
        assert refused.value.code in (403, 404)
        refused.value.close()
