"""What happens on the page, without a page: asking, stopping, reopening, forking, keeping."""

from collections.abc import Iterator

import pytest

from app.compose import Application, NotReady
from app.records import Settings
from app.store.connection import LogError
from app.turn import BadMessage
from app.ui.branches import Place
from app.ui.desk import Desk, View
from app.ui.example import Example
from app.ui.shelf import Shelf
from app.ui.transcript import escape
from app.ui.underway import Busy, Underway
from engine.protocol import Event, Request, Sampling, WaitEvent

SETTINGS = Settings(Sampling(seed=5))
NOWHERE = Place()


@pytest.fixture
def application(scripted: Application) -> Application:
    return scripted


@pytest.fixture
def underway() -> Underway:
    return Underway()


@pytest.fixture
def desk(application: Application, underway: Underway) -> Desk:
    return Desk(application, underway, Example())


@pytest.fixture
def shelf(log, underway: Underway) -> Shelf:
    return Shelf(log, underway)


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
        desk = Desk(Application(log, SETTINGS), Underway(), Example())
        desk.accept("page", "Hello", SETTINGS, Place())


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


def test_a_conversation_that_is_written_to_is_not_deleted(desk: Desk, shelf: Shelf):
    view, views = begin(desk, "slow story")
    assert view.place.conversation is not None
    with pytest.raises(Busy):
        shelf.delete(view.place.conversation)
    desk.stop("page")
    list(views)
    shelf.delete(view.place.conversation)
    with pytest.raises(LogError, match="there is no conversation"):
        desk.open(view.place.conversation)


def test_the_list_says_how_many_are_left_out(
    desk: Desk, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.ui.shelf.SHOWN", 1)
    for message in ("mute one", "mute two"):
        last = reply(desk, message)
    listed = shelf.conversations("", last.place)
    assert [item["title"] for item in listed["items"]] == ["mute two"]
    assert listed["left"] == 1 and listed["selected"] == last.place.conversation


def test_the_second_page_is_told_that_it_waits_for_the_first(desk: Desk):
    _, views = begin(desk, "slow story", session="first")
    waits = desk.accept("second", "Who dug the harbour?", SETTINGS, Place())
    assert waits.status == "Waiting for the reply that another page is having written to end …"
    desk.stop("first")
    list(views)
    *_, last = desk.write("second")
    assert last.status == "Reply complete."
    assert desk.accept("third", "Next", SETTINGS, Place()).status == "Waiting for the model …"


def test_a_reply_in_the_queue_says_how_many_are_before_it(
    desk: Desk, application: Application, monkeypatch: pytest.MonkeyPatch
):
    assert application.engine is not None
    write = application.engine.generate

    def queued(request: Request) -> Iterator[Event]:
        yield from (WaitEvent(2), WaitEvent(1), WaitEvent(0))
        yield from write(request)

    monkeypatch.setattr(application.engine, "generate", queued)
    desk.accept("page", "Who dug the harbour?", SETTINGS, Place())
    *growing, last = desk.write("page")
    status = [view.status for view in growing]
    waits = [i for i, words in enumerate(status) if words.startswith("Waiting")]
    assert [status[i] for i in waits] == [
        "Waiting for 2 replies before this one …",
        *["Waiting for 1 reply before this one …"] * 2,
    ]
    assert set(status[waits[-1] + 1 :]) == {"Writing …"}
    assert last.status == "Reply complete."


# ----- opening


def test_a_turn_is_found_by_its_id_alone(desk: Desk):
    first = reply(desk, "Who dug the harbour?")
    other = reply(desk, "Who dug it?", first.place, index=0)
    for wanted in (first.place, other.place):
        assert desk.open(None, wanted.turns[0]).place == wanted
        assert desk.open(wanted.conversation, wanted.turns[0]).place == wanted


def test_a_turn_in_the_middle_opens_its_branch_and_is_inspected(desk: Desk):
    first = reply(desk, "Who dug the harbour?")
    whole = reply(desk, "And then?", first.place)
    view = desk.open(None, first.place.turns[0])
    assert view.place == whole.place
    assert view.inspector is not None
    assert view.inspector["shown"]["turn"] == first.place.turns[0]


def test_a_deleted_turn_is_said_to_be_gone(desk: Desk, shelf: Shelf):
    view = reply(desk, "Who dug the harbour?")
    assert view.place.conversation is not None
    shelf.delete(view.place.conversation)
    with pytest.raises(LogError, match="it may have been deleted"):
        desk.open(None, view.place.turns[0])


def test_a_turn_is_not_looked_for_in_another_conversation(desk: Desk):
    first, second = reply(desk, "mute one"), reply(desk, "mute two")
    with pytest.raises(LogError, match="there is no turn"):
        desk.open(first.place.conversation, second.place.turns[0])


def test_a_title_is_given_and_kept(desk: Desk, shelf: Shelf):
    place = reply(desk, "Who dug the harbour?").place
    assert place.conversation is not None
    shelf.rename(place.conversation, "  Masons\nand more ")
    assert [item["title"] for item in shelf.conversations("", place)["items"]] == ["Masons"]
    with pytest.raises(LogError, match="has no conversation"):
        shelf.rename("nowhere", "x")
