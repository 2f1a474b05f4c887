"""app.changes: what a page may ask to change, and what it may not."""

import json

import pytest

from app.changes import (
    LONGEST_PASTED,
    BadChange,
    OtherPreset,
    OtherSampling,
    OtherSeed,
    Pasted,
    RandomPassages,
    RetrievalOff,
    Without,
    change_of,
    to_dict,
)

CHANGES = [
    RetrievalOff(),
    Without(12, "Light"),
    Without(-1, ""),
    Pasted("A heron waits.\r\nThen it strikes."),
    RandomPassages(),
    OtherSampling(temperature=1.2),
    OtherSampling(top_k=5, top_p=0.5, max_tokens=9),
    OtherPreset("Careful"),
    OtherSeed(2**32 - 1),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_comes_back_from_json(change):
    assert change_of(json.loads(json.dumps(to_dict(change)))) == change


def test_whole_numbers_stand_for_numbers():
    assert change_of({"kind": "sampling", "temperature": 1}) == OtherSampling(temperature=1.0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "a change is an object with a kind; got NoneType"),
        ([], "got list"),
        ({}, "kind None; give one of off, without, pasted, random, sampling, preset, seed"),
        ({"kind": ["off"]}, "kind ['off']"),
        ({"kind": "of"}, "kind 'of'"),
        ({"kind": "off", "seed": 1}, "'off' has 'seed'; it takes nothing"),
        ({"kind": "seed", "sead": 1}, "'seed' has 'sead'; it takes seed"),
        ({"kind": "seed"}, "'seed' lacks seed"),
        ({"kind": "seed", "seed": True}, "seed of the change 'seed' is True; give a whole number"),
        ({"kind": "seed", "seed": 1.5}, "is 1.5; give a whole number"),
        ({"kind": "seed", "seed": "1"}, "is '1'; give a whole number"),
        ({"kind": "seed", "seed": -1}, "seed is -1; give a whole number from 0"),
        ({"kind": "seed", "seed": 10**400}, "give a whole number"),
        ({"kind": "sampling"}, "no value is given; give one of temperature, top_k"),
        ({"kind": "sampling", "temperature": "hot"}, "is 'hot'; give a number"),
        ({"kind": "sampling", "temperature": 10**400}, "give a number"),
        ({"kind": "sampling", "temperature": float("nan")}, "temperature is nan"),
        ({"kind": "sampling", "top_p": 0}, "top_p is 0.0; give a number above 0"),
        ({"kind": "sampling", "max_tokens": 0}, "max_tokens is 0"),
        ({"kind": "without", "chunk_id": "3", "title": ""}, "is '3'; give a whole number"),
        ({"kind": "without", "chunk_id": 3, "title": "x" * 201}, "has 201 characters"),
        ({"kind": "pasted", "text": 5}, "text of the change 'pasted' is 5; give a text"),
        ({"kind": "pasted", "text": " \x00\n"}, "is empty"),
        ({"kind": "pasted", "text": "x" * (LONGEST_PASTED + 1)}, "4,001 characters; the limit is"),
        ({"kind": "preset", "name": ""}, "give 1 to 200"),
    ],
)
def test_what_is_no_change_is_refused_with_the_reason(data, said):
    with pytest.raises(BadChange) as refused:
        change_of(data)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 300
