"""app.ui.annotating: what the queue asks for, answered whatever it is."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.compose import Application
from app.failures.guidelines import guidelines
from app.failures.taxonomy import taxonomy
from app.records import DetectorRun, Finding, Settings, Turn
from app.store.log import Log
from app.ui.annotating import annotating
from app.ui.reading import Reading

TEXT = "The 🌊 harbour was dug."
FOUND = Finding("copy.neighbour", 6, 13, "harbour", 3.5, 3.0, "info", "It is long.", {"words": 9})
RUNS = (DetectorRun("copy", "1", "found", 0.002, (FOUND,)),)
CLEAN = (DetectorRun("copy", "1", "ok", 0.002),)
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def app(log: Log, toy_turn: Callable[..., Turn]) -> Application:
    """A log with two replies: "flagged" with one finding, and "clean"."""
    log.save(toy_turn(TEXT, id="flagged"), RUNS)
    log.save(toy_turn(TEXT, id="clean", parent="flagged"), CLEAN)
    return Application(log, Settings())


@pytest.fixture
def ask(app: Application) -> Ask:
    """`ask("open", turn="")`: by Ada, unless another is named; what must not fail does not."""
    served = {serve.__name__: serve for serve in annotating(app)}

    def ask(name: str, fails: bool = False, **fields: Any) -> dict[str, Any]:
        answer = served[name]({"annotator": "Ada", **fields})
        assert ("problem" in answer) == fails, answer
        json.dumps(answer, allow_nan=False)
        return answer

    return ask


@pytest.fixture
def mark(ask: Ask) -> Ask:
    """Marks the harbour as wrong, unless something else is given."""
    given = {"turn": "flagged", "label": "wrong", "start": 6, "end": 13, "quote": "harbour"}
    return lambda **fields: ask("mark", **{**given, "severity": 2, "note": "", **fields})


def reply(ask: Ask, turn: str = "flagged", blind: bool = False, **fields: Any) -> dict[str, Any]:
    return ask("open", turn=turn, blind=blind, **fields)["reply"]


# ----- what is shown


def test_labels_come_with_their_keys_and_the_guidelines(ask: Ask):
    told = ask("labels")
    assert [label["code"] for label in told["labels"]] == list(taxonomy().labels)
    keys = [label["key"] for label in told["labels"] if label["key"]]
    assert len(keys) == len(set(keys)) and not set(keys) & set("axsunlgjk123?[]")
    assert told["guidelines"]["version"] == guidelines().version == "1"
    assert all(
        s["heading"] and (s["points"] or s["paragraphs"]) for s in told["guidelines"]["sections"]
    )


def test_a_chosen_reply_comes_with_its_findings_and_passages(ask: Ask, app: Application):
    told = reply(ask)
    assert (told["text"], told["state"], told["hidden"]) == (TEXT, "open", False)
    (found,) = told["findings"]
    assert (found["start"], found["end"], found["quote"]) == (6, 13, "harbour")
    assert found["title"] == "Copied from a shown passage"
    assert found["evidence"] == {"words": 9} and found["ruling"] is None
    assert [len(chunk["cards"]) for chunk in told["chunks"]] == [2]
    assert "retrieval on, 2 passages a chunk" in told["facts"]
    review = app.marks.review("flagged", "Ada")
    assert review and (review.drawn, review.blind, review.state) == ("chosen", False, "open")


def test_the_queue_gives_its_replies_and_says_why_and_then_that_it_is_at_its_end(ask: Ask):
    seen = {}
    while told := reply(ask, ""):
        seen[told["turn"]] = told["why"]
        ask("close", turn=told["turn"], state="done" if told["findings"] else "skipped")
    assert "a detector found" in seen["flagged"] and "Drawn at random" in seen["clean"]
    assert ask("open", turn="", blind=False) == {
        "progress": {"done": 1, "skipped": 1, "total": 2}, "reply": None,
    }  # fmt: skip


def test_a_chosen_reply_without_a_finding_is_not_counted_in_the_queue(ask: Ask):
    reply(ask, "clean")
    ask("close", turn="clean", state="done")
    answer = ask("open", turn="", blind=False)
    assert answer["reply"]["turn"] == "flagged"
    assert answer["progress"] == {"done": 0, "skipped": 0, "total": 1}


def test_an_open_review_comes_up_again(ask: Ask):
    assert reply(ask, "")["turn"] == reply(ask, "")["turn"]


def test_a_skipped_reply_that_is_chosen_is_open_again(ask: Ask):
    reply(ask)
    ask("close", turn="flagged", state="skipped")
    answer = ask("open", turn="flagged", blind=False)
    assert answer["reply"]["state"] == "open" and answer["progress"]["skipped"] == 0


# ----- blind


def test_blind_nothing_tells_whether_there_are_findings(ask: Ask):
    first = reply(ask, "", blind=True)
    ask("close", turn=first["turn"], state="skipped")
    second = reply(ask, "", blind=True)
    assert {first["turn"], second["turn"]} == {"flagged", "clean"}
    apart = {"turn", "chunks", "facts"}
    assert {k: v for k, v in first.items() if k not in apart} == {
        k: v for k, v in second.items() if k not in apart
    }
    assert first["findings"] == [] and first["hidden"] and first["blind"]


def drawn_blind(ask: Ask) -> None:
    """Ada is at the flagged reply, blind."""
    while reply(ask, "", blind=True)["turn"] != "flagged":
        ask("close", turn="clean", state="done")


def test_what_is_marked_blind_is_so_until_the_review_is_done(ask: Ask, mark: Ask, app: Application):
    drawn_blind(ask)
    mark()
    ask("close", turn="flagged", state="done")
    told = reply(ask, blind=True)
    assert len(told["findings"]) == 1 and not told["hidden"] and "found something" in told["why"]
    mark(label="copy")
    assert [(a.label, a.blind) for a in app.marks.annotations("flagged")] == [
        ("wrong", True), ("copy", False),
    ]  # fmt: skip
    review = app.marks.review("flagged", "Ada")
    assert review and review.blind and review.drawn == "flagged"


@pytest.mark.parametrize("seen", ["unblinded", "linked", "ruled", "ruled before"])
def test_who_has_seen_the_findings_is_not_blind(ask: Ask, mark: Ask, app: Application, seen: str):
    finding = app.marks.findings("flagged")[0].id
    if seen == "ruled before":
        app.marks.rule(finding, "Ada", "accepted")
    drawn_blind(ask)
    if seen == "unblinded":
        reply(ask, "")
    elif seen == "linked":
        told = reply(ask, "flagged", blind=True)
        assert told["hidden"] and "does not count as blind" in told["why"]
    elif seen == "ruled":
        Reading(app).rule("flagged", finding, "Ada", "accepted")
    assert reply(ask, "", blind=True)["blind"] is False
    mark()
    assert not app.marks.annotations("flagged")[0].blind


def test_a_review_is_not_opened_again_by_what_a_page_sends(ask: Ask):
    reply(ask)
    for state in ("open", "", None, ["done"], 1):
        ask("close", fails=True, turn="flagged", state=state)


# ----- others


def test_what_others_say_is_hidden_until_ones_own_review_is_done(
    ask: Ask, mark: Ask, app: Application
):
    mark(annotator="Grace", note="secret")
    app.marks.rule(app.marks.findings("flagged")[0].id, "Grace", "rejected")
    mark(label="copy")
    told = reply(ask)
    assert [a["annotator"] for a in told["annotations"]] == ["Ada"]
    assert "Grace" not in json.dumps(told) and "secret" not in json.dumps(told)
    ask("close", turn="flagged", state="done")
    told = reply(ask)
    assert {(a["annotator"], a["mine"]) for a in told["annotations"]} == {
        ("Ada", True), ("Grace", False),
    }  # fmt: skip
    assert told["findings"][0]["others"] == [{"annotator": "Grace", "ruling": "rejected"}]
    assert told["findings"][0]["ruling"] is None


def test_another_ones_annotation_cannot_be_changed(ask: Ask, mark: Ask, app: Application):
    id = mark(annotator="Grace")["annotation"]["id"]
    assert "Grace's" in ask("revise", fails=True, id=id, severity=3)["problem"]
    assert "Grace's" in ask("withdraw", fails=True, id=id)["problem"]
    assert "Grace's" in ask("restore", fails=True, id=id, turn="flagged")["problem"]
    assert app.marks.annotations("flagged")[0].severity == 2


def test_an_annotator_is_known_by_the_name_as_it_is_kept(ask: Ask, mark: Ask, app: Application):
    mark(annotator="  Ada\n Lovelace ")
    assert reply(ask, annotator="Ada Lovelace")["annotations"][0]["mine"]
    for name in ("", " \n", "x" * 61):
        assert "name" in mark(annotator=name, fails=True)["problem"]
    assert app.marks.annotators() == ("Ada Lovelace",)


# ----- marking and taking back


def test_a_mark_is_revised_withdrawn_and_restored(ask: Ask, mark: Ask):
    old = mark()["annotation"]
    assert (old["start"], old["end"], old["quote"], old["title"]) == (6, 13, "harbour", "Wrong")
    new = ask("revise", id=old["id"], severity=3, note="why", label="copy")["annotation"]
    assert (new["severity"], new["note"], new["label"]) == (3, "why", "copy")
    ask("withdraw", id=new["id"])
    assert reply(ask)["annotations"] == []
    ask("restore", turn="flagged", id=new["id"])
    assert reply(ask)["annotations"] == [new]
    ask("restore", turn="flagged", id=old["id"])
    assert reply(ask)["annotations"] == [old]


def test_restoring_the_first_takes_back_all_that_came_after(ask: Ask, mark: Ask):
    first = mark()["annotation"]
    id = first["id"]
    for severity in (1, 2, 3):
        id = ask("revise", id=id, severity=severity)["annotation"]["id"]
    ask("restore", turn="flagged", id=first["id"])
    assert reply(ask)["annotations"] == [first]


def test_words_that_are_not_there_are_not_marked(mark: Ask, app: Application):
    problem = mark(fails=True, start=7, end=14)["problem"]
    assert "“arbour ”, not “harbour”" in problem and "load the reply again" in problem
    for start, end in ((0, 99), (-1, 4), (5, 4), (2**60, 2**60 + 1)):
        mark(fails=True, start=start, end=end)
    assert app.marks.annotations("flagged") == ()


def test_a_reply_that_is_being_written_is_not_reviewed(ask: Ask, app: Application, toy_turn):
    app.log.start(toy_turn(id="running", parent="flagged"))
    answer = ask("open", fails=True, turn="running", blind=False)
    assert "still being written" in answer["problem"]


# ----- findings and passages


def test_a_ruling_is_saved_changed_and_taken_back(ask: Ask, app: Application):
    id = reply(ask)["findings"][0]["id"]
    for ruling in ("accepted", "rejected", None):
        ask("rule", turn="flagged", finding=id, ruling=ruling)
        assert reply(ask)["findings"][0]["ruling"] == ruling
    ask("rule", fails=True, turn="flagged", finding=id, ruling="maybe")
    assert "no finding" in ask("rule", fails=True, turn="clean", finding=id, ruling=None)["problem"]


def test_a_verdict_is_this_annotators(ask: Ask, app: Application):
    app.log.judge("flagged", 0, 0, "not")
    app.log.judge("flagged", 0, 1, "not", "Grace")
    ask("judge", turn="flagged", chunk=0, rank=0, verdict="misleading")
    cards = reply(ask)["chunks"][0]["cards"]
    assert [card["verdict"] for card in cards] == ["misleading", None]
    ask("judge", turn="flagged", chunk=0, rank=0, verdict=None)
    assert {j.annotator for j in app.log.judgements("flagged")} == {"", "Grace"}
    for chunk, rank in ((9, 0), (0, 9), (-1, 0), (0, -1)):
        ask("judge", fails=True, turn="flagged", chunk=chunk, rank=rank, verdict="useful")


def test_the_chat_page_rules_by_name_and_sees_ones_own_rulings(ask: Ask, app: Application):
    reading = Reading(app)
    told = reading.inspect("flagged")["findings"][0]
    assert told["id"] == app.marks.findings("flagged")[0].id
    assert reading.rule("flagged", told["id"], " Ada ", "accepted") == {"ruling": "accepted"}
    assert reading.rulings("flagged", "Ada") == {"rulings": {f"{told['id']}": "accepted"}}
    assert reading.rulings("flagged", "Grace") == {"rulings": {}}
    assert "no finding" in reading.rule("clean", told["id"], "Ada", None)["problem"]
    assert "name" in reading.rule("flagged", told["id"], "", None)["problem"]
    assert "name" in reading.rulings("flagged", "")["problem"]
