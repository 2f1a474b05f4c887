"""What happens on the page, without a page: asking, stopping, reopening, forking."""

import html
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.compose import Application, NotReady
from app.records import Settings
from app.store.connection import LogError
from app.turn import BadMessage
from app.ui.desk import Busy, Desk, Place, View
from app.ui.transcript import escape, unescape
from engine.protocol import Sampling
from tests.e2e.scripted import ScriptedEngine, passage

SETTINGS = Settings(Sampling(seed=5))
NOWHERE = Place()


@pytest.fixture
def application(log) -> Application:
    application = Application(log, SETTINGS)
    application.attach(ScriptedEngine(), lambda query, k: [passage(0)])
    return application


@pytest.fixture
def desk(application: Application) -> Desk:
    return Desk(application)


def reply(desk: Desk, message: str, place: Place = NOWHERE, index: int | None = None) -> View:
    desk.accept("page", message, SETTINGS, place, index)
    *_, last = desk.write("page")
    return last


def begin(desk: Desk, message: str, session: str = "page") -> tuple[View, Iterator[View]]:
    """Asks and takes views until the reply has text."""
    desk.accept(session, message, SETTINGS, Place())
    views = desk.write(session)
    return next(view for view in views if len(view.messages) == 2), views


def test_views_end_with_what_the_log_has(desk: Desk, application: Application):
    desk.accept("page", "Who dug the harbour?", SETTINGS, Place())
    *growing, last = desk.write("page")
    assert growing and all(view.busy for view in growing) and not last.busy
    turn = application.log.turn(last.place.turns[0])
    assert last.messages[1]["content"] == escape(turn.reply.text)
    assert last.status == "Reply complete." and last.unsaved == ""
    assert desk.open(last.place.conversation).messages == last.messages


def test_the_inspector_changes_only_where_a_chunk_begins(desk: Desk):
    desk.accept("page", "Who dug the harbour?", SETTINGS, Place())
    *growing, last = desk.write("page")
    sizes = [len(v.inspector["shown"]["chunks"]) for v in growing if v.inspector is not None]
    assert sizes == [1, 2, 3, 4]
    assert last.inspector is not None and not last.inspector["shown"]["running"]


def test_a_stopped_reply_is_shown_from_the_log(desk: Desk, application: Application):
    _, views = begin(desk, "slow story")
    assert desk.stop("page") is None
    *_, last = views
    turn = application.log.turn(last.place.turns[0])
    assert turn.finish == "stopped" and last.status == "Stopped by you."
    assert last.messages[1]["content"] == escape(turn.reply.text) != ""


def test_a_closed_page_saves_what_was_written(desk: Desk, application: Application):
    view, views = begin(desk, "slow story")
    views.close()  # type: ignore[attr-defined]  # as gradio does when the page is closed
    assert application.log.turn(view.place.turns[0]).finish == "stopped"
    reply(desk, "The page can be used again")


def test_a_message_that_waits_can_be_taken_back(desk: Desk, application: Application):
    desk.accept("page", "Not yet begun", SETTINGS, Place())
    view = desk.stop("page")
    assert view is not None and view.give_back == "Not yet begun"
    assert list(desk.write("page")) == []
    assert application.log.conversations() == ()


def test_a_page_has_one_reply_under_way(desk: Desk):
    _, views = begin(desk, "slow story")
    with pytest.raises(Busy, match="still being written"):
        desk.accept("page", "Another", SETTINGS, Place())
    desk.stop("page")
    list(views)


def test_two_pages_do_not_mix(desk: Desk):
    first, second = reply(desk, "Who dug the harbour?"), reply(desk, "mute reply")
    assert first.place.conversation != second.place.conversation
    assert second.messages[0]["content"] == "mute reply"


def test_a_retry_and_an_edit_are_siblings(desk: Desk, application: Application):
    view = reply(desk, "Who dug the harbour?")
    view = reply(desk, "And then?", view.place)
    retried = reply(desk, "And then?", view.place, index=1)
    assert retried.place.turns[0] == view.place.turns[0]
    assert application.log.siblings(retried.place.turns[1]) == (
        view.place.turns[1],
        retried.place.turns[1],
    )
    edited = reply(desk, "Who dug it?", retried.place, index=0)
    assert len(edited.place.turns) == 1
    assert application.log.siblings(edited.place.turns[0])[0] == view.place.turns[0]
    old = desk.open(view.place.conversation, view.place.turns[1])
    assert old.place == view.place


def test_a_prompt_too_long_gives_the_message_back(desk: Desk, application: Application):
    last = reply(desk, "word " * 3000)
    assert last.give_back == ("word " * 3000).strip() and "this model 2047" in last.status
    assert application.log.conversations() == ()


def test_nothing_is_accepted_before_the_model_is_ready(log):
    with pytest.raises(NotReady, match="try again"):
        Desk(Application(log, SETTINGS)).accept("page", "Hello", SETTINGS, Place())


def test_an_empty_message_is_refused(desk: Desk):
    with pytest.raises(BadMessage, match="empty"):
        desk.accept("page", " \n", SETTINGS, Place())


def test_a_turn_that_cannot_be_saved_is_shown_from_memory(
    desk: Desk, application: Application, monkeypatch: pytest.MonkeyPatch
):
    def full(*_):
        raise LogError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(application.log, "save", full)
        last = reply(desk, "loop please")
    assert last.unsaved == "the disk is full"
    assert "the heron" in last.messages[1]["content"]
    assert last.inspector is not None and last.inspector["shown"]["findings"]
    assert application.turns.save_waiting() == ""
    assert application.log.findings(last.place.turns[0])


def test_a_conversation_that_is_written_to_is_not_deleted(desk: Desk):
    view, views = begin(desk, "slow story")
    assert view.place.conversation is not None
    with pytest.raises(Busy):
        desk.delete(view.place.conversation)
    desk.stop("page")
    list(views)
    desk.delete(view.place.conversation)
    with pytest.raises(LogError, match="there is no conversation"):
        desk.open(view.place.conversation)


def test_the_list_says_how_many_are_left_out(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.ui.desk.SHOWN_CONVERSATIONS", 1)
    for message in ("mute one", "mute two"):
        last = reply(desk, message)
    listed = desk.conversations("", last.place)
    assert [item["title"] for item in listed["items"]] == ["mute two"]
    assert listed["left"] == 1 and listed["selected"] == last.place.conversation


# ----- the transcript's text


class _Seen(HTMLParser):
    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.text, self.markup = "", []
        self.feed(text)
        self.close()

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.markup.append(tag)

    def handle_endtag(self, tag):
        self.markup.append(tag)

    def handle_comment(self, data):
        self.markup.append(data)

    def handle_decl(self, decl):
        self.markup.append(decl)

    handle_pi = unknown_decl = handle_comment


PIECES = (
    "<", ">", "&", "b", "/", "!", "?", "amp;", "#60;", "lt;", '"', "src=", "/file", " ", "🌊",
    "<img src=x>", "&amp;", "&lt;", "&quot;",
)  # fmt: skip
messages = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    st.lists(st.sampled_from(PIECES)).map("".join),
)


@given(messages)
def test_escaped_text_reads_as_it_was_typed(text: str):
    seen = _Seen(escape(text))
    assert (seen.text, seen.markup) == (text, [])
    assert html.unescape(escape(text)) == text
    assert unescape(escape(text)) == text


def test_text_without_markup_is_left_alone():
    text = "3 < 4 & 5 > 2; R & D, a/b <3"
    assert escape(text) == text
