"""Cards: the passages of a chunk, what each changed, and what a person does with them."""

import re
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page, expect

from engine.attribution import Unmeasurable
from tests.e2e.acting import ask, open_settings, painted, turn_of, wait_until
from tests.e2e.conftest import Server
from tests.e2e.scripted import PASSAGES


class Document:
    """A document in which the first passage of `scripted` is followed by its continuation."""

    TEXTS = (PASSAGES[0][1], PASSAGES[0][2], "Nothing more is told of it.")

    def around(self, document_id: int, position: int) -> SimpleNamespace | None:
        if document_id or not 0 <= position < len(self.TEXTS):
            return None
        before, text, after = (
            self.TEXTS[i] if 0 <= i < len(self.TEXTS) else None
            for i in (position - 1, position, position + 1)
        )
        return SimpleNamespace(before=before, text=text, after=after, chunks=len(self.TEXTS))


@pytest.fixture
def document(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.application, "passages", Document())


def test_a_chunk_shows_its_passages(inspected: Page):
    page = inspected
    page.locator(".ribbon button").nth(1).click()
    expect(page.locator(".about .caption")).to_have_text("Chunk 2 of 4 · 12 tokens")
    expect(page.locator(".about .origin")).to_have_text(
        "Its passages were found with the question and the text of chunk 1; "
        "the model read them while it wrote this chunk."
    )
    cards = page.locator(".card")
    expect(cards).to_have_count(2)
    expect(cards.nth(0).locator(".title")).to_have_text(PASSAGES[0][0])
    expect(cards.nth(0).locator(".where")).to_contain_text("distance 0.41")
    expect(cards.nth(1).locator(".where")).to_contain_text("characters 100–154")
    expect(cards.nth(1).locator(".where")).not_to_contain_text("distance")
    assert cards.nth(1).locator(".passage p").all_text_contents() == list(PASSAGES[1][1:])
    assert cards.nth(1).locator("mark").all_text_contents() == [
        "Its walls kept small boats safe from winter storms", "and the town grew around it",
    ]  # fmt: skip


def test_a_chunk_and_its_cards_say_what_was_changed(inspected: Page):
    page = inspected
    expect(page.locator(".total p")).to_have_text(
        "All passages together made this reply 9.4 nats (13.6 bits) likelier."
    )
    expect(page.locator(".about .gain")).to_have_text(
        "These passages made this text 2.4 nats (3.5 bits) likelier: log p −6.0 with, −8.4 without."
    )
    helped, hurt = page.locator(".card").all()
    expect(helped.locator(".effect")).to_have_text("effect+3.0 nats")
    expect(helped.locator(".word")).to_have_text("copied")
    expect(hurt.locator(".effect")).to_have_text("effect−0.6 nats")
    expect(hurt.locator(".word")).to_have_text("hurt")
    expect(hurt.locator(".attention")).to_have_text(
        "attention50 %where it looked, not what it changed"
    )
    expect(page.locator(".ribbon button").first).to_have_attribute(
        "aria-label", re.compile("Chunk 1 of 4, 2 passages, helped by \\+2.4 nats")
    )


def test_pointing_at_a_card_lights_the_words_that_the_reply_shares_with_it(inspected: Page):
    page = inspected
    page.locator(".ribbon button").nth(1).click()
    page.locator(".card").nth(1).hover()
    shared = "Its walls kept small boats safe from winter storms 🌊, and the town grew around it"
    assert painted(page, "card-words") == [shared]
    page.locator(".card").nth(0).hover()
    assert painted(page, "card-words") == []
    page.locator(".ribbon button").nth(0).click()
    page.mouse.move(0, 0)
    assert painted(page, "card-words") == []
    page.locator(".card").nth(0).get_by_role("button", name="Context").focus()
    copied = "The old harbour was dug in 1411 by the guild of masons"
    assert painted(page, "card-words") == [copied]


def test_a_judgement_is_a_toggle_that_is_saved_at_once(inspected: Page, server: Server):
    page, turn = inspected, turn_of(inspected)

    def saved() -> list[tuple[int, int, str]]:
        return [(j.chunk, j.rank, j.verdict) for j in server.log.judgements(turn)]

    page.locator(".ribbon button").nth(2).click()
    useful = page.locator(".card").nth(1).get_by_role("button", name=re.compile("^Useful"))
    useful.click()
    expect(useful).to_have_attribute("aria-pressed", "true")
    wait_until(lambda: saved() == [(2, 1, "useful")], "the judgement is saved")
    page.locator(".ribbon button").nth(1).click()
    page.locator(".ribbon button").nth(2).click()
    expect(useful).to_have_attribute("aria-pressed", "true")
    useful.click()
    expect(useful).to_have_attribute("aria-pressed", "false")
    wait_until(lambda: saved() == [], "the judgement is taken back")


def test_a_passage_is_read_in_its_document_and_the_focus_comes_back(
    inspected: Page, document: None
):
    page, dialog = inspected, inspected.locator("dialog.context")
    opener = page.locator(".card").nth(0).get_by_role("button", name="Context")
    opener.focus()
    page.keyboard.press("c")
    expect(dialog).to_be_visible()
    expect(dialog.locator("h2")).to_have_text(PASSAGES[0][0])
    expect(dialog.locator(".position")).to_have_text("Passage 1 of 3")
    expect(dialog.locator(".passages .passage p")).to_have_text(PASSAGES[0][1])
    expect(dialog.get_by_role("button", name="Previous passage")).to_be_disabled()
    for _ in range(2):
        dialog.get_by_role("button", name="Next passage").click()
    expect(dialog.locator(".position")).to_have_text("Passage 3 of 3")
    expect(dialog.locator(".middle p")).to_have_text("Nothing more is told of it.")
    page.keyboard.press("]")  # keys of the page do nothing behind a dialog
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    expect(page.locator(".ribbon [aria-pressed=true]")).to_have_text("1")


def test_a_document_that_is_gone_is_said_to_be(inspected: Page, document: None):
    page, dialog = inspected, inspected.locator("dialog.context")
    page.locator(".card").nth(1).get_by_role("button", name="Context").click()
    expect(dialog.locator("[role=alert]")).to_contain_text(
        "“Storms 🌊” is no longer in the library"
    )
    dialog.get_by_role("button", name="Close").click()


@pytest.mark.slow
def test_what_cannot_be_measured_says_why_and_can_be_tried_again(
    page: Page, server: Server, monkeypatch: pytest.MonkeyPatch
):
    class Unable:
        def measure(self, turn: str) -> None:
            raise Unmeasurable("the model is busy with <b>something else</b>")

    with monkeypatch.context() as patch:
        patch.setattr(server.application, "_effects", Unable())
        ask(page, "Who dug the harbour?")
        expect(page.locator(".total p")).to_have_text(
            "Effect: n/a (the model is busy with <b>something else</b>)"
        )
        expect(page.locator(".card .effect").first).to_have_text("effect: n/a")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".card .effect").first).to_have_text("effect+2.8 nats")
    expect(page.locator(".card .word").first).to_have_text("not calibrated")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


@pytest.mark.slow
def test_a_chunk_without_passages_says_why(page: Page):
    ask(page, "lost passages")
    expect(page.locator(".absence")).to_contain_text("the search failed (no index)")
    open_settings(page)
    page.locator("#retrieval input").uncheck()
    ask(page, "Who dug the harbour?")
    expect(page.locator(".absence")).to_contain_text("Retrieval was off")
