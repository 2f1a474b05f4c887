"""The first minute: something to read and to try before the model is ready."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from playwright.sync_api import Page, expect

from app.compose import Status
from app.export import Exchange
from app.records import Turn
from app.ui.example import LABEL, QUESTIONS, Example
from retrieval.manifest import Manifest
from tests.e2e.acting import expect_idle
from tests.e2e.conftest import Server


def stored(toy_turn: Callable[..., Turn]) -> Example:
    """A turn as the program may come with it."""
    return Example(Exchange(toy_turn("first " * 64 + "second " * 40)))


def test_a_stored_example_is_inspected_while_the_model_loads_and_makes_way_for_a_reply(
    visit: Callable[..., Page], tmp_path: Path, toy_turn: Callable[..., Turn]
):
    server = Server(tmp_path, ready=False, example=stored(toy_turn))
    server.application.status = Status("loading", "Compiling the model", 0, 0)
    page = visit(server.url)
    expect(page.locator("#loading")).to_contain_text("Compiling the model")
    inspector = page.locator(".inspector")
    expect(inspector).to_contain_text(LABEL)
    expect(inspector.locator(".sample .asked")).to_have_text("When was the harbour dug?")
    expect(inspector.locator(".card")).to_have_count(2)
    expect(page.locator("#chat .example")).to_have_count(4)
    assert "turn=" not in page.url

    sample = inspector.locator(".sample .reply")
    box = sample.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] - 6)  # its last line
    expect(page.locator(".ribbon [aria-pressed=true]")).to_have_text("2")
    page.locator("#inspector-tokens-tab").click()
    expect(page.locator("#inspector-tokens")).to_contain_text("second")

    server.finish_loading()
    expect(page.locator("#loading")).to_be_hidden()
    page.locator("#chat .example", has_text=QUESTIONS[0]).click()
    expect(page.locator("[data-testid=user]")).to_have_text(QUESTIONS[0])
    expect(page.locator("[data-testid=bot]")).to_contain_text("The old harbour")
    expect_idle(page)
    expect(sample).to_be_hidden()
    expect(inspector.locator(".total")).to_contain_text("All passages together")
    assert [c.turns for c in server.log.conversations()] == [1]  # the example is in no log

    server.application.passages = SimpleNamespace(  # type: ignore[assignment]
        manifest=Manifest(1, "e", "t", 8, documents=0, chunks=0, sha256="0")
    )
    page.reload()
    expect(page.locator("#loading")).to_contain_text("The library has no passages")
    page.get_by_role("link", name="Add documents").click()
    page.wait_for_url("**/corpus")
    page.close()
    server.stop()
