"""Comparing: another reply is written beside one, shown with what differs, voted on, opened."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.acting import ask, expect_idle, send, turn_of, wait_until
from tests.e2e.conftest import Server, ready_page

WITHOUT = "Regenerate without"


def drawer(page: Page) -> Locator:
    return page.locator("dialog.compare")


def side(page: Page, letter: str) -> Locator:
    return drawer(page).locator(".side").nth("AB".index(letter))


def vary(page: Page, change: str) -> None:
    """Has another reply written, with the form in the drawer."""
    page.get_by_role("button", name="Compare the last reply with another").click()
    page.get_by_label("What to change in A").select_option(change)
    drawer(page).get_by_role("button", name="Write it").click()


@pytest.fixture(scope="module")
def compared(visit: Callable[..., Page], server: Server) -> Iterator[Page]:
    """A page with a reply, and the drawer with one that was written without its first passage."""
    page = ready_page(visit, server)
    ask(page, "Who dug the harbour?")
    page.get_by_role("button", name=WITHOUT).first.click()
    expect(side(page, "B")).to_contain_text("herons came to fish there.")
    expect(drawer(page).get_by_role("button", name="Open B in the chat")).to_be_visible()
    yield page
    page.close()


@pytest.fixture
def opened(compared: Page) -> Page:
    """The same with the drawer open, whatever the test before has done."""
    if not drawer(compared).is_visible():
        compared.get_by_role("button", name="Reply: Compared").click()
        expect(drawer(compared)).to_be_visible()
    return compared


def test_what_changed_is_said_and_the_words_that_differ_are_marked(opened: Page, server: Server):
    page = opened
    expect(side(page, "A").locator("h3")).to_have_text("Aas it was written")
    expect(side(page, "B").locator("h3")).to_have_text("Bwithout “The <b>harbour</b>”")
    assert side(page, "A").locator("mark").all_text_contents() == ["1411"]
    assert side(page, "B").locator("mark.first").all_text_contents() == ["1398"]
    expect(drawer(page).locator(".parting")).to_have_text(
        "They are the same for 6 tokens and part at token 7: “1411” in A, “1398” in B."
    )
    for letter in "AB":
        expect(side(page, letter).locator(".ending")).to_have_text("complete")
    a, b = (server.log.turn(t) for t in server.log.siblings(turn_of(page)))
    assert a.settings.sampling == b.settings.sampling and b.settings.without == (0,)


def test_a_vote_is_pressed_saved_and_taken_back(opened: Page, server: Server):
    page, turn = opened, turn_of(opened)
    better = drawer(page).locator("[data-vote=b]")
    for pressed, vote in (("true", "b"), ("false", None)):
        better.click()
        expect(better).to_have_attribute("aria-pressed", pressed)
        assert [c.vote for c in server.log.comparisons(turn)] == [vote]
    expect(drawer(page)).to_be_visible()


def test_escape_closes_the_drawer_and_the_focus_goes_back(opened: Page):
    page = opened
    page.keyboard.press("Escape")
    expect(drawer(page)).to_be_hidden()
    again = page.get_by_role("button", name="Reply: Compared 1×")
    again.focus()
    page.keyboard.press("Enter")
    expect(drawer(page)).to_be_visible()
    expect(side(page, "B").locator("mark.first")).to_have_text("1398")
    page.keyboard.press("Escape")
    expect(drawer(page)).to_be_hidden()
    expect(again).to_be_focused()


def test_the_other_reply_is_opened_in_the_chat_and_left_by_keys(opened: Page):
    page, bot = opened, opened.locator("[data-testid=bot]")
    a = turn_of(page)
    drawer(page).get_by_role("button", name="Open B in the chat").click()
    expect(bot).to_contain_text("1398")
    expect(page.locator(".branches .version")).to_have_text("version 2 of 2")
    page.get_by_role("button", name="Reply: version before").focus()
    page.keyboard.press("Enter")
    expect(bot).to_contain_text("1411")
    expect(page.locator(".branches .version")).to_have_text("version 1 of 2")
    expect(page.get_by_role("button", name="Reply: next version")).to_be_focused()
    assert turn_of(page) == a


@pytest.mark.slow
def test_the_drawer_fits_a_phone(browser: Browser, compared: Page, visit: Callable[..., Page]):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = visit(compared.url, context)
    page.get_by_role("button", name="Reply: Compared 1×").click()
    a, b = (side(page, letter).bounding_box() for letter in "AB")
    assert a and b and b["y"] >= a["y"] + a["height"] and a["width"] == b["width"] > 340
    assert drawer(page).evaluate("node => node.scrollWidth") <= 390
    context.close()


@pytest.mark.slow
def test_replies_that_are_the_same_are_said_to_be(page: Page):
    ask(page, "Who dug the harbour?")
    page.get_by_role("button", name="Compare the last reply with another").click()
    page.get_by_label("What to change in A").select_option("seed")
    page.get_by_label("Seed, a whole number").fill("77")
    drawer(page).get_by_role("button", name="Write it").click()
    expect(drawer(page).locator(".parting")).to_have_text(
        "Both replies are the same: this change had no effect on the sampled text."
    )
    assert drawer(page).locator("mark").count() == 0


@pytest.mark.slow
def test_a_change_that_cannot_be_made_is_refused_in_the_drawer(page: Page):
    ask(page, "Who dug the harbour?")
    vary(page, "random")
    expect(drawer(page).locator(".problem")).to_contain_text("there are no passages to draw")
    expect_idle(page)
    drawer(page).get_by_label("What to change in A").select_option("pasted")
    drawer(page).locator("[name=pasted]").fill("The harbour was dug by otters.")
    drawer(page).get_by_role("button", name="Write it").click()
    expect(side(page, "B").locator("h3")).to_have_text("Bwith a pasted passage")
    expect(drawer(page).locator(".problem")).to_be_hidden()


def stopped_story(page: Page) -> str:
    """A reply that is slow to write, stopped soon."""
    send(page, "slow story")
    expect(page.locator("[data-testid=bot]")).to_contain_text("masons")
    page.locator("#box .stop-button").click()
    expect_idle(page)
    return turn_of(page)


@pytest.mark.slow
def test_a_reply_to_compare_streams_and_is_stopped(page: Page, server: Server):
    turn = stopped_story(page)
    page.locator("#box textarea").fill("half a question")
    vary(page, "off")
    expect(side(page, "B").locator(".text")).to_contain_text("masons")
    side(page, "B").get_by_role("button", name="Stop").click()
    expect(side(page, "B").locator(".ending")).to_have_text("stopped by you")
    (found,) = server.log.comparisons(turn)
    assert server.log.turn(found.b).finish == "stopped"
    page.keyboard.press("Escape")
    expect_idle(page)
    expect(page.locator("#box textarea")).to_have_value("half a question")


@pytest.mark.slow
def test_closing_the_page_frees_the_engine_and_keeps_the_partial_reply(
    page: Page, server: Server, visit: Callable[..., Page]
):
    turn = stopped_story(page)
    vary(page, "off")
    expect(side(page, "B").locator(".text")).to_contain_text("masons")
    page.close()
    wait_until(lambda: bool(server.log.comparisons(turn)), "the comparison is saved")
    (found,) = server.log.comparisons(turn)
    assert server.log.turn(found.b).finish == "stopped"
    assert "masons" in server.log.turn(found.b).reply.text
    with server.engine.one_at_a_time:
        pass  # it is free


@pytest.mark.slow
def test_a_second_page_waits_for_the_first_and_says_so(
    page: Page, visit: Callable[..., Page], server: Server
):
    other = visit(server.url)
    send(page, "slow story")
    expect(page.locator("[data-testid=bot]")).to_contain_text("masons")
    send(other, "Who dug the harbour?")
    expect(other.locator("#status")).to_have_text(
        "Waiting for the reply that another page is having written to end …"
    )
    expect(other.locator("[data-testid=bot]")).to_have_count(0)
    page.locator("#box .stop-button").click()
    expect(other.locator("[data-testid=bot]")).to_contain_text("herons came to fish there.")
    expect_idle(other)
    other.close()
