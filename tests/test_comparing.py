"""Replies to compare, without a page: written beside another, opened again, voted on."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from app.changes import BadChange
from app.compose import Application, NotReady
from app.export import Exchange
from app.records import Preset, Settings, Turn
from app.store.connection import LogError
from app.ui.branches import Place
from app.ui.comparing import Comparing, Written
from app.ui.desk import Desk
from app.ui.drawer import compared
from app.ui.example import Example
from app.ui.underway import Busy, Underway
from engine.protocol import Reply, Sampling, TokenEvent

OFF = {"kind": "off"}
SLOW = "slow story"
SETTINGS = Settings(Sampling(seed=5))


@pytest.fixture
def underway() -> Underway:
    return Underway()


@pytest.fixture
def desk(scripted: Application, underway: Underway) -> Desk:
    return Desk(scripted, underway, Example())


@pytest.fixture
def comparing(scripted: Application, underway: Underway) -> Comparing:
    return Comparing(scripted, underway, Example())


@pytest.fixture
def ask(desk: Desk) -> Callable[[str], str]:
    """Asks and gives the id of the turn; a slow story is stopped soon."""

    def ask(message: str = "Who dug the harbour?") -> str:
        desk.accept("page", message, SETTINGS, Place())
        views = desk.write("page")
        if message == SLOW:
            next(view for view in views if len(view.messages) == 2)
            desk.stop("page")
        *_, last = views
        return last.place.turns[-1]

    return ask


def vary(comparing: Comparing, turn: str, change: object = OFF) -> Written:
    comparing.accept("page", turn, change)
    *_, last = comparing.write("page")
    return last


def test_the_other_reply_is_a_sibling_with_the_same_seed(
    comparing: Comparing, ask: Callable[[], str], scripted: Application
):
    a = scripted.log.turn(ask())
    last = vary(comparing, a.id)
    b = scripted.log.turn(last.drawer["b"]["turn"])
    assert scripted.log.siblings(a.id) == (a.id, b.id)
    assert b.settings == replace(a.settings, retrieve=False)
    assert b.settings.sampling.seed == 5 and b.reply.text != a.reply.text


def test_the_drawer_says_what_changed_and_where_the_replies_part(
    comparing: Comparing, ask: Callable[[], str]
):
    drawer = vary(comparing, ask()).drawer
    assert drawer["parting"] == (
        "They are the same for 6 tokens and part at token 7: “1411” in A, “1398” in B."
    )
    a, b = drawer["a"], drawer["b"]
    assert (a["heading"], b["heading"]) == ("as it was written", "retrieval off")
    assert [a["text"][slice(*span)] for span in a["marks"]] == ["1411", "storms"]
    assert [b["text"][slice(*span)] for span in b["marks"]] == ["1398", "gales"]
    assert a["text"][slice(*a["parting"])].strip() == "1411"
    assert b["ending"] == "complete" and not drawer["busy"]


def test_equal_replies_are_said_to_be_equal(comparing: Comparing, ask: Callable[[], str]):
    drawer = vary(comparing, ask(), {"kind": "seed", "seed": 6}).drawer
    assert drawer["parting"] == (
        "Both replies are the same: this change had no effect on the sampled text."
    )
    assert drawer["a"]["marks"] == drawer["b"]["marks"] == []


def test_a_reply_that_goes_on_where_the_other_ends_parts_at_the_end(toy_turn: Callable[..., Turn]):
    a, b = toy_turn("The harbour"), toy_turn("The harbour was dug.")
    assert compared(a, b, "more")["parting"].endswith("the end of the reply in A, “was” in B.")
    assert compared(a, b, "more")["a"]["parting"] is None


def test_a_first_token_of_spaces_is_named_in_words(toy_turn: Callable[..., Turn]):
    def reply(id: int, text: str) -> Reply:
        return Reply(text, (TokenEvent(id, text, -1.0, (), 0),), ())

    a, b = toy_turn(reply=reply(1, " \n")), toy_turn(reply=reply(2, "x"))
    assert compared(a, b, "")["parting"] == "They part at the first token: a space in A, “x” in B."


def test_views_grow_with_the_reply_and_share_an_opening(
    comparing: Comparing, ask: Callable[[], str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.ui.comparing.CLOCK", 0.0)
    turn = ask()
    begun = comparing.accept("page", turn, OFF)
    *growing, last = comparing.write("page")
    texts = [view.drawer["b"]["text"] for view in growing]
    assert len(texts) > 3 and all(b.startswith(a) for a, b in pairwise(texts))
    assert {view.drawer["opening"] for view in [begun, *growing, last]} == {begun.drawer["opening"]}
    assert all(view.busy and view.drawer["b"]["heading"] == "retrieval off" for view in growing)


def begin(comparing: Comparing, turn: str) -> Iterator[Written]:
    """Takes views until the other reply has text."""
    comparing.accept("page", turn, OFF)
    views = comparing.write("page")
    next(view for view in views if view.drawer["b"]["text"])
    return views


def test_a_stopped_reply_is_compared_as_far_as_it_goes(
    comparing: Comparing, ask: Callable[[str], str]
):
    views = begin(comparing, ask(SLOW))
    assert comparing.stop("page") is None
    *_, last = views
    assert last.drawer["b"]["ending"] == "stopped by you" and last.drawer["comparison"]


def test_closing_the_page_keeps_the_partial_reply_and_the_comparison(
    comparing: Comparing, ask: Callable[[str], str], scripted: Application
):
    turn = ask(SLOW)
    views = begin(comparing, turn)
    views.close()  # type: ignore[attr-defined]  # as gradio does when the page is closed
    (found,) = scripted.log.comparisons(turn)
    assert scripted.log.turn(found.b).finish == "stopped"
    assert vary(comparing, turn, {"kind": "random"}).drawer["problem"]  # the page is free again


def test_one_that_waits_can_be_taken_back(comparing: Comparing, ask: Callable[[], str]):
    comparing.accept("page", ask(), OFF)
    drawer = comparing.stop("page")
    assert drawer is not None and drawer["b"] is None
    assert "stopped before it began" in drawer["problem"]
    assert list(comparing.write("page")) == []


def test_a_page_has_one_reply_under_way_of_either_kind(
    comparing: Comparing, desk: Desk, ask: Callable[[], str]
):
    turn = ask()
    comparing.accept("page", turn, OFF)
    with pytest.raises(Busy, match="stop it first"):
        desk.accept("page", "Another", SETTINGS, Place())
    assert list(desk.write("page")) == []  # it is not the desk's to write
    comparing.stop("page")
    desk.accept("page", "Another", SETTINGS, Place())
    with pytest.raises(Busy, match="stop it first"):
        comparing.accept("page", turn, OFF)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kind": "seed", "seed": 5}, "exactly that"),
        ({"kind": "preset", "name": "nameless"}, "there is no preset “nameless”"),
        ({"kind": "sampling", "temperature": -1.0}, "temperature is -1"),
        ({"kind": "magic"}, "give one of"),
        ("off", "an object with a kind"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_before_it_waits(
    comparing: Comparing, ask: Callable[[], str], change: object, problem: str
):
    turn = ask()
    with pytest.raises(BadChange, match=problem):
        comparing.accept("page", turn, change)
    comparing.accept("page", turn, OFF)  # nothing is under way


def test_the_stored_example_is_not_written_again(
    scripted: Application, toy_turn: Callable[..., Turn]
):
    comparing = Comparing(scripted, Underway(), Example(Exchange(turn := toy_turn())))
    with pytest.raises(BadChange, match="ask its question yourself"):
        comparing.accept("page", turn.id, OFF)


def test_nothing_is_varied_before_the_model_is_ready(log, toy_turn: Callable[..., Turn]):
    log.save(turn := toy_turn())
    with pytest.raises(NotReady, match="try again"):
        Comparing(Application(log, SETTINGS), Underway(), Example()).accept("page", turn.id, OFF)


def test_a_reply_that_cannot_be_saved_is_compared_and_said_to_be_unsaved(
    comparing: Comparing, ask: Callable[[], str], scripted: Application, monkeypatch
):
    turn = ask()

    def full(*_):
        raise LogError("the disk is full")

    monkeypatch.setattr(scripted.log, "save", full)
    last = vary(comparing, turn)
    assert last.unsaved == "the disk is full"
    assert "1398" in last.drawer["b"]["text"] and not last.drawer["comparison"]


def test_a_vote_is_saved_and_taken_back(
    comparing: Comparing, ask: Callable[[], str], scripted: Application
):
    drawer = vary(comparing, turn := ask()).drawer
    assert comparing.vote(drawer, "b")["vote"] == "b"
    assert [c.vote for c in scripted.log.comparisons(turn)] == ["b"]
    assert comparing.vote(drawer, None)["vote"] is None
    assert [c.vote for c in scripted.log.comparisons(turn)] == [None]


def test_an_earlier_comparison_is_opened_again_from_either_side(
    comparing: Comparing, ask: Callable[[], str]
):
    turn = ask()
    first = comparing.vote(vary(comparing, turn).drawer, "a")
    second = vary(comparing, turn, {"kind": "seed", "seed": 6}).drawer
    assert [e["change"] for e in second["earlier"]] == ["retrieval off", "seed 6 instead of 5"]
    for side in ("a", "b"):
        again = comparing.recall(first["comparison"], first[side]["turn"])
        assert again["b"] == first["b"] and again["vote"] == "a"
        assert again["opening"] != first["opening"]
    with pytest.raises(LogError, match="there is no comparison"):
        comparing.recall("nowhere", turn)


def test_choosing_shows_the_reply_alone_with_the_presets(
    comparing: Comparing, ask: Callable[[], str], scripted: Application
):
    scripted.log.save_preset(Preset("careful", Settings()))
    drawer = comparing.choose(ask())
    assert drawer["b"] is None and drawer["presets"] == ["careful"]


def test_the_second_page_waits_for_the_first(
    comparing: Comparing, desk: Desk, ask: Callable[[str], str]
):
    views = begin(comparing, turn := ask(SLOW))
    other = comparing.accept("other", turn, OFF)
    assert "another page" in other.status and "another page" in other.drawer["parting"]
    comparing.stop("page")
    list(views)
