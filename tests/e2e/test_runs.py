"""The runs page: the model card, presets of settings, and the prompt that a template makes."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from app.compose import Status
from app.ui.fields import OWN, values_of
from tests.e2e.acting import ask, open_settings, turn_of
from tests.e2e.conftest import Server

MARKUP = '<img src=x onerror="alert(1)"> <script>alert(2)</script> <b>🌊</b>'
CARD = {
    "note": f"Often wrong. {MARKUP}",
    "cannot": ["know anything", MARKUP],
    "evaluation": {
        MARKUP: {"rows": [{"way": MARKUP, "f1": 0.2}, {"way": "none", "f1": 0.07}]},
        "reading": MARKUP,
    },
    "data": [{"source": MARKUP, "licence": "CC0"}],
}


@pytest.fixture(scope="module")
def runs(visit: Callable[..., Page], server: Server) -> Iterator[Page]:
    """The runs page, reached as a person does."""
    server.application.card = CARD
    page = visit(server.url)
    page.get_by_role("link", name="Runs").click()
    expect(page.locator(".pieces .piece").last).to_be_visible()
    yield page
    page.close()
    server.application.card = {}


@pytest.fixture(autouse=True)
def no_presets_are_left(runs: Page, server: Server) -> Iterator[None]:
    yield
    for preset in server.log.presets():
        server.log.delete_preset(preset.name)


@pytest.fixture
def fresh(runs: Page) -> Page:
    """The page as it is when it is opened, without drafts."""
    runs.evaluate("sessionStorage.clear()")
    runs.reload()
    expect(runs.locator(".pieces .piece").last).to_be_visible()
    return runs


def field(page: Page, name: str) -> Locator:
    return page.locator(f"#preset-{name}")


def make(page: Page, name: str, **values: str) -> None:
    """Fills the form in and saves it as a new preset."""
    for key, value in {"name": name, **values}.items():
        field(page, key).fill(value)
    page.get_by_role("button", name="Save as a new preset").click()
    expect(page.locator(".names [aria-current] .title")).to_have_text(name)
    expect(page.locator(".saved")).to_have_text("Saved as a new preset.")


def test_a_preset_is_made_changed_renamed_and_deleted(fresh: Page, server: Server):
    page = fresh
    make(page, "Warm", temperature="1.5")
    (kept,) = server.log.presets()
    assert kept.settings.sampling.temperature == 1.5

    field(page, "top_k").fill("40")
    row = page.locator(".names [aria-current]")
    expect(row).to_contain_text("not saved")
    field(page, "name").fill("Warmer")
    field(page, "name").press("Enter")
    expect(page.locator(".saved")).to_have_text("Saved.")
    expect(page.locator(".names li")).to_have_count(2)
    expect(row).to_have_text("Warmer")
    (kept,) = server.log.presets()
    assert (kept.name, kept.settings.sampling.top_k) == ("Warmer", 40)

    page.get_by_role("button", name="Duplicate").click()
    expect(row).to_have_text("Warmer (copy)")
    assert len(server.log.presets()) == 2

    delete = page.get_by_role("button", name="Delete", exact=True)
    delete.click()
    page.keyboard.press("Escape")
    expect(delete).to_be_focused()
    delete.click()
    page.get_by_role("group", name="Delete Warmer (copy)").get_by_text("Delete", exact=True).click()
    expect(page.locator(".names li")).to_have_count(2)
    assert [p.name for p in server.log.presets()] == ["Warmer"]


@pytest.mark.slow
def test_what_cannot_be_saved_is_said_beside_its_field_and_kept(fresh: Page, server: Server):
    page = fresh
    field(page, "temperature").fill("7")
    expect(page.locator("#problem-temperature")).to_contain_text("give a number from 0 to 2")
    expect(field(page, "temperature")).to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Save as a new preset").click()
    expect(page.locator("#problem-name")).to_contain_text("has no name")
    expect(field(page, "name")).to_be_focused()
    assert server.log.presets() == ()

    page.reload()  # what was typed is still there
    expect(field(page, "temperature")).to_have_value("7")
    expect(page.locator(".names [aria-current]")).to_contain_text("not saved")
    page.get_by_role("button", name="Undo changes").click()
    expect(page.locator("#problem-temperature")).to_be_empty()
    assert float(field(page, "temperature").input_value()) == 0.6


@pytest.mark.slow
def test_a_new_chat_page_starts_with_the_default(
    fresh: Page, server: Server, visit: Callable[..., Page]
):
    make(fresh, "Cold and short", temperature="0.1", max_tokens="24")
    fresh.get_by_role("button", name="Make default").click()
    expect(fresh.locator(".shelf .hint")).to_have_text("New chat pages start with Cold and short.")
    (kept,) = server.log.presets()
    assert kept.default

    chat = visit(server.url)
    open_settings(chat)
    expect(chat.locator("#preset input")).to_have_value("Cold and short")
    expect(chat.locator("#max-tokens input[type=number]")).to_have_value("24")
    ask(chat, "Who dug the harbour?")
    written = server.log.turn(turn_of(chat)).settings
    assert values_of(written) == values_of(kept.settings)
    chat.close()


def test_two_presets_are_compared_field_by_field(fresh: Page):
    make(fresh, "Warm", temperature="1.5")
    field(fresh, "history").fill("3")
    fresh.locator("#compare-with").select_option(OWN)
    table = fresh.get_by_role("region", name="Comparison").get_by_role("table")
    expect(table).to_contain_text("2 of 10 settings differ")
    expect(table).to_contain_text("Warm, with your changes")
    differing = table.locator("tr.differs")
    assert differing.locator("th").all_text_contents() == ["Temperature", "Earlier exchanges"]
    assert differing.first.locator("td").all_text_contents() == ["1.5", "0.6", "differs"]


@pytest.mark.slow
def test_a_template_shows_its_prompt_token_by_token(fresh: Page, server: Server):
    page = fresh
    expect(page.locator(".warning")).to_be_hidden()
    field(page, "history").fill("0")
    expect(page.locator(".piece")).to_have_count(1)
    page.locator("#sample").fill("Who dug it?")
    field(page, "template").fill("Answer briefly.\nQ: {message}\nA:")
    expect(page.locator(".piece p")).to_have_text("Answer briefly.\nQ: Who dug it?\nA:")
    assert page.locator(".piece .token").all_text_contents() == [
        "Answer", " briefly.", "\nQ:", " Who", " dug", " it?", "\nA:",
    ]  # fmt: skip
    expect(page.locator(".count")).to_contain_text(
        "Prompt: 64 of 2,048 tokens, 7 of text and 57 of padding."
    )
    expect(page.locator(".counted[aria-live]")).to_contain_text("7 of text")
    expect(page.locator(".warning")).to_be_visible()

    field(page, "template").fill("Q: {question}")
    expect(page.locator("#problem-template")).to_contain_text("{question}")
    field(page, "template").fill("Q: {message}\nA:")
    expect(page.locator("#problem-template")).to_be_empty()
    make(page, "Other words")
    (kept,) = server.log.presets()
    assert kept.settings.template == "Q: {message}\nA:"

    page.get_by_role("button", name="Reset to the model’s own").click()
    page.get_by_role("button", name="Save changes").click()
    expect(page.locator(".saved")).to_have_text("Saved.")
    (kept,) = server.log.presets()
    assert kept.settings.template == ""


def test_markup_in_cards_names_templates_and_messages_is_text(fresh: Page):
    page = fresh
    page.locator("#sample").fill(MARKUP)
    template = f"{MARKUP}\n{{message}}\nA:"
    make(page, "<img src=x onerror=alert(3)>", template=template, history="0")
    expect(page.locator(".piece")).to_have_count(1)
    expect(page.locator(".piece p")).to_have_text(f"{MARKUP}\n{MARKUP}\nA:")
    page.locator("#compare-with").select_option(OWN)
    expect(page.locator(".comparison table")).to_contain_text(MARKUP)
    expect(page.locator(".about td", has_text="CC0")).to_be_visible()
    assert page.locator(".about").text_content().count(MARKUP) == 5  # type: ignore[union-attr]
    assert page.locator(".runs :is(img, script, b):not(.hint b)").count() == 0


@pytest.mark.slow
def test_the_card_is_there_before_the_model_and_the_prompt_comes_with_it(
    fresh: Page, server: Server, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(server.application, "_turns", None)
        patch.setattr(server.application, "engine", None)
        patch.setattr(server.application, "status", Status("loading", "Reading", 3, 10))
        fresh.reload()
        expect(fresh.locator(".stage")).to_have_text("Reading (3 of 10) …")
        expect(fresh.locator(".weakness")).to_have_text(CARD["note"])
        expect(fresh.locator(".count")).to_contain_text("when the model is ready")
    expect(fresh.locator(".stage")).to_be_hidden()
    expect(fresh.locator(".pieces .piece").last).to_be_visible()


def test_a_phone_needs_no_sideways_scrolling(runs: Page):
    runs.set_viewport_size({"width": 390, "height": 844})
    try:
        assert runs.evaluate("document.documentElement.scrollWidth") <= 390
        expect(runs.locator(".about summary").last).to_be_visible()
    finally:
        runs.set_viewport_size({"width": 1280, "height": 800})
