"""The numbers of the dashboard against a recount from whole turns."""

from collections import Counter
from collections.abc import Callable

import pytest

from app.records import Turn
from app.store.cases import Cases, Filter
from app.store.figures import Figures
from app.store.log import Log
from app.store.marks import Marks
from tests.casebook import PEOPLE, Told, fill, told
from tests.test_summaries import measured

Build = Callable[..., Turn]
LIMITS = [
    Filter(), Filter(model="small"), Filter(since="2026-11-03"), Filter(until="2026-11-02"),
    Filter(model="b" * 64, since="2026-11-02", until="2026-11-05"), Filter(model="nothing"),
]  # fmt: skip


@pytest.fixture(scope="module")
def figures(shared_log: Log, toy_turn: Build) -> Figures:
    figures = Figures(shared_log)
    turns = figures.turns = fill(shared_log, toy_turn, 30)  # type: ignore[attr-defined]
    shared_log.start(toy_turn(id="running", conversation="r", created=turns[0].created))
    for i, turn in enumerate(turns[::2]):
        shared_log.save_attribution(turn.id, measured(turn, i - 3.5))
    return figures


@pytest.fixture(scope="module")
def turns(figures: Figures) -> list[Turn]:
    return figures.turns  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def expected(shared_log: Log, turns: list[Turn]) -> list[Told]:
    return told(shared_log, turns)


def within(turn: Turn, f: Filter) -> bool:
    return (
        f.model in ("", turn.model.preset, turn.model.fingerprint)
        and turn.created[:10] >= f.since
        and (not f.until or turn.created[:10] <= f.until)
    )


def limited(cases: list[Told], f: Filter) -> list[Told]:
    return [case for case in cases if within(case.turn, f)]


limits = pytest.mark.parametrize("limit", LIMITS, ids=lambda f: str(f.given()))


@limits
def test_days(figures: Figures, turns: list[Turn], expected: list[Told], limit: Filter):
    replies = Counter(t.created[:10] for t in turns if within(t, limit))
    days = figures.days(limit)
    assert {day.day: day.replies for day in days} == replies
    assert [day.day for day in days] == sorted(replies)
    for day in days:
        cases = [c for c in limited(expected, limit) if c.turn.created[:10] == day.day]
        levels = Counter(c.severity if c.source == "machine" else 0 for c in cases)
        assert (day.info, day.warn, day.alert, day.marked) == tuple(levels[i] for i in (1, 2, 3, 0))


@limits
def test_kinds(figures: Figures, turns: list[Turn], expected: list[Told], limit: Filter):
    kinds = figures.kinds(limit)
    assert kinds.replies == Counter(t.model.preset for t in turns if within(t, limit))
    assert kinds.cases == Counter(
        (c.kind, c.source, c.status, c.turn.model.preset) for c in limited(expected, limit)
    )


@limits
def test_readings(figures: Figures, shared_log: Log, turns: list[Turn], limit: Filter):
    marks = Marks(shared_log)
    recount = set()
    for turn in filter(lambda t: within(t, limit), turns):
        for review in Cases(shared_log).reviews(turn.id):
            own = [a.label for a in marks.annotations(turn.id) if a.annotator == review.annotator]
            if review.state == "done":
                recount.add((turn.id, review.annotator, review.drawn, frozenset(own)))
    found = figures.readings(limit)
    assert {(r.turn, r.annotator, r.drawn, r.labels) for r in found} == recount
    assert len(found) == len(recount)


@limits
def test_gains(figures: Figures, shared_log: Log, turns: list[Turn], limit: Filter):
    recount: dict[bool, list[float]] = {True: [], False: []}
    unmeasured = 0
    for turn in filter(lambda t: within(t, limit), turns):
        if (attribution := shared_log.attribution(turn.id)) is None:
            unmeasured += 1
        else:
            recount[bool(shared_log.findings(turn.id))].append(attribution.gain)
    gains = figures.gains(limit)
    assert gains.flagged == tuple(sorted(recount[True]))
    assert gains.clean == tuple(sorted(recount[False]))
    assert gains.unmeasured == unmeasured


@limits
def test_documents(figures: Figures, shared_log: Log, turns: list[Turn], limit: Filter):
    shown: Counter[str] = Counter()
    behind: Counter[str] = Counter()
    for turn in filter(lambda t: within(t, limit), turns):
        for chunk in turn.reply.chunks:
            titles = [n.title for n in chunk.neighbours]
            shown.update(titles)
            if any(
                f.start < chunk.end and f.end > chunk.start for f in shared_log.findings(turn.id)
            ):
                behind.update(titles)
    documents = figures.documents(limit, most=100)
    assert {d.title: (d.behind, d.shown) for d in documents.most} == {
        title: (times, shown[title]) for title, times in behind.items()
    }
    assert (documents.shown, documents.behind) == (shown.total(), behind.total())
    assert figures.documents(limit, most=2).most == documents.most[:2]
    assert [d.behind for d in documents.most] == sorted(behind.values(), reverse=True)


@limits
def test_runs(figures: Figures, shared_log: Log, turns: list[Turn], limit: Filter):
    recount: Counter[tuple[str, str]] = Counter()
    for turn in filter(lambda t: within(t, limit), turns):
        recount.update((run.detector, run.status) for run in shared_log.runs(turn.id))
    for run in (runs := figures.runs(limit)):
        looked = recount[run.detector, "ok"] + recount[run.detector, "found"]
        counts = (looked, recount[run.detector, "skipped"], recount[run.detector, "error"])
        assert (run.looked, run.skipped, run.failed) == counts
    assert [run.detector for run in runs] == sorted({detector for detector, _ in recount})


@limits
def test_opinions(figures: Figures, shared_log: Log, turns: list[Turn], limit: Filter):
    recount: dict[str, dict[int, bool]] = {}
    for turn in filter(lambda t: within(t, limit), turns):
        for logged in Marks(shared_log).findings(turn.id):
            for person, ruling in logged.rulings.items():
                recount.setdefault(person, {})[logged.id] = ruling == "accepted"
    assert figures.opinions(limit) == recount
    assert limit != Filter() or set(recount) == set(PEOPLE)


def test_an_empty_log_has_no_numbers(log: Log):
    figures = Figures(log)
    assert (figures.days(), figures.readings(), figures.runs(), figures.opinions()) == (
        [],
        [],
        [],
        {},
    )
    assert figures.documents().most == figures.gains().flagged == ()
    assert not figures.kinds().cases
