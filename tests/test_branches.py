"""Where a page is among the branches of a conversation."""

from collections.abc import Callable

import pytest

from app.records import Turn
from app.store.log import Log
from app.ui.branches import Place, branch_of, forks

Say = Callable[..., Turn]


@pytest.fixture
def say(log: Log, toy_turn: Callable[..., Turn]) -> Say:
    """Saves a turn and returns it."""

    def say(parent: Turn | None = None) -> Turn:
        log.save(turn := toy_turn(parent=parent and parent.id))
        return turn

    return say


def ids(turns: list[Turn]) -> list[str]:
    return [turn.id for turn in turns]


def test_a_retry_is_the_newest_branch(log: Log, say: Say):
    say()
    retry = say()
    assert ids(branch_of(log, "toy")) == [retry.id]


def test_a_reply_to_compare_does_not_take_the_place_of_the_branch(log: Log, say: Say):
    first = say()
    a, b, c = say(first), say(first), say(first)
    log.compare(a.id, b.id, "retrieval off")
    log.compare(b.id, c.id, "seed 2")
    assert ids(branch_of(log, "toy")) == [first.id, a.id]
    assert ids(branch_of(log, "toy", first.id)) == [first.id, a.id]
    assert ids(branch_of(log, "toy", b.id)) == [first.id, b.id]


def test_a_reply_to_compare_to_an_early_turn_does_not_hide_what_follows(log: Log, say: Say):
    first = say()
    second = say(first)
    log.compare(first.id, say().id, "retrieval off")
    assert ids(branch_of(log, "toy")) == [first.id, second.id]


def test_a_reply_to_compare_that_was_gone_on_from_is_a_branch_like_any(log: Log, say: Say):
    a, b = say(), say()
    log.compare(a.id, b.id, "retrieval off")
    after = say(b)
    assert ids(branch_of(log, "toy")) == [b.id, after.id]


def test_comparisons_in_a_circle_end(log: Log, say: Say):
    a, b = say(), say()
    log.compare(a.id, b.id, "one way")
    log.compare(b.id, a.id, "and back")
    assert len(branch_of(log, "toy")) == 1


def test_only_replies_with_others_beside_them_are_forks(log: Log, say: Say):
    first = say()
    a, b = say(first), say(first)
    log.compare(a.id, b.id, "retrieval off")
    found = forks(log, Place("toy", (first.id, b.id)))
    (fork,) = found["forks"]
    assert (found["replies"], found["last"]) == (2, b.id)
    assert (fork["reply"], fork["turn"], fork["versions"]) == (2, b.id, [a.id, b.id])
    assert [c["change"] for c in fork["compared"]] == ["retrieval off"]
    assert forks(log, Place("toy", (first.id,)))["forks"] == []
