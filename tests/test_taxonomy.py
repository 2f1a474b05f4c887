import json
from collections import Counter
from collections.abc import Callable

from app.failures import quality
from app.failures.detectors import DETECTORS
from app.failures.taxonomy import RISKS, taxonomy, top_of
from app.records import Turn
from app.store.log import Log

RESERVED = set("axsunlgjk123?[]")  # of the queue view
LABELS = taxonomy().labels


def test_a_parent_stands_before_its_children():
    seen: set[str | None] = {None}
    for code, label in LABELS.items():
        assert label.parent in seen
        seen.add(code)


def test_a_code_says_its_parent():
    for code, label in LABELS.items():
        above = code.rpartition(".")[0]
        assert label.parent == (above if above in LABELS else None)


def test_every_kind_that_a_detector_can_find_is_a_label():
    measured = json.loads(quality.TABLE.read_text())["kinds"]
    assert set(measured) <= set(LABELS)
    assert {detector.kind.split(".")[0] for detector in DETECTORS} <= set(LABELS)


def test_the_risks_are_six_areas_and_twenty_one():
    risks = [code.split(".") for code in LABELS if code.startswith(f"{RISKS}.")]
    assert Counter(map(len, risks)) == {2: 6, 3: 21}
    per_area = Counter(parts[1] for parts in risks if len(parts) == 3)
    assert list(per_area.values()) == [4, 3, 3, 4, 3, 4]


def test_keys_are_single_and_free():
    keys = [label.key for label in LABELS.values() if label.key]
    assert len(keys) == len(set(keys))
    assert not set(keys) & RESERVED
    assert all(label.parent is None for label in LABELS.values() if label.key)


def test_related_labels_are_risks():
    for label in LABELS.values():
        assert all(code in LABELS and code.startswith(f"{RISKS}.") for code in label.related)


def test_every_label_has_words():
    assert all(label.title and label.meaning.endswith(".") for label in LABELS.values())


def test_the_top_of_a_label_has_no_parent():
    assert all(LABELS[top_of(code)].parent is None for code in LABELS)


def test_an_unknown_code_is_its_own_title():
    assert taxonomy().title("of.an.older.list") == "of.an.older.list"


def test_the_log_holds_the_labels_and_renews_their_words(log: Log, toy_turn: Callable[..., Turn]):
    with log.writing("making the words old") as db:
        db.execute("UPDATE labels SET title = 'old' WHERE code = 'wrong'")
        db.execute("INSERT INTO labels VALUES ('gone', NULL, 'Gone', 'Of an older list.')")
    Log(log.path).close()
    with log.reading("looking") as db:
        held = dict(db.execute("SELECT code, title FROM labels").fetchall())
    assert held == {code: label.title for code, label in LABELS.items()} | {"gone": "Gone"}
