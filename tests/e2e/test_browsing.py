"""The browse view and the dashboard: filter, open, rule, relabel and undo, by keys alone."""

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from playwright.sync_api import Locator, Page, expect

from app.records import DetectorRun, Finding, Settings, Turn
from app.store.cases import Cases, Filter
from app.store.ids import new_id
from engine.protocol import Info, Sampling
from tests.bag import BagEmbedder
from tests.e2e.acting import wait_until
from tests.e2e.conftest import Server

MODEL = Info("browsed", 1, "b" * 64, "e" * 64, 2048, "")
MARKUP = '<img src=x onerror="alert(1)"> <b>🌊</b>'
TURNS = 56  # more cases than a page has
MINE = Filter(model="browsed")


@pytest.fixture(scope="module")
def cases(server: Server, toy_turn: Callable[..., Turn]) -> Iterator[Cases]:
    """A finding in every turn, every seventh a loop, every tenth marked by Grace as well."""
    for i in range(TURNS):
        text = f"The {MARKUP} harbour number {i} was dug. Herons fish there."
        kind = "copy.neighbour" if i % 7 else "repetition.loop"
        quote = text[4 : 4 + len(MARKUP)]
        found = Finding(kind, 4, 4 + len(MARKUP), quote, 3.5, 3, "warn", "Long.", {"run": 9})
        turn = toy_turn(
            text, id=new_id(), conversation="browsed", model=MODEL, message=f"Question {i}?",
            created=f"2026-10-{1 + i // 3:02}T10:00:00.000Z",
            settings=Settings(Sampling(temperature=0.5), k=2),
        )  # fmt: skip
        server.log.save(turn, [DetectorRun("copy", "1", "found", 0.1, (found,))])
        if i % 10 == 0:
            server.application.marks.annotate(turn.id, "Grace", "wrong", (4, 8), note="not so")
    server.application.passages = SimpleNamespace(embedder=BagEmbedder())  # type: ignore[assignment]
    yield Cases(server.log)
    server.application.passages = None
    server.log.delete_conversation("browsed")


@pytest.fixture(scope="module")
def open_page(visit: Callable[..., Page], server: Server) -> Iterator[Page]:
    page = visit(server.url)
    yield page
    page.close()


@pytest.fixture
def page(open_page: Page, cases: Cases, server: Server) -> Page:
    """The browse view of the cases of this file, with a name that is known."""
    open_page.evaluate("localStorage.setItem('retroscope-annotator', 'Ada')")
    open_page.goto(f"{server.url}failures?view=browse&model=browsed")
    expect(rows(open_page).first).to_be_visible()
    expect(open_page.locator("#browse-kind option").nth(5)).to_be_attached()
    return open_page


def rows(page: Page) -> Locator:
    return page.locator(".browse tbody tr")


def said(page: Page) -> Locator:
    return page.locator(".browse .said")


def test_filters_are_in_the_address_and_the_back_button_takes_them_away(page: Page, cases: Cases):
    summary = page.locator(".browse .summary")
    expect(summary).to_contain_text("62 cases: 56 found by detectors (56 open), 6 marked by people")
    page.locator("#browse-kind").select_option("repetition")
    expect(summary).to_contain_text("8 cases")
    expect(page).to_have_url(re.compile("kind=repetition"))
    page.locator("#browse-until").fill("2026-10-07")
    page.locator("#browse-until").press("Tab")
    expect(summary).to_contain_text("3 cases")
    page.go_back()
    expect(summary).to_contain_text("8 cases")
    expect(page.locator("#browse-until")).to_have_value("")
    page.reload()
    expect(summary).to_contain_text("8 cases")
    expect(page.locator("#browse-kind")).to_have_value("repetition")
    href = page.get_by_role("link", name="CSV").get_attribute("href")
    assert href and "/failures/export?format=csv" in href and "kind=repetition" in href
    page.get_by_role("button", name="Clear filters").click()
    expect(page).not_to_have_url(re.compile("model"))
    assert cases.count(MINE) == 62


@pytest.mark.slow
def test_search_by_keys_and_pages(page: Page):
    page.keyboard.press("]")
    expect(page.locator(".pager .place")).to_have_text("51 to 62 of 62")
    expect(page).to_have_url(re.compile("page=2"))
    page.keyboard.press("/")
    page.keyboard.type("number 41")
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_contain_text("Question 41?")
    page.keyboard.press("Escape")
    expect(rows(page).first).to_be_focused()


def test_a_case_is_opened_ruled_on_and_undone_by_keys_alone(page: Page, cases: Cases):
    for key in ("j", "j", "k", "Enter"):
        page.keyboard.press(key)
    detail = page.locator(".browse .detail")
    expect(detail.locator(".reply mark")).to_have_text(MARKUP)
    expect(detail).to_contain_text("3.5, threshold 3")
    expect(detail.locator(".passages li")).to_have_count(2)
    expect(detail.locator("img, b")).to_have_count(0)
    expect(page).to_have_url(re.compile("case=f"))
    expect(detail.locator(".similar > .hint")).to_contain_text(re.compile(r"Compared with \d+ of"))
    expect(detail.locator(".similar li").first).to_contain_text("likeness")
    page.keyboard.press("a")
    expect(said(page)).to_have_text("Accepted 1 case.")
    expect(detail.locator("header .badge.accepted")).to_be_visible()
    expect(detail).to_contain_text("Ada accepted it.")
    page.keyboard.press("u")
    expect(said(page)).to_have_text("Undone 1 change.")
    expect(detail).to_contain_text("Nobody has ruled on it.")
    page.keyboard.press("Escape")
    expect(detail).to_contain_text("Open a case")
    expect(page.locator(".browse tr.current")).to_be_focused()


def test_many_cases_are_selected_and_relabelled_and_that_is_undone(page: Page, cases: Cases):
    before = sorted((case.id, case.status) for case in cases.every(MINE))
    rows(page).first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator(".browse .bar .count")).to_have_text("3 cases selected")
    rows(page).nth(9).locator("input").click(modifiers=["Shift"])
    expect(page.locator(".browse tr[aria-selected=true]")).to_have_count(10)
    page.keyboard.press("r")
    page.locator("#browse-label").select_option("off_topic")
    page.locator("#browse-label").press("Enter")
    expect(said(page)).to_have_text("Relabelled 10 cases as Off topic.")
    made = cases.cases(Filter(model="browsed", kind="off_topic"))
    assert {case.annotator for case in made} == {"Ada"} and len(made) == 10
    assert cases.count(Filter(model="browsed", status="rejected")) >= 8
    page.get_by_role("button", name="Undo").click()
    expect(said(page)).to_contain_text("Undone")
    assert sorted((case.id, case.status) for case in cases.every(MINE)) == before


def test_what_cannot_be_done_is_said_with_the_reason(page: Page, cases: Cases):
    page.locator("#browse-source").select_option("person")
    expect(rows(page)).to_have_count(6)
    page.locator(".browse .bar .every input").check()
    page.get_by_role("button", name="Accept", exact=True).first.click()
    expect(said(page)).to_have_text(
        re.compile(r"Nothing was accepted. Not done: 6 cases \(marked by")
    )


def test_a_name_is_asked_once_and_kept(page: Page, cases: Cases):
    page.evaluate("localStorage.removeItem('retroscope-annotator')")
    rows(page).nth(2).focus()
    page.keyboard.press("x")
    page.locator("#browse-name").fill("Mary")
    page.keyboard.press("Enter")
    expect(said(page)).to_have_text("Rejected 1 case.")
    (case,) = cases.cases(Filter(model="browsed", annotator="Mary"))
    assert case.rulings == {"Mary": "rejected"}
    page.keyboard.press("u")
    expect(said(page)).to_have_text("Undone 1 change.")
    assert page.evaluate("localStorage.getItem('retroscope-annotator')") == "Mary"


def test_a_number_of_the_dashboard_leads_to_its_cases_and_back(page: Page, server: Server):
    page.goto(f"{server.url}failures?view=dashboard&model=browsed")
    summary = page.locator(".dashboard .summary")
    expect(summary).to_have_text("56 replies with 62 cases.")
    expect(page.locator(".dashboard .panel")).to_have_count(8)
    heat = page.get_by_role("region", name="Cases per 100 replies, by kind and model")
    heat.get_by_role("link", name="Repetition, browsed: 8 found").click()
    expect(page.locator(".browse .summary")).to_contain_text("8 cases: 8 found by detectors")
    expect(page.locator("#browse-model")).to_have_value("browsed")
    page.go_back()
    expect(summary).to_have_text("56 replies with 62 cases.")
    days = page.get_by_role("img", name=re.compile("Cases per 100 replies, by day"))
    expect(days.locator("g.leads")).to_have_count(19)
    page.locator("#dashboard-since").fill("2026-10-19")
    page.locator("#dashboard-since").press("Tab")
    expect(summary).to_have_text("2 replies with 2 cases.")
    expect(page).to_have_url(re.compile("since=2026-10-19"))


def test_the_way_to_the_queue_and_the_chat(page: Page, cases: Cases):
    rows(page).nth(1).click()
    turn = cases.cases(MINE)[1].turn
    chat = page.get_by_role("link", name="Open in the chat")
    assert f"/?turn={turn}" in (chat.get_attribute("href") or "")
    page.get_by_role("button", name="Review in the queue").click()
    expect(page).to_have_url(re.compile(f"view=queue.*turn={turn}"))
    wait_until(lambda: page.evaluate("document.body.dataset.view") == "queue", "the queue")
