"""The corpus page: documents listed, added by dropping files, searched, looked at, removed."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from app.compose import Application, Status
from app.settings import Options
from app.ui.catalogue import ROWS
from engine.protocol import ChunkEvent, DoneEvent, Reply
from tests.e2e.conftest import Server
from tests.e2e.corpus import (
    Gate,
    dismiss,
    drop,
    fill_filter,
    job,
    listed,
    remove,
    rows,
    search,
)
from tests.shelf import document
from tests.terminal import ARTICLES

if TYPE_CHECKING:  # it brings faiss and more
    from app.passages import Passages

FERRY = "The ferry crosses the strait at noon and carries sheep, letters and the doctor. "
PAYLOAD = '<img src=x onerror="alert(1)"> <script>alert(2)</script> ![x](http://a.invalid/i.png)'
STYLE = "<style>* { display: none }</style> [x](javascript:alert(3)) {{value}} ${value} 🌊"


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate()


@pytest.fixture(scope="module")
def passages(tokenizer, library: Path, gate: Gate, tmp_path_factory) -> "Passages":
    from app.passages import Passages

    options = Options(tmp_path_factory.mktemp("corpus"), Path("no weights"), library)
    passages = Passages.prepare(options, gate, tokenizer, lambda done, total: None)
    passages.add([document(f"number {i:02}", f"Text {i} of many.") for i in range(ROWS)])
    return passages


@pytest.fixture(scope="module")
def application(server: Server, passages: "Passages", toy_turn) -> Iterator[Application]:
    """The application with passages, one of which has been shown three times."""
    shown = tuple(passages.retrieve("Why does bread rise?", 1))
    events = [ChunkEvent(i, "q", shown, 0.0) for i in range(3)]
    turn = toy_turn(reply=Reply.of([*events, DoneEvent("stop", 1, {})]))
    server.log.save(turn)
    server.application.passages = passages
    yield server.application
    server.application.passages = None
    server.log.delete_conversation(turn.conversation)


@pytest.fixture(scope="module")
def corpus(visit: Callable[..., Page], server: Server, application) -> Iterator[Page]:
    """The corpus page, reached as a person does."""
    page = visit(server.url)
    page.get_by_role("link", name="Corpus").click()
    expect(rows(page).first).to_be_visible()
    yield page
    page.close()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.ingest.BLOCK", 4)


# ----- the list


def test_documents_are_listed_filtered_sorted_and_paged(corpus):
    total = len(ARTICLES) + ROWS
    expect(corpus.locator(".documents .count")).to_contain_text(f"{total} documents")
    expect(rows(corpus)).to_have_count(ROWS)
    corpus.get_by_role("button", name="Page after").click()
    expect(rows(corpus)).to_have_count(len(ARTICLES))
    corpus.get_by_role("button", name="Shown").click()
    expect(rows(corpus).first).to_contain_text("Bread")
    expect(rows(corpus).first.locator(".number").last).to_have_text("3")
    expect(corpus.locator("th[data-sort=shown]")).to_have_attribute("aria-sort", "descending")
    fill_filter(corpus, "village heron")
    expect(listed(corpus)).to_have_text(["Heron"])
    expect(corpus.locator(".documents .count")).to_have_text(f"1 of {total} documents")
    fill_filter(corpus, "nowhere")
    expect(corpus.locator(".documents .empty")).to_contain_text("No document has these words")
    fill_filter(corpus, "")
    corpus.get_by_role("button", name="Title").click()
    expect(listed(corpus).first).to_have_text("Bread")


# ----- one document


def test_a_document_opens_by_keyboard_with_numbered_passages_and_has_an_address(corpus):
    fill_filter(corpus, "harbour")
    expect(listed(corpus)).to_have_count(1)
    listed(corpus).first.focus()
    corpus.keyboard.press("Enter")
    dialog = corpus.get_by_role("dialog", name="Harbour")
    expect(dialog).to_be_visible()
    parts = dialog.locator(".passages section")
    assert "".join(parts.locator("p").all_text_contents()).strip() == ARTICLES["Harbour"]
    assert parts.locator(".number").all_text_contents() == [
        str(i + 1) for i in range(parts.count())
    ]
    dialog.get_by_role("link", name="Passage 2").click()
    expect(parts.nth(1)).to_have_attribute("aria-current", "true")
    address = corpus.url
    assert "document=" in address and "passage=2" in address
    corpus.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(listed(corpus).first).to_be_focused()
    expect(corpus).not_to_have_url(re.compile("document="))
    corpus.goto(address)
    expect(parts.nth(1)).to_have_attribute("aria-current", "true")
    corpus.keyboard.press("Escape")
    corpus.goto(address.replace("document=", "document=9999"))
    expect(corpus.locator(".documents .problem")).to_contain_text("This document is gone")
    fill_filter(corpus, "")


# ----- searching


def test_a_search_shows_both_lists_and_what_the_model_would_be_shown(corpus, passages):
    search(corpus, "Why does bread rise in the oven?")
    shown = passages.retrieve("Why does bread rise in the oven?", 2)
    titles = corpus.locator(".found .shown .open")
    expect(titles).to_have_text([n.title for n in shown])
    first = corpus.locator(".found .shown li").first
    assert first.locator(".text p").first.text_content() == shown[0].text
    near = corpus.locator(".found .dense li").first
    expect(near.locator(".measure")).to_contain_text("distance")
    expect(corpus.locator(".found .lexical li").first.locator(".measure")).to_contain_text("BM25")
    expect(corpus.locator(".found .words")).to_contain_text("bread, rise, oven")
    expect(corpus.locator(".found .lists .badge").first).to_have_text("shown 1st")
    titles.first.click()
    expect(corpus.get_by_role("dialog", name="Bread").locator("[aria-current]")).to_have_count(1)
    corpus.keyboard.press("Escape")


# ----- adding


def test_a_dropped_file_is_found_by_the_next_reply_and_removed_again(corpus, passages):
    drop(corpus, ferry_txt=FERRY * 20, photo_txt="\0PNG")
    expect(job(corpus)).to_have_text("Added")
    expect(corpus.locator(".job .detail")).to_contain_text("1 document with")
    corpus.locator(".skipped summary").click()
    expect(corpus.locator(".skipped li")).to_contain_text(["photo.txtthis is not text"])
    assert passages.retrieve("ferry with sheep and letters", 1)[0].title == "ferry"
    dismiss(corpus)

    fill_filter(corpus, "ferry")
    expect(rows(corpus)).to_contain_text(["uploaded · ferry.txt"])
    listed(corpus).first.click()
    expect(corpus.locator("dialog.document .provenance")).to_contain_text("Nobody has checked")
    expect(corpus.locator("dialog.document h2")).to_be_focused()  # it is open, and Escape closes it
    corpus.keyboard.press("Escape")
    expect(corpus.locator("dialog.document")).to_be_hidden()
    search(corpus, "ferry with sheep and letters")
    corpus.get_by_role("button", name="Remove ferry").click()
    corpus.locator("dialog.confirm").get_by_role("button", name="Keep").click()
    expect(rows(corpus)).to_have_count(1)
    remove(corpus, "ferry")
    expect(rows(corpus)).to_have_count(0)
    expect(corpus.locator(".found .open", has_text="ferry")).to_have_count(0)
    found = passages.retrieve("ferry with sheep and letters", 99)
    assert found and all(n.title != "ferry" for n in found)
    fill_filter(corpus, "")


@pytest.mark.slow
def test_an_upload_is_followed_through_a_reload_cancelled_resumed_and_discarded(
    corpus, passages, gate
):
    gate.open.clear()
    drop(corpus, slow_md=f"# Slow ferry\n\n{FERRY * 30}")
    expect(job(corpus)).to_contain_text("Making the keys")
    expect(corpus.get_by_role("button", name="Choose files")).to_be_disabled()
    corpus.reload()
    expect(job(corpus)).to_contain_text("Making the keys")
    corpus.get_by_role("button", name="Cancel").click()
    expect(corpus.get_by_role("button", name="Cancelling …")).to_be_disabled()
    gate.open.set()
    expect(job(corpus)).to_have_text("Cancelled")
    assert all(e.title != "Slow ferry" for e in passages.documents())
    corpus.get_by_role("button", name="Resume").click()
    expect(job(corpus)).to_have_text("Added")
    assert passages.retrieve("ferry with sheep", 1)[0].title == "Slow ferry"
    dismiss(corpus)

    gate.open.clear()
    drop(corpus, other_md=f"# Other ferry\n\n{FERRY * 31}")
    corpus.get_by_role("button", name="Cancel").click()
    gate.open.set()
    corpus.get_by_role("button", name="Discard").click()
    expect(corpus.locator(".job")).to_be_hidden()
    expect(corpus.get_by_role("button", name="Choose files")).to_be_enabled()
    assert all(e.title != "Other ferry" for e in passages.documents())


def test_files_that_are_not_taken_are_named_with_the_limit_and_not_sent(corpus, application):
    sent = []
    corpus.on("request", lambda request: sent.append(request.url))
    drop(corpus, film_mp4="0")
    problem = corpus.locator(".adding .problem")
    expect(problem).to_contain_text("“film.mp4” is not read; expected .txt, .md, .html")
    drop(corpus, **{f"n{i}_txt": "0" for i in range(201)})
    expect(problem).to_contain_text("201 files are too many at a time; give up to 200")
    assert not any("upload" in url for url in sent)
    assert application.jobs.state is None


def test_markup_in_names_titles_and_texts_is_inert(corpus, passages):
    name = f"{PAYLOAD[:40].replace('/', '')}.md"
    text = f"---\ntitle: {PAYLOAD}\ntopic: {STYLE}\n---\n\n{PAYLOAD}\n\n{STYLE} quagga\n"
    drop(corpus, **{name.replace(".", "_"): text, f"{PAYLOAD[:30]}_txt": "\0"})
    expect(job(corpus)).to_have_text("Added")
    corpus.locator(".skipped summary").click()
    expect(corpus.locator(".skipped li")).to_contain_text(["<img src=x onerror"])
    fill_filter(corpus, "onerror")
    expect(listed(corpus)).to_have_text([PAYLOAD])
    expect(rows(corpus).locator(".origin")).to_contain_text(["{{value}} ${value} 🌊"])
    search(corpus, "quagga alert onerror")
    expect(corpus.locator(".found .shown .open").first).to_have_text(PAYLOAD)
    listed(corpus).first.click()
    dialog = corpus.locator("dialog.document")
    expect(dialog.locator("h2")).to_have_text(PAYLOAD)
    assert "".join(dialog.locator(".passages p").all_text_contents()).startswith(PAYLOAD)
    assert corpus.locator("#corpus :is(img, script, style, iframe)").count() == 0
    dialog.get_by_role("button", name="Remove").click()
    expect(corpus.locator("dialog.confirm h2")).to_have_text(f"Remove “{PAYLOAD}”?")
    corpus.locator("dialog.confirm").get_by_role("button", name="Remove").click()
    expect(rows(corpus)).to_have_count(0)
    dismiss(corpus)
    fill_filter(corpus, "")


# ----- the page itself


def test_while_the_model_loads_the_page_says_so_and_then_goes_on_by_itself(
    corpus, application, passages
):
    ready = application.status
    application.passages = None
    application.status = Status("loading", "Opening the passages", 1, 4)
    corpus.reload()
    expect(corpus.locator(".banner")).to_contain_text("Opening the passages (25 %)")
    expect(corpus.locator(".corpus .ready")).to_be_hidden()
    application.passages, application.status = passages, ready
    expect(rows(corpus).first).to_be_visible()
    expect(corpus.locator(".banner")).to_be_hidden()


def test_where_there_are_no_passages_nothing_is_offered_and_it_is_said_why(corpus, application):
    kept, application.passages = application.passages, None
    corpus.reload()
    expect(corpus.locator(".banner")).to_contain_text("started without passages")
    expect(corpus.locator(".corpus .ready")).to_be_hidden()
    application.passages = kept
    corpus.reload()
    expect(rows(corpus).first).to_be_visible()


def test_on_a_phone_nothing_is_wider_than_the_screen(corpus):
    corpus.set_viewport_size({"width": 390, "height": 844})
    search(corpus, "Why does bread rise?")
    assert corpus.evaluate("document.documentElement.scrollWidth") <= 390
    listed(corpus).first.click()
    expect(corpus.locator("dialog.document section").first).to_be_visible()
    box = corpus.locator("dialog.document").bounding_box()
    assert box is not None and box["width"] <= 390 and box["height"] <= 844
    corpus.keyboard.press("Escape")
    corpus.set_viewport_size({"width": 1280, "height": 800})
