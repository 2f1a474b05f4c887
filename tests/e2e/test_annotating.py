"""The queue: replies reviewed with the keyboard, blind, on a phone, and taken back."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.records import Turn
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
    said,
    shown,
    tab_to,
)
from tests.e2e.conftest import Server


@pytest.fixture
def review(desk: Server, toy_turn: Callable[..., Turn]) -> Callable[..., str]:
    return reviews(desk, toy_turn)


# ----- a review


def test_a_review_is_made_with_the_keyboard_alone(queue: Page, desk: Server, review):
    first, second = (
        review(TEXT, finding("1411"), finding("by the guild")),
        review(TEXT, finding("silt")),
    )
    go(queue)
    turn = shown(queue)
    if turn == second:  # the order is random; it comes first then
        press(queue, "Control+Enter")
        expect(rows(queue, ".finding")).to_have_count(2)
    press(queue, "a")
    expect(rows(queue).first).to_contain_text("accepted")
    expect(rows(queue).nth(1)).to_have_attribute("aria-current", "true")
    assert painted(queue, "annotate-lit") == ["by the guild"]
    press(queue, "x", "k")
    expect(rows(queue).first).to_be_focused()
    press(queue, "ArrowDown")
    expect(rows(queue).nth(1)).to_be_focused()
    tab_to(queue, reply_box(queue))
    press(queue, "End", "Shift+ArrowLeft", "Shift+ArrowLeft")
    expect(said(queue)).to_have_text("Chosen: with silt.")
    press(queue, "w", "3", "n")
    expect(queue.get_by_role("textbox", name="Note", exact=True)).to_be_focused()
    queue.keyboard.type("no silt, says Ada: askj?")
    press(queue, "Enter")
    expect(rows(queue, ".mine")).to_contain_text("no silt, says Ada: askj?")
    expect(rows(queue, ".mine")).to_be_focused()
    assert marks(desk, first) == [("with silt.", "wrong", 3, "no silt, says Ada: askj?")]
    assert [f.rulings for f in desk.application.marks.findings(first)] == [
        {"Ada": "accepted"}, {"Ada": "rejected"},
    ]  # fmt: skip
    press(queue, "Control+Enter")
    if turn == first:
        expect(rows(queue, ".finding")).to_have_count(1)
        expect(rows(queue).first).to_be_focused()
        expect(queue.locator(f"{QUEUE} .bar .count")).to_have_text("1 done, 0 skipped of 2")
        press(queue, "s")
    expect(queue.get_by_role("heading", name="The queue is at its end")).to_be_visible()
    review = desk.application.marks.review(first, "Ada")
    assert review and (review.state, review.drawn, review.blind) == ("done", "flagged", False)
    expect(queue.get_by_role("button", name="Browse")).to_be_focused()
    press(queue, "Enter")
    expect(queue.get_by_role("tab", name="Browse")).to_have_attribute("aria-selected", "true")


def test_blind_the_findings_are_shown_when_it_is_finished(queue: Page, desk: Server, review):
    turn = review(TEXT, finding("1411"))
    desk.application.marks.annotate(turn, "Grace", "toxic", (0, 5), note="seen by Grace")
    go(queue)
    blind = queue.get_by_label("Blind mode")
    expect(rows(queue)).to_have_count(1)
    go(queue, annotator="Bea")
    blind.check()
    expect(rows(queue)).to_have_count(0)
    desk.application.marks.close(turn, "Bea", "skipped")  # she had seen the finding
    go(queue, annotator="Cy")
    expect(queue.locator(f"{QUEUE} .why")).to_contain_text("whether there are findings")
    expect(queue.locator(f"{QUEUE} .found .hint")).to_contain_text("Hidden until")
    expect(rows(queue)).to_have_count(0)
    reply_box(queue).focus()
    press(queue, "ArrowRight", "r")
    expect(rows(queue, ".mine")).to_have_count(1)
    press(queue, "Control+Enter")
    expect(rows(queue, ".finding")).to_be_focused()
    expect(rows(queue, ".other")).to_contain_text("seen by Grace")
    expect(queue.locator(f"{QUEUE} .why")).to_contain_text("a detector found something")
    press(queue, "a")
    expect(rows(queue, ".finding")).to_contain_text("accepted")
    press(queue, "Control+Enter")
    expect(queue.get_by_role("heading", name="The queue is at its end")).to_be_visible()
    (mine,) = [a for a in desk.application.marks.annotations(turn) if a.annotator == "Cy"]
    review = desk.application.marks.review(turn, "Cy")
    assert mine.blind and review and review.blind and review.state == "done"
    blind.uncheck()


def test_actions_are_taken_back_one_by_one(queue: Page, desk: Server, review):
    turn = review(TEXT, finding("1411"))
    go(queue, turn)
    press(queue, "x", "r", "1", "3", "n")
    expect(queue.get_by_role("textbox", name="Note", exact=True)).to_be_focused()
    queue.keyboard.type("note")
    press(queue, "Enter", "Backspace", "o", "l")
    queue.keyboard.type("undermines creative")
    press(queue, "Enter")
    expect(rows(queue, ".mine")).to_have_count(2)
    press(queue, "]")
    expect(
        queue.get_by_role("button", name="Useful: passage 1 of chunk 1", exact=True)
    ).to_be_focused()
    press(queue, "Enter")
    expect(queue.locator(".shown [aria-pressed=true]")).to_have_text("Useful")
    assert {label for _, label, _, _ in marks(desk, turn)} == {"off_topic", "W.VI.3"}
    assert [j.verdict for j in desk.log.judgements(turn) if j.annotator == "Ada"] == ["useful"]
    expected: list[list[tuple[str, int, str]]] = [
        [("off_topic", 2, ""), ("W.VI.3", 2, "")], [("off_topic", 2, "")], [],
        [("repetition", 3, "note")], [("repetition", 3, "")], [("repetition", 1, "")],
        [("repetition", 2, "")], [],
    ]  # fmt: skip
    for standing in expected:
        press(queue, "u")
        expect(rows(queue, ".mine")).to_have_count(len(standing))
        wait_until(
            lambda standing=standing: sorted(m[1:] for m in marks(desk, turn)) == sorted(standing),
            f"{standing}",
        )
    assert desk.log.judgements(turn) == ()
    press(queue, "u")
    expect(rows(queue, ".finding")).not_to_contain_text("rejected")
    press(queue, "u")
    expect(said(queue)).to_have_text("There is nothing to take back in this reply.")
    assert desk.application.marks.findings(turn)[0].rulings == {}


# ----- keys


def test_keys_do_nothing_while_typing_in_a_dialog_or_in_another_view(
    queue: Page, desk: Server, review
):
    turn = review(TEXT, finding("1411"))
    go(queue, turn)
    press(queue, "Control+a", "Alt+r", "Meta+r", "Shift+R", "?")
    expect(queue.get_by_role("dialog", name="Keys")).to_be_visible()
    press(queue, "r", "a", "Escape")
    press(queue, "l")
    expect(queue.get_by_role("option")).to_have_count(82)
    queue.keyboard.type("zzz")
    expect(queue.locator(".finder .count")).to_contain_text("No label")
    press(queue, "Escape", "g")
    expect(queue.get_by_role("heading", name="Guidelines")).to_be_focused()
    press(queue, "Escape")
    expect(queue.get_by_role("heading", name="Guidelines")).to_be_hidden()
    queue.get_by_role("tab", name="Probe").click()
    press(queue, "r", "a", "Control+Enter")
    go(queue, turn)
    expect(rows(queue)).to_have_count(1)
    assert marks(desk, turn) == []
    assert desk.application.marks.findings(turn)[0].rulings == {}


@pytest.mark.parametrize("dark", [False, True])
def test_all_fits_on_a_phone(queue: Page, review, dark: bool):
    go(queue, review(TEXT, finding("1411"), finding("by the guild"), finding("guild.\n\nThen")))
    queue.set_viewport_size({"width": 390, "height": 780})
    queue.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
    expect(queue.locator(".lines [data-number]")).to_have_count(3)
    widths = "[document.documentElement.scrollWidth, window.innerWidth]"
    wide, window = queue.evaluate(widths)
    assert wide == window == 390
    finish = queue.get_by_role("button", name="Finish, next reply")
    expect(finish).to_be_in_viewport()
    queue.evaluate("document.body.classList.remove('dark')")
    queue.set_viewport_size({"width": 1280, "height": 800})
