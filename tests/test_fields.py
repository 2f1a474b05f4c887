"""The fields of a preset: read as they are shown, and told apart from what is unfit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.records import Settings
from app.ui.fields import FIELDS, Unfit, read_values, values_of
from engine.protocol import Sampling

BASE = Settings(Sampling(seed=9), without=(3,))
NAMES = {field.name for field in FIELDS}


def problems(**changed) -> dict[str, str]:
    with pytest.raises(Unfit) as unfit:
        read_values({**values_of(BASE), **changed}, BASE)
    return unfit.value.problems


settings = st.builds(
    Settings,
    st.builds(
        Sampling, st.floats(0, 2), st.integers(0, 200), st.floats(0.05, 1), st.integers(1, 512),
        seed=st.just(9),
    ),
    retrieve=st.booleans(), in_context=st.booleans(), k=st.integers(1, 2),
    follow=st.sampled_from(("chunk", "question+chunk")), history=st.integers(0, 10),
    without=st.just((3,)), template=st.sampled_from(("", "Q: {message}\nA:")),
)  # fmt: skip


@given(settings)
def test_settings_are_read_back_as_they_are_shown(given: Settings):
    assert read_values(values_of(given), BASE) == given


@given(settings)
def test_numbers_may_come_as_they_were_typed(given: Settings):
    kinds = {field.name: field.kind for field in FIELDS}
    typed = {
        name: f" {value} " if kinds[name] in ("number", "whole") else value
        for name, value in values_of(given).items()
    }
    assert read_values(typed, BASE) == given


def test_what_is_no_field_comes_from_the_base():
    read = read_values({**values_of(BASE), "seed": 1, "pinned": "x"}, BASE)
    assert (read.sampling.seed, read.pinned, read.without) == (9, (), (3,))


@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        ("temperature", "", "Temperature is empty; give a number from 0 to 2"),
        ("temperature", "warm", "Temperature is 'warm'; give a number from 0 to 2"),
        ("temperature", 2.5, "Temperature is 2.5; give a number from 0 to 2"),
        ("top_p", "nan", "Top p is 'nan'; give a number from 0.05 to 1"),
        ("top_k", 1.5, "Top k is 1.5; give a whole number from 0 to 200"),
        ("max_tokens", True, "Longest reply is True; give a whole number"),
        ("max_tokens", "9" * 400, "Longest reply is '999"),
        ("k", 3, "Passages is 3; give a whole number from 1 to 2"),
        ("history", -1, "Earlier exchanges is -1"),
        ("retrieve", "yes", "Retrieval is 'yes'; switch it on or off"),
        ("follow", "nothing", "choose one of question+chunk, chunk"),
        ("follow", ["chunk"], "choose one of"),
        ("template", "Q: {question}", "{question}"),
        ("template", None, "the template is None"),
    ],
)
def test_an_unfit_value_is_named_with_what_to_give(name: str, value, answer: str):
    found = problems(**{name: value})
    assert set(found) == {name} and answer in found[name]


def test_all_problems_are_said_at_once():
    assert set(problems(temperature="", k=9, template="{}")) == {"temperature", "k", "template"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from(sorted(NAMES)), json_values))
def test_any_values_are_read_or_refused_by_field(values: dict):
    try:
        read_values(values, BASE)
    except Unfit as unfit:
        assert set(unfit.problems) <= NAMES and all(unfit.problems.values())
