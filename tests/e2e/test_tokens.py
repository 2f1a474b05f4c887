"""Tokens: the reply token by token, by pointer and by keys, in two colours."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.acting import painted, turn_of
from tests.e2e.conftest import Server


@pytest.fixture
def opened(inspected: Page) -> Page:
    """The tokens tab of the shared reply, coloured by how likely the tokens were."""
    inspected.locator("#inspector-tokens-tab").click()
    expect(tokens(inspected)).to_have_count(47)
    inspected.get_by_role("radio", name="how likely the token was").check()
    return inspected


def tokens(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Tokens of the reply").get_by_role("option")


def test_the_tokens_join_to_the_reply_chunk_by_chunk(opened: Page, server: Server):
    reply = server.log.turn(turn_of(opened)).reply
    assert "".join(tokens(opened).all_text_contents()) == reply.text
    groups = opened.get_by_role("listbox").get_by_role("group").all_text_contents()
    assert groups == [reply.text[chunk.start : chunk.end] for chunk in reply.chunks]


def test_pointing_at_a_token_shows_its_alternatives_and_its_place_in_the_reply(opened: Page):
    tokens(opened).nth(6).hover()
    detail = opened.locator(".detail")
    expect(detail.locator(".facts")).to_have_text(
        "token 7 of 47 · chunk 1 · id 199 · log p −0.50 · retrieval +0.20 nats"
    )
    assert detail.locator("tbody tr").all_text_contents() == ["␣1411 written61 %−0.50"]
    assert painted(opened, "chosen-token") == [" 1411"]
    opened.mouse.move(0, 0)
    assert painted(opened, "chosen-token") == []


def test_tokens_are_walked_by_keys_and_only_one_is_a_tab_stop(opened: Page):
    tokens(opened).nth(0).focus()
    walked = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home"):
        opened.keyboard.press(key)
        walked.append(opened.evaluate("Number(document.activeElement.dataset.token)"))
    assert walked == [1, 2, 1, 46, 0]
    assert opened.locator("[data-token][tabindex='0']").count() == 1
    expect(tokens(opened).nth(0)).to_have_attribute("aria-selected", "true")
    expect(tokens(opened).nth(0)).to_have_attribute(
        "aria-label", "The; log-probability −0.50; retrieval +0.20 nats"
    )
    opened.keyboard.press("ArrowDown")  # the first token of the next line
    assert opened.evaluate("Number(document.activeElement.dataset.token)") >= 10
    opened.keyboard.press("ArrowUp")
    assert opened.evaluate("Number(document.activeElement.dataset.token)") < 10


def test_the_scale_is_switched_to_what_retrieval_changed(opened: Page):
    expect(opened.locator(".text .p0")).to_have_count(47)  # a probability of 61 % each
    opened.get_by_role("radio", name="what retrieval changed").check()
    expect(opened.locator(".text .g2")).to_have_count(47)  # +0.2 nats each
    expect(opened.locator(".legend li")).to_have_text(
        ["a+4 nats or more", "a+1", "a+0.2", "aabout 0", "a−0.2", "a−1", "a−4 or less"]
    )


def test_a_click_on_a_token_chooses_its_chunk(opened: Page):
    tokens(opened).nth(30).click()
    expect(opened.locator(".chunk-text.chosen")).to_have_attribute("data-chunk", "3")
    opened.keyboard.press("[")
    expect(opened.locator(".chunk-text.chosen")).to_have_attribute("data-chunk", "2")
    opened.keyboard.press("1")
    expect(opened.locator(".ribbon [aria-pressed=true]")).to_have_text("2")
