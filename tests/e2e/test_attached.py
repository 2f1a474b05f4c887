"""The chat page with the model of a server: connecting, a reply with its passages, lost, back."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.attached import Watch
from app.compose import Status, take_card
from app.passages import Passages
from app.settings import Options
from engine.remote import RemoteEngine
from tests.attached import KEY, Loopback, serve
from tests.bag import BagEmbedder
from tests.e2e.acting import ask
from tests.e2e.conftest import Server

CARD = {"note": "A toy that knows nothing.", "defaults": {"max_tokens": 20}}


@pytest.fixture
def served(tiny) -> Iterator[Loopback]:
    server = serve(tiny, CARD)
    yield server
    server.stop()


@pytest.fixture
def page_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, ready=False)
    yield server
    server.stop()


@pytest.mark.slow
def test_a_page_talks_with_the_model_of_a_server(
    visit: Callable[..., Page], page_server: Server, served: Loopback, tiny, stocked: Path,
    library: Path, tmp_path: Path,
):  # fmt: skip
    application = page_server.application
    take_card(application, CARD)
    application.status = Status("loading", f"Connecting to {served.url}")
    page = visit(page_server.url)
    expect(page.locator("#loading")).to_contain_text(f"Connecting to {served.url}")

    options = Options(tmp_path, tmp_path / "none", library)
    shutil.copytree(stocked, options.passages)
    engine = RemoteEngine(served.url, KEY)
    passages = Passages(options, BagEmbedder(), engine.tokenizer)
    engine.use(passages.retrieve)
    application.attach(
        engine, passages.retrieve, passages.fingerprint, passages, engine.tokenizer.encode_offsets
    )
    watch = Watch(application, engine)
    expect(page.locator("#note")).to_contain_text(
        f"tiny, {tiny.info.parameters / 1000:.3g} thousand"
    )
    expect(page.locator("#note")).to_contain_text(f"at {served.url}")
    expect(page.locator("#note")).to_contain_text(tiny.info.note)
    expect(page.locator("#loading .notice")).to_be_hidden()

    ask(page, "When was the harbour dug?")
    expect(page.locator("#inspector")).to_contain_text("Harbour")
    expect(page.locator(".ribbon .helped, .ribbon .hurt, .ribbon .level")).to_have_count(3)
    expect(page.locator("#inspector")).to_contain_text("All passages together made")
    (conversation,) = application.log.conversations()
    (turn,) = application.log.turns(conversation.id)
    assert turn.model == tiny.info
    assert turn.reply.chunks[0].neighbours[0].title == "Harbour"

    served.stop()
    watch.look()
    expect(page.locator("#loading [role=alert]")).to_contain_text("is lost")
    again = serve(tiny, CARD, served.port)
    watch.look()
    expect(page.locator("#loading [role=status]")).to_contain_text(
        f"Connected again to {served.url}"
    )
    ask(page, "Why does bread rise?")
    expect(page.locator("#status")).not_to_contain_text("Not sent")
    again.stop()
    engine.close()
    page.close()
