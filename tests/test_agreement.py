import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.failures.agreement import Agreement, agreement_of, pairs_of

COUNT = st.integers(0, 50)
COUNTS = st.builds(Agreement, COUNT, COUNT, COUNT, COUNT)


@pytest.mark.parametrize(
    ("counts", "raw", "kappa"),
    [
        ((20, 5, 10, 15), 0.7, 0.4),  # worked example of many textbooks
        ((45, 15, 25, 15), 0.6, 0.1304),
        ((1, 1, 1, 97), 0.98, 0.4898),  # rare failures: nearly all agreed on, kappa low
        ((5, 0, 0, 5), 1.0, 1.0),
        ((0, 5, 5, 0), 0.0, -1.0),
        ((0, 0, 0, 9), 1.0, None),  # both said no of everything
        ((9, 0, 0, 0), 1.0, None),
        ((0, 0, 0, 0), None, None),
    ],
)
def test_kappa_of_known_tables(counts: tuple, raw: float | None, kappa: float | None):
    found = Agreement(*counts)
    assert found.raw == (None if raw is None else pytest.approx(raw))
    assert found.kappa == (None if kappa is None else pytest.approx(kappa, abs=5e-5))


@given(found=COUNTS)
def test_kappa_is_what_its_definition_says(found: Agreement):
    n, kappa = found.of, found.kappa
    if not n:
        assert kappa is None
        return
    first, second = (found.both + found.first) / n, (found.both + found.second) / n
    chance = first * second + (1 - first) * (1 - second)
    if first == second and first in (0, 1):
        assert kappa is None
    else:
        assert kappa is not None and found.raw is not None
        assert kappa == pytest.approx((found.raw - chance) / (1 - chance))
        assert -1 <= kappa <= 1


@given(found=COUNTS)
def test_kappa_does_not_depend_on_who_is_first_nor_on_what_is_called_yes(found: Agreement):
    a, b, c, d = found.both, found.first, found.second, found.neither
    for other in (Agreement(a, c, b, d), Agreement(d, b, c, a)):
        assert (other.raw, other.kappa) == (found.raw, found.kappa)


@given(said=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_counts_are_of_what_was_said(said: list[tuple[bool, bool]]):
    found = agreement_of(said)
    assert found.of == len(said)
    assert (found.both, found.neither) == (said.count((True, True)), said.count((False, False)))


def test_people_are_compared_on_the_replies_that_both_have_read():
    readings = {
        "Grace": {"1": frozenset({"copy"}), "2": frozenset(), "4": frozenset({"wrong"})},
        "Ada": {"1": frozenset({"copy", "wrong"}), "2": frozenset(), "3": frozenset({"copy"})},
        "Mary": {"9": frozenset({"copy"})},
    }
    found = [(p.first, p.second, p.label, p.agreement) for p in pairs_of(readings)]
    assert found == [
        ("Ada", "Grace", "", Agreement(1, 0, 0, 1)),
        ("Ada", "Grace", "copy", Agreement(1, 0, 0, 1)),
        ("Ada", "Grace", "wrong", Agreement(0, 1, 0, 1)),
    ]
    assert pairs_of({}) == pairs_of({"Ada": readings["Ada"]}) == []
