"""app.variants: one thing changes, everything else stays, and the change has words."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from app.changes import (
    BadChange,
    Change,
    OtherPreset,
    OtherSampling,
    OtherSeed,
    Pasted,
    RandomPassages,
    RetrievalOff,
    Without,
)
from app.prompt import whole_sentences
from app.records import Preset, Settings, Turn
from app.variants import Variant, in_words, paste, vary
from engine.protocol import Sampling

BASE = Settings(Sampling(0.2, 5, 0.5, 40, 77), k=1, history=3, without=(40,), template="{message}:")
CAREFUL = Preset("Careful", Settings(Sampling(0.1, 5, 0.5, 40, 3), in_context=True, k=1))


@pytest.fixture
def turn(toy_turn: Callable[..., Turn]) -> Turn:
    """Shown the passages 1 and 2."""
    return toy_turn(settings=BASE)


def words_at(text: str) -> list[tuple[int, int, int]]:
    """A tokenizer whose tokens are words with the space before them."""
    ends = [i for i, c in enumerate(text) if c == " "] + [len(text)]
    starts = [0, *ends[:-1]]
    return [(i, a, b) for i, (a, b) in enumerate(zip(starts, ends, strict=True))]


def changed(turn: Turn, change: Change) -> Variant:
    return vary(turn, change, encode_offsets=words_at, presets=(CAREFUL,))


@pytest.mark.parametrize(
    ("change", "fields", "words"),
    [
        (RetrievalOff(), {"retrieve"}, "retrieval off"),
        (Without(2, "Light"), {"without"}, "without “Light”"),
        (Without(2, " \n"), {"without"}, "without passage 2"),
        (Pasted("A heron waits."), {"pinned"}, "with a pasted passage"),
        (RandomPassages(), {"random"}, "with random passages"),
        (OtherSampling(1.2), {"sampling"}, "temperature 1.2 instead of 0.2"),
        (
            OtherSampling(top_k=0, max_tokens=9), {"sampling"},
            "top k 0 instead of 5, at most 9 instead of 40 tokens",
        ),
        (OtherSeed(4), {"sampling"}, "seed 4 instead of 77"),
        (
            OtherPreset("Careful"), {"sampling", "in_context", "history", "template"},
            "preset “Careful”: temperature 0.1 instead of 0.2, 1 instead of 3 earlier turns shown, "
            "another prompt template, a passage in the prompt",
        ),
    ],
)  # fmt: skip
def test_one_thing_changes_and_is_said(turn, change, fields, words):
    variant = changed(turn, change)
    assert differing(BASE, variant.settings) == fields
    assert variant.change == words


def differing(a: Settings, b: Settings) -> set[str]:
    return {f.name for f in fields(Settings) if getattr(a, f.name) != getattr(b, f.name)}


@pytest.mark.parametrize(
    "change", [OtherSampling(temperature=1.2), OtherPreset("Careful"), RandomPassages()]
)
def test_the_seed_stays(turn, change):
    assert changed(turn, change).settings.sampling.seed == 77


def test_without_a_passage_neither_a_found_nor_a_pinned_one_is_shown(toy_turn):
    one, two = toy_turn().reply.chunks[0].neighbours
    turn = toy_turn(settings=replace(BASE, pinned=(one, two)))
    settings = changed(turn, Without(one.chunk_id, "")).settings
    assert settings.pinned == (two,)
    assert settings.without == (1, 40)


def test_without_a_pasted_passage_no_found_one_is_left_out(toy_turn):
    pasted, _ = paste("A heron waits.", words_at)
    plain = toy_turn()
    chunk = replace(plain.reply.chunks[0], neighbours=(pasted,))
    turn = replace(
        plain, reply=replace(plain.reply, chunks=(chunk,)), settings=replace(BASE, pinned=(pasted,))
    )
    assert changed(turn, Without(-1, "")).settings == BASE


def test_a_pasted_passage_is_shown_before_pinned_ones(toy_turn):
    one, _ = toy_turn().reply.chunks[0].neighbours
    turn = toy_turn(settings=replace(BASE, pinned=(one,)))
    pasted, kept = changed(turn, Pasted("A heron waits.")).settings.pinned
    assert (pasted.title, pasted.chunk_id, pasted.document_id) == ("Pasted passage", -1, -1)
    assert (pasted.text, pasted.tokens, pasted.continuation) == ("A heron waits.", (0, 1, 2), "")
    assert kept == one


def test_where_retrieval_was_off_a_pasted_passage_is_shown_alone(toy_turn):
    turn = toy_turn(settings=replace(BASE, retrieve=False, k=2))
    settings = changed(turn, Pasted("A heron waits.")).settings
    assert (settings.retrieve, settings.k, len(settings.pinned)) == (True, 1, 1)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (128, "with a pasted passage"),
        (129, "with a pasted passage, of which the model reads the first 128 tokens"),
    ],
)
def test_a_long_pasted_passage_is_shown_as_far_as_the_model_reads(turn, count, words):
    text = " ".join(f"w{i}" for i in range(count))
    variant = changed(turn, Pasted(text))
    (pasted,) = variant.settings.pinned
    assert variant.change == words
    assert len(pasted.tokens) == len(pasted.continuation_tokens) == 64
    assert text.startswith(pasted.text + pasted.continuation)
    assert pasted.continuation.endswith(" w127")


IN_CONTEXT = replace(BASE, in_context=True)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (OtherSampling(1.2), "The logged one."),
        (OtherSeed(4), "The logged one."),
        (OtherPreset("Careful"), "The logged one."),
        (Without(2, ""), "The logged one."),
        (RetrievalOff(), None),
        (RandomPassages(), None),
        (Pasted("A heron waits."), None),
    ],
)
def test_the_passage_in_the_prompt_stays_unless_the_change_concerns_it(toy_turn, change, kept):
    turn = toy_turn(settings=IN_CONTEXT, passage="The logged one.")
    assert changed(turn, change).passage == kept


def test_the_passage_in_the_prompt_goes_with_the_passage_that_it_is(toy_turn):
    one, _ = toy_turn().reply.chunks[0].neighbours
    turn = toy_turn(settings=IN_CONTEXT, passage=whole_sentences(one))
    assert changed(turn, Without(one.chunk_id, "")).passage == ""


def test_a_random_passage_in_the_prompt_is_drawn_again_with_another_seed(toy_turn):
    turn = toy_turn(settings=replace(IN_CONTEXT, random=True), passage="The logged one.")
    assert changed(turn, OtherSeed(4)).passage is None
    assert changed(turn, OtherSampling(1.2)).passage == "The logged one."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (OtherSeed(77), "was written with exactly that"),
        (OtherSampling(temperature=0.2, top_k=5), "was written with exactly that"),
        (OtherSampling(top_p=0.5), "was written with exactly that"),
        (Without(99, "Light"), "passage 99 was not shown for this reply"),
        (OtherPreset("Wild"), "there is no preset “Wild”; there are “Careful”"),
    ],
)
def test_a_change_that_changes_nothing_is_refused(turn, change, said):
    with pytest.raises(BadChange, match=said):
        changed(turn, change)


def test_no_retrieval_cannot_be_turned_off(toy_turn):
    with pytest.raises(BadChange, match="exactly that"):
        changed(toy_turn(settings=replace(BASE, retrieve=False)), RetrievalOff())


def test_a_passage_cannot_be_pasted_without_a_tokenizer(turn):
    with pytest.raises(BadChange, match="needs the tokenizer"):
        vary(turn, Pasted("A heron waits."))


def test_a_reply_under_way_cannot_be_varied(toy_turn):
    with pytest.raises(BadChange, match="still being written"):
        changed(toy_turn(finish="running"), OtherSeed(4))


OTHER = {
    "sampling": Sampling(seed=1), "retrieve": False, "in_context": True, "k": 1,
    "follow": "chunk", "history": 0, "random": True, "template": "{message}:",
}  # fmt: skip


def test_every_setting_has_words():
    said = {
        name: in_words(Settings(), replace(Settings(), **{name: OTHER[name]})) for name in OTHER
    }
    assert {f.name for f in fields(Settings)} - set(said) == {"pinned", "without"}
    assert all(said.values()) and len(set(said.values())) == len(said)
    assert in_words(Settings(), Settings()) == ""


@pytest.mark.parametrize("name", [f.name for f in fields(Sampling)])
def test_every_field_of_sampling_has_words(name):
    new = replace(Settings(), sampling=replace(Sampling(), **{name: 1}))
    assert "1 instead of" in in_words(Settings(), new)
