from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.failures.taxonomy import taxonomy, top_of
from app.records import Preset, Settings, Turn
from app.store.cases import BadFilter, Cases, Filter, Sort
from app.store.filters import ALL
from app.store.log import Log
from app.store.marks import Marks
from engine.protocol import Sampling
from tests.casebook import KINDS, LABELS, PEOPLE, WORDS, Told, fill, told

Build = Callable[..., Turn]


@pytest.fixture(scope="module")
def cases(shared_log: Log, toy_turn: Build) -> Cases:
    cases = Cases(shared_log)
    cases.turns = fill(shared_log, toy_turn)  # type: ignore[attr-defined]
    return cases


@pytest.fixture(scope="module")
def expected(cases: Cases, shared_log: Log) -> list[Told]:
    return told(shared_log, cases.turns)  # type: ignore[attr-defined]


def fits(case: Told, f: Filter, log: Log) -> bool:
    """The filter again, in plain words."""
    turn, settings = case.turn, case.turn.settings
    words = f.text.casefold().split()
    texts = [t.casefold().split() for t in (turn.message, turn.reply.text)]
    ways = {
        "": True,
        "off": not settings.retrieve,
        "on k2": settings.retrieve and settings.k == 2,
        "on t0.7": settings.retrieve and settings.sampling.temperature == 0.7,
    }
    drawn = {
        review.drawn for review in Cases(log).reviews(turn.id) if review.state == "done"
    }  # fmt: skip
    return (
        (not f.kind or f"{case.kind}.".startswith(f"{f.kind}."))
        and f.source in ("", case.source)
        and f.status in ("", case.status)
        and f.severity in ("", str(case.severity))
        and f.model in ("", turn.model.preset, turn.model.fingerprint[:8])
        and ways[f.preset]
        and (not f.since or turn.created[:10] >= f.since)
        and (not f.until or turn.created[:10] <= f.until)
        and (not f.annotator or f.annotator == case.annotator or f.annotator in case.ruled)
        and (not f.drawn or f.drawn in drawn)
        and (
            all(w in [*texts[0], *texts[1]] for w in words)
            or any(all(w in a.note for w in words) for a in Marks(log).annotations(turn.id))
        )
    )


def maybe(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(("", "", "", *values))


FILTERS = st.builds(
    Filter,
    kind=maybe("copy", "copy.neighbour", "unsupported", "wrong", "W", "W.I", "W.III.1", "nothing"),
    source=maybe("machine", "person"),
    status=maybe("open", "accepted", "rejected", "disputed", "marked"),
    severity=maybe("1", "2", "3"),
    model=maybe("small", "large", "a" * 8, "nothing"),
    preset=maybe("off", "on k2", "on t0.7"),
    text=maybe("heron", "lantern", "moon silt", "été", "nothing"),
    since=maybe("2026-11-02", "2026-11-04"),
    until=maybe("2026-11-04", "2026-11-05"),
    annotator=maybe(*PEOPLE, "nobody"),
    drawn=maybe("flagged", "sample"),
)


def ids(found: Iterator | list) -> list[str]:
    return [case.id for case in found]


@given(filter=FILTERS)
def test_a_filter_leaves_the_cases_that_fit_it(
    cases: Cases, expected: list[Told], shared_log: Log, filter: Filter
):
    left = {case.id for case in expected if fits(case, filter, shared_log)}
    found = ids(cases.every(filter))
    assert len(found) == len(left) == cases.count(filter) == cases.counts(filter).total
    assert set(found) == left


@given(filter=FILTERS)
def test_counts_add_up(cases: Cases, filter: Filter):
    counts = cases.counts(filter)
    assert sum(counts.by_source.values()) == sum(counts.by_status.values()) == counts.total
    if not filter.kind:
        tops = {top_of(code) for code in taxonomy().labels}
        assert sum(cases.count(replace(filter, kind=top)) for top in tops) == counts.total
    for name, values in {"status": counts.by_status, "source": counts.by_source}.items():
        if not getattr(filter, name):
            assert values == {v: cases.count(replace(filter, **{name: v})) for v in values}


@pytest.mark.parametrize("sort", get_args(Sort))
@pytest.mark.parametrize("descending", [True, False])
def test_pages_share_the_list_out(cases: Cases, sort: Sort, descending: bool):
    whole = ids(cases.every(sort=sort, descending=descending))
    assert len(set(whole)) == len(whole) == cases.count() > 40
    way = {"sort": sort, "descending": descending, "limit": 7}
    pages = [ids(cases.cases(offset=at, **way)) for at in range(0, len(whole) + 7, 7)]
    assert [id for page in pages for id in page] == whole
    assert whole == ids(cases.every(sort=sort, descending=not descending))[::-1]


@pytest.mark.parametrize("sort", sorted(set(get_args(Sort)) - {"written"}))
def test_cases_come_in_the_order_asked_for(cases: Cases, sort: Sort):
    values = [getattr(case, sort) for case in cases.every(sort=sort, descending=False)]
    assert values == sorted(values)


def test_the_newest_reply_comes_first(cases: Cases):
    written = [case.written for case in cases.cases(limit=1000)]
    assert written == sorted(written, reverse=True)


def test_a_case_tells_what_it_is_about(cases: Cases, expected: list[Told]):
    by_id = {case.id: case for case in cases.every()}
    for other in expected:
        case, turn = by_id[other.id], other.turn
        assert (case.kind, case.severity, case.status) == (other.kind, other.severity, other.status)
        assert (case.turn, case.conversation, case.model) == (
            turn.id, turn.conversation, turn.model.preset,
        )  # fmt: skip
        text = turn.reply.text
        assert case.quote == text[case.start : case.end]
        assert text[case.reply_at :].startswith(case.reply)
        assert case.reply[case.start - case.reply_at :].startswith(case.quote[:200])
        assert case.title == taxonomy().title(case.kind)
        assert cases.case(case.id) == case
    assert {case.level for case in by_id.values()} == {
        "info", "warn", "alert", "slight", "clear", "grave",
    }  # fmt: skip


def test_the_cases_of_a_reply_come_in_its_order(cases: Cases, expected: list[Told]):
    for turn in cases.turns:  # type: ignore[attr-defined]
        found = cases.of_turn(turn.id)
        assert set(ids(found)) == {case.id for case in expected if case.turn is turn}
        assert [case.start for case in found] == sorted(case.start for case in found)


def test_choices_are_what_the_log_has(cases: Cases, shared_log: Log):
    shared_log.save_preset(Preset("Careful", Settings(Sampling(temperature=0.0), k=2)))
    choices = cases.choices()
    assert sorted(choices.models.values()) == ["large", "small"]
    assert choices.annotators == PEOPLE
    assert "on k2 t0" in [way.code for way in choices.ways]
    assert sum("Careful" in way.words() for way in choices.ways) == 1
    each = [cases.count(Filter(preset=way.code)) for way in choices.ways]
    assert sum(each) == cases.count() and all(Filter.of({"preset": w.code}) for w in choices.ways)


def test_findings_behind_which_a_document_was_shown(cases: Cases, shared_log: Log):
    found = cases.cases(Filter(document="Title 1"), limit=1000)
    assert found and all(case.source == "machine" for case in found)
    for case in cases.cases(Filter(source="machine"), limit=1000):
        turn = shared_log.turn(case.turn)
        behind = {
            n.title
            for logged in Marks(shared_log).findings(turn.id)
            for chunk in turn.reply.chunks
            if chunk.start < logged.finding.end and chunk.end > logged.finding.start
            for n in chunk.neighbours
        }
        assert (case in found) == ("Title 1" in behind)


@given(filter=FILTERS)
def test_a_filter_goes_through_an_address_unchanged(filter: Filter):
    if not (filter.since and filter.until and filter.since > filter.until):
        assert Filter.of(filter.given()) == filter


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        ({"source": "robot"}, "source is 'robot'; give one of machine, person"),
        ({"status": "done"}, "give one of open, accepted"),
        ({"severity": "4"}, "give one of 1, 2, 3, info"),
        ({"since": "2026-2-3"}, "YYYY-MM-DD"),
        ({"until": "2026-02-30"}, "YYYY-MM-DD"),
        ({"since": "2026-02-03", "until": "2026-02-01"}, "no day is both"),
        ({"text": "?!"}, "no word to look for"),
        ({"preset": "k2 warm"}, "has 'warm'"),
        ({"kind": "a b"}, "the code of a label"),
        ({"model": 3}, "model is no text"),
        ({"text": "x" * 401}, "more than 400"),
        ({"drawn": "x"}, "flagged, sample, chosen"),
    ],
)
def test_a_filter_without_sense_is_refused_with_the_reason(given_: dict, why: str):
    with pytest.raises(BadFilter, match=why):
        Filter.of(given_)


def test_other_names_of_an_address_are_no_part_of_a_filter():
    assert Filter.of({"view": "browse", "page": "3", "severity": "warn"}) == Filter(severity="2")
    assert Filter.of({}) == ALL


@given(text=st.text(max_size=20), name=st.text(max_size=10))
def test_no_text_breaks_the_search(cases: Cases, text: str, name: str):
    for fields in ({"text": text}, {"annotator": name, "model": text}, {"document": text}):
        try:
            filter = Filter.of(fields)
        except BadFilter:
            continue
        assert cases.count(filter) == len(cases.cases(filter, limit=1000))


@pytest.mark.parametrize(
    "id", ["", "f", "fx", "a", "f99999999", "f²", "nothing", "f-1", "f" + "9" * 40]
)
def test_an_id_without_a_case_finds_none(cases: Cases, id: str):
    assert cases.case(id) is None


def test_the_book_has_every_sort_of_case(expected: list[Told]):
    assert {case.kind for case in expected} == {*KINDS, *LABELS}
    assert {case.status for case in expected} == {
        "open", "accepted", "rejected", "disputed", "marked",
    }  # fmt: skip
    assert any(word in case.turn.message for case in expected for word in WORDS)
