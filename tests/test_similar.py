import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from app.records import DetectorRun, Finding, Turn
from app.similar import MANY, Similar, text_of
from app.store.cases import Case, Cases
from app.store.ids import new_id
from app.store.keys import Keys, Place
from app.store.log import Log
from app.store.marks import Marks
from tests.bag import BagEmbedder

Build = Callable[..., Turn]


def save(log: Log, toy_turn: Build, sentence: str, kind: str = "copy.neighbour") -> Case:
    """A turn with one finding, in the middle one of its sentences."""
    text = f"The day begins. {sentence} The day ends."
    start = text.index(sentence)
    found = Finding(kind, start, start + 4, text[start : start + 4], 1, 0.5, "info", "So.")
    turn = toy_turn(text, id=new_id())
    log.save(turn, [DetectorRun("copy", "1", "found", 0.1, (found,))])
    (case,) = Cases(log).of_turn(turn.id)
    return case


@pytest.fixture
def cases(log: Log, toy_turn: Build) -> list[Case]:
    sentences = ("Herons fish in the harbour.", "A heron may fish near the harbour.",
                 "Bread rises with yeast.", "Yeast makes the bread rise.")  # fmt: skip
    return [save(log, toy_turn, sentence) for sentence in sentences]


@pytest.fixture
def similar(log: Log) -> Similar:
    encoder = BagEmbedder()
    return Similar(log, lambda: encoder)


def test_the_nearest_sentence_of_another_reply_comes_first(cases: list[Case], similar: Similar):
    similar.near(cases[0])
    similar.wait(10)
    for case, twin in zip(cases, (1, 0, 3, 2), strict=True):
        near = similar.near(case)
        assert near and not near.waiting and near.compared == near.of == 4
        found = [other.id for other, _ in near.cases]
        assert found[0] == cases[twin].id and case.id not in found
        likeness = [value for _, value in near.cases]
        assert likeness == sorted(likeness, reverse=True) and all(-1 <= v <= 1 for v in likeness)


def test_nothing_is_encoded_while_somebody_waits(log: Log, cases: list[Case]):
    class Held(BagEmbedder):
        go = threading.Event()

        def __call__(self, texts: Sequence[str]) -> np.ndarray:
            assert self.go.wait(20)
            return super().__call__(texts)

    encoder = Held()
    similar = Similar(log, lambda: encoder)
    near = similar.near(cases[0])
    assert near and (near.waiting, near.compared, near.of) == (True, 0, 4)
    encoder.go.set()
    similar.wait(10)
    after = similar.near(cases[0])
    assert after and not after.waiting


def test_without_an_encoder_there_is_no_answer(log: Log, cases: list[Case]):
    assert Similar(log, lambda: None).near(cases[0]) is None


def test_the_case_that_is_asked_for_gets_its_key_before_all_others(log: Log, cases: list[Case]):
    keys = Keys(log, "x")
    newest_first = [case.id for case in reversed(cases)]
    assert [place.case for place in keys.missing([], 9)] == newest_first
    first = keys.missing([cases[0].id], 2)
    assert [place.case for place in first] == [cases[0].id, cases[-1].id]


def test_keys_are_kept_for_one_encoder_and_go_with_their_case(log: Log, cases: list[Case]):
    ids = [case.id for case in cases]
    old, new = Keys(log, "old"), Keys(log, "new")
    old.put(ids, np.eye(4, dtype=np.float32))
    assert old.counts() == (4, 4) and new.counts() == (0, 4)
    new.put([ids[0], "f999"], 3 * np.ones((2, 4), np.float32))
    assert old.counts() == (0, 4) and new.counts() == (1, 4)
    found, matrix = new.all()
    assert found == [ids[0]] and np.allclose(matrix, 0.5)
    log.delete_conversation("toy")
    assert new.counts() == (0, 0) and new.all()[0] == []


def test_what_people_marked_is_compared_as_well(log: Log, cases: list[Case], similar: Similar):
    made = Marks(log).annotate(cases[2].turn, "Ada", "wrong", (16, 20))
    similar.near(cases[3])
    similar.wait(10)
    near = similar.near(cases[3])
    assert near and f"a{made.id}" in [case.id for case, _ in near.cases[:2]]
    assert len(near.cases) <= MANY


def test_a_damaged_encoder_is_told_in_the_log_alone(
    log: Log, cases: list[Case], caplog: pytest.LogCaptureFixture
):
    class Broken(BagEmbedder):
        def __call__(self, texts: Sequence[str]) -> np.ndarray:
            raise ValueError("no")

    encoder = Broken()
    similar = Similar(log, lambda: encoder)
    near = similar.near(cases[0])
    similar.wait(10)
    assert near and near.waiting and "could not be made" in caplog.text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        ((0, 3), "One is here."),
        ((10, 15), "One is here. Two is there."),
        ((14, 14), "Two is there."),
        ((0, 26), "One is here. Two is there."),
    ],
)
def test_a_case_is_compared_by_the_sentences_it_lies_in(span: tuple[int, int], text: str):
    assert text_of(Place("f1", "One is here. Two is there.", *span)) == text


def test_a_case_without_a_sentence_is_compared_by_its_words():
    assert text_of(Place("f1", "```code```", 3, 7)) == "code"
    assert text_of(Place("f1", "", 0, 0)) == ""
