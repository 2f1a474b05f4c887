"""The probe view: a run is started, followed, cancelled and read; a word is changed in a reply."""

import re
import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from app.compose import Status
from app.store.probes import Probes
from engine.protocol import ChunkScores, Score, Scoring
from prompts.probes import families
from tests.e2e.conftest import Server

MARKUP = '<img src=x onerror="alert(1)"> harbour 🌊'
FAMILY = families()["coreference"]
ITEMS = 2 * 2 * len(FAMILY.templates)  # two terms, two pairs


class Leaning:
    """Scores that lean by what stands in the prompt, at the pace that a test wants."""

    def __init__(self) -> None:
        self.pause, self._left = threading.Event(), -1
        self.pause.set()

    def hold_at(self, count: int) -> None:
        """Holds after so many scores until `pause` is set."""
        self._left = count

    def __call__(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        assert self.pause.wait(20)
        self._left -= 1
        if self._left == 0:
            self.pause.clear()
        text = scoring.prompt[-1].text
        # a noise that neither the term nor a pair has alone, and a lean towards she with nurses
        noise = (sum(map(ord, text)) * (sum(scoring.tokens) % 89) % 97) / 300
        leaning = 0.8 if " she " in text and "nurse" in text else 0.0
        size, scores = len(scoring.tokens), []
        for j, shown in enumerate(scoring.shown):
            count = len(scoring.tokens[j * 12 : (j + 1) * 12])
            nats = -1 + (noise + leaning) / size + 0.1 * len(shown)
            scores.append(ChunkScores(Score((nats,) * count, (0.5,) * len(shown))))
        return tuple(scores)


@pytest.fixture(scope="module")
def leaning(server: Server) -> Iterator[Leaning]:
    leaning = Leaning()
    server.engine.score = leaning  # type: ignore[method-assign]
    yield leaning
    del server.engine.score  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def probe(visit: Callable[..., Page], server: Server, leaning: Leaning) -> Iterator[Page]:
    """The view, reached from the chat as a person does."""
    page = visit(server.url)
    page.get_by_role("link", name="Failures").click()
    page.get_by_role("tab", name="Probe").click()
    expect(page.locator(".probe .option")).to_have_count(len(families()) + 3)
    yield page
    page.close()
    with server.log.writing("forgetting runs") as db:
        db.execute("DELETE FROM probe_runs")


def choose_one_family(page: Page) -> None:
    for name in families():
        page.locator(f"#probe-family-{name}").set_checked(name == FAMILY.name)


def test_a_run_is_started_by_keyboard_and_read(probe: Page, server: Server):
    page = probe
    expect(page.locator(".probe .empty")).to_be_visible()
    expect(page.locator("#probe-mode-live")).to_be_disabled()  # there are no passages here
    page.locator(".families input").first.focus()
    for _ in range(len(families()) - 1):  # all but the last
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
    page.locator("#probe-seed").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".probe .job .stage")).to_have_text("Finished.")
    expect(page.locator("#probe-report-title")).to_be_visible()
    (run,) = Probes(server.log).runs()
    assert list(run.config["families"]) == [FAMILY.name]
    assert f"run={run.id}" in page.url
    row = page.locator(".probe .tests tbody tr:not(.family)")
    expect(row).to_have_count(1)
    expect(row.locator("th")).to_have_text("she / he")
    expect(row.locator(".verdict")).to_contain_text("nats")
    expect(page.locator(".probe .plots svg [class~=mark]")).to_have_count(1)
    expect(page.locator(".probe .plots svg .unseen")).to_have_count(1)
    expect(page.locator(".probe .report .limits")).to_contain_text("no verdict on any reply")
    expect(page.locator(".probe .run[aria-current]")).to_contain_text("scripted")


def test_a_run_is_cancelled_and_taken_up_by_the_next(probe: Page, leaning: Leaning, server: Server):
    page = probe
    choose_one_family(page)
    page.locator("#probe-seed").fill("5")
    leaning.pause.clear()
    try:
        page.locator(".probe .begin").click()
        expect(page.locator(".probe .job .stage")).to_contain_text("Running")
        expect(page.locator(".probe .begin")).to_be_disabled()
        page.locator(".probe .job .cancel").click()
        expect(page.locator(".probe .job .stage")).to_have_text("Cancelling …")
    finally:
        leaning.pause.set()
    expect(page.locator(".probe .job .stage")).to_contain_text(
        "Cancelled. What was finished is kept"
    )
    expect(page.locator(".probe .run .badge")).to_have_text("not finished")
    page.locator(".probe .begin").click()
    expect(page.locator(".probe .job .stage")).to_have_text("Finished.")
    expect(page.locator(".probe .run .badge")).to_have_count(0)
    assert len(Probes(server.log).runs()) == 2


@pytest.mark.slow
def test_progress_has_a_count_and_the_time_left(probe: Page, leaning: Leaning):
    page = probe
    choose_one_family(page)
    page.locator("#probe-seed").fill("6")
    leaning.hold_at(ITEMS)  # half-way, as two continuations are scored for an item
    try:
        page.locator(".probe .begin").click()
        expect(page.locator(".probe .job .detail")).to_contain_text(
            re.compile(
                rf"Whom a pronoun means · no passages · \d+ of {ITEMS} items · about \d+ s left"
            )
        )
        assert page.locator(".probe .job progress").get_attribute("max") == str(ITEMS)
    finally:
        leaning.pause.set()
    expect(page.locator(".probe .job .stage")).to_have_text("Finished.")


def test_a_word_of_ones_own_message_is_changed(probe: Page, server: Server, toy_turn):
    turn = toy_turn(
        "The harbour was dug in 1411.",
        conversation="probed",
        message=MARKUP,
        model=server.engine.info,
    )
    server.log.save(turn)
    page = probe
    page.goto(f"{server.url}failures?view=probe&turn={turn.id}")
    expect(page.locator(".probe .own .message")).to_have_text(MARKUP)
    expect(page.locator(".probe .own .anecdote")).to_contain_text("one prompt, no control")
    page.locator("#probe-word").fill("ferry")
    page.locator("#probe-replacement").fill("she nurse")
    page.locator("#probe-replacement").press("Enter")
    expect(page.locator(".probe .own .problem")).to_contain_text("does not have “ferry”")
    page.locator("#probe-word").fill("harbour")
    page.get_by_role("button", name="Score both").click()
    expect(page.locator(".probe .own .changed")).to_contain_text("she nurse 🌊")
    rows = page.locator(".probe .scored tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("passages frozen")
    expect(rows.nth(1)).to_contain_text("not measured: the model was started without passages")
    expect(page.locator(".probe .own .reply")).to_have_text(turn.reply.text)
    assert page.locator(".probe .own .piece").count() == len(turn.reply.tokens)
    title = page.locator(".probe .own .piece").first.get_attribute("title")
    assert title and title.endswith(" nats") and title != "+0.00 nats"
    page.get_by_role("button", name="no passages", exact=True).click()
    expect(page.locator(".probe .choice [aria-pressed=true]")).to_have_text("no passages")
    assert page.locator(".probe :is(img, script)").count() == 0
    server.log.delete_conversation(turn.conversation)


@pytest.mark.slow
def test_nothing_can_be_started_while_the_model_is_loading(
    probe: Page, server: Server, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(server.application, "engine", None)
        patch.setattr(server.application, "status", Status("loading", "Reading"))
        probe.reload()
        expect(probe.locator(".probe .banner")).to_contain_text("Reading. A probe can be started")
        expect(probe.locator(".probe .begin")).to_be_disabled()
    expect(probe.locator(".probe .banner")).to_be_hidden()
    expect(probe.locator(".probe .begin")).to_be_enabled()


def test_a_phone_needs_no_sideways_scrolling(probe: Page):
    probe.set_viewport_size({"width": 390, "height": 844})
    try:
        expect(probe.locator(".probe .plots svg").first).to_be_visible()
        assert probe.evaluate("document.documentElement.scrollWidth") <= 390
        probe.wait_for_function(
            "document.querySelector('.plots svg').getBoundingClientRect().right <= 390"
        )
    finally:
        probe.set_viewport_size({"width": 1280, "height": 800})
