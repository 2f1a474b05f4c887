"""app.failures.repetition: what is a repetition, and what only looks like one."""

import random
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.failures.protocol import NotApplicable
from app.failures.repetition import find
from app.records import Finding, Turn

Build = Callable[..., Turn]

PROSE = """\
A tide is the slow rise and fall of the sea. The moon pulls on the water nearest to it a little \
more strongly than on the middle of the Earth, and on the middle a little more strongly than on \
the far side. The water therefore bulges on both sides, and as the planet turns beneath the two \
bulges most coasts meet high water twice in a day.

The sun pulls as well, although it is so much farther away that its share is less than half of \
the moon's. When both stand in a line, at new and at full moon, their effects add up and the range \
between high and low water is largest. A week later they work at right angles, and sailors speak \
of neap tides.

Shape matters as much as gravity. A long bay that narrows towards its head can gather the water \
until it stands many metres high, whereas an almost closed sea, such as the Baltic, hardly moves \
at all. Harbour masters used to keep tables for each port; today the same sums are done by a \
computer from a few dozen constants that were measured on the spot."""
LIST = """\
Here is what you need for a simple loaf:

1. 500 g of strong flour
2. 7 g of dried yeast
3. 10 g of salt
4. 320 ml of warm water
5. a spoonful of oil

- Mix the flour, the yeast and the salt in a wide bowl.
- Add the water and knead for ten minutes.
- Let the dough rest under a cloth until it has doubled.
- Shape it, let it rise again, and bake it for half an hour."""
POEM = """\
The lamp went out upon the quay,
the ropes were wet, the wind was low,
and nobody was there to see
the tide come in, the tide go.

The lamp was lit, the day was new,
a gull walked out along the sand,
and where the night had been it drew
a line of light along the land."""
CODE = """\
You can count words like this:

```python
def count(words):
    totals = {}
    for word in words:
        totals[word] = totals.get(word, 0) + 1
    return totals


for word, n in sorted(count(text.split()).items()):
    print(word, n)
# ----------------------------------------------------------
```

The dictionary keeps one number for each word."""
TABLE = """\
| planet | moons |
|--------------------------------|--------------------------------|
| Earth | 1 |
| Mars | 2 |

--------------------------------------------------------------------------

Neither has rings."""

LOOP_UNIT = "the harbour wall was built of stone and"


def findings(toy_turn: Build, text: str) -> dict[str, Finding]:
    """The first finding of each kind; every quote is checked on the way."""
    found = find(toy_turn(text))
    for finding in found:
        assert finding.quote == text[finding.start : finding.end] != ""
        assert finding.quote == finding.quote.strip() or finding.kind == "repetition.compression"
        assert finding.score >= finding.threshold
        assert finding.explanation.endswith((".", "so."))
    return {finding.kind: finding for finding in reversed(found)}


# ----- what should be found


words_of_a_language = st.sampled_from(
    ["sea", "Wall", "la", "x1", "l’eau", "7", "ß", "мир", "海", "so"]
)
separators = st.sampled_from([" ", ", ", "\n", " — ", " 😀 ", ". "])


@given(
    before=st.lists(words_of_a_language, max_size=20),
    unit=st.lists(words_of_a_language, min_size=4, max_size=96),
    after=st.lists(words_of_a_language, max_size=20),
    copies=st.integers(3, 6),
    separator=separators,
)
@settings(max_examples=150, deadline=None)
def test_a_unit_of_four_words_or_more_said_three_times_is_a_loop_that_covers_the_copies(
    toy_turn: Build,
    before: list[str],
    unit: list[str],
    after: list[str],
    copies: int,
    separator: str,
):
    head = "".join(word + separator for word in before)
    loop = separator.join(unit * copies)
    text = head + loop + "".join(separator + word for word in after)
    found = [f for f in find(toy_turn(text)) if f.kind == "repetition.loop"]
    assert any(f.start <= len(head) and len(head) + len(loop) <= f.end for f in found)
    assert all(f.quote == text[f.start : f.end] for f in found)


def test_the_span_is_exact_behind_emoji(toy_turn: Build):
    head, loop = "👩‍👧😀 Once. ", " ".join([LOOP_UNIT] * 5)
    finding = findings(toy_turn, f"{head}{loop} then it ended. 😀")["repetition.loop"]
    assert (finding.start, finding.end) == (len(head), len(head) + len(loop))
    assert finding.severity == "warn"
    assert finding.explanation == f"The 8 words “{LOOP_UNIT}” are repeated 5 times in a row."
    assert finding.evidence == {"period": 8, "copies": 5, "words": 40, "at_end": False}


def test_a_single_word_six_times_is_a_loop(toy_turn: Build):
    finding = findings(toy_turn, "It is very very very VERY very very big.")["repetition.loop"]
    assert finding.quote == "very very very VERY very very"
    assert finding.explanation == "The word “very” is repeated 6 times in a row."
    assert "repetition.loop" not in findings(toy_turn, "It is very very very very very big.")


def test_two_separate_loops_are_two_findings(toy_turn: Build):
    text = "a b c d " * 4 + "and then something else went on " + "e f g h i " * 4
    found = [f for f in find(toy_turn(text)) if f.kind == "repetition.loop"]
    assert [f.evidence["period"] for f in found] == [4, 5]


def test_a_chinese_loop_without_spaces_is_found(toy_turn: Build):
    finding = findings(toy_turn, "他说：" + "海水涨了" * 5)["repetition.loop"]
    assert finding.quote == "海水涨了" * 5


def test_a_unit_longer_than_96_words_is_left_to_the_other_rules(toy_turn: Build):
    unit = " ".join(f"w{i}" for i in range(97))
    found = findings(toy_turn, " ".join([unit] * 4))
    assert "repetition.loop" not in found
    assert "repetition.ngram" in found


def test_a_loop_with_a_counter_is_named_as_such(toy_turn: Build):
    text = "Steps. " + " ".join(f"Step {i}: open the next door." for i in range(1, 7))
    found = findings(toy_turn, text)
    assert "repetition.loop" not in found
    finding = found["repetition.counter_loop"]
    assert finding.quote == text[len("Steps. ") : -1]
    assert finding.evidence["copies"] == 6
    assert "nothing but the numbers changed" in finding.explanation


def test_a_plain_loop_with_numbers_is_not_reported_as_a_counter_loop_too(toy_turn: Build):
    found = findings(toy_turn, "step 1 open the next door " * 6)
    assert "repetition.loop" in found
    assert "repetition.counter_loop" not in found


def test_a_column_of_numbers_is_no_counter_loop(toy_turn: Build):
    assert find(toy_turn("Year and rain: " + ", ".join(f"{i} {i * 7}" for i in range(30)))) == []


def test_copies_between_fresh_text_are_found_by_their_sequences(toy_turn: Build):
    chance = random.Random(0)
    fresh = [" ".join(chance.choices("abcdefghijklmnop", k=4)) for _ in range(8)]
    text = " ".join(f"{LOOP_UNIT} {words}" for words in fresh)
    finding = findings(toy_turn, text)["repetition.ngram"]
    assert finding.score > 0.25
    assert finding.start > text.index(fresh[0])  # the first copy is not yet a repetition
    assert "occurred before" in finding.explanation


def test_sequences_are_not_counted_below_twenty_four_words(toy_turn: Build):
    text = f"{LOOP_UNIT} one. {LOOP_UNIT} two."
    assert "repetition.ngram" not in findings(toy_turn, text)


def test_repeated_sentences_are_found_from_the_first_copy_to_the_last(toy_turn: Build):
    said = "The wall is made of stone."
    text = f"{said} It is high. {said} It is old and grey. {said} Nobody knows why it is there."
    finding = findings(toy_turn, text)["repetition.sentence"]
    assert finding.quote == f"{said} It is old and grey. {said}"
    assert finding.evidence["spans"] == [[39, 65], [86, 112]]


def test_sentences_in_a_code_block_are_passed_over(toy_turn: Build):
    lines = "total = total + price of item\nprint the total so far\n" * 2
    text = f"Do this:\n```\n{lines}{lines}```\nIt prints the sum."
    assert "repetition.sentence" not in findings(toy_turn, text)
    assert "repetition.sentence" in findings(toy_turn, text.replace("```", ""))


def test_text_that_compresses_well_is_only_noted(toy_turn: Build):
    text = "\n".join(f"- item {i} of the list of items in the list" for i in range(12))
    finding = findings(toy_turn, text)["repetition.compression"]
    assert (finding.severity, finding.start, finding.end) == ("info", 0, len(text))


@pytest.mark.parametrize(
    ("unit", "copies", "severity"),
    [
        ("!", 24, "info"),
        ("!", 64, "warn"),
        (". ", 80, "warn"),
        ("ha", 40, "warn"),
        ("😀", 30, "info"),
    ],
)
def test_repeated_characters_are_found(toy_turn: Build, unit: str, copies: int, severity: str):
    run = (unit * copies).strip()
    finding = findings(toy_turn, f"Well {run}")["repetition.characters"]
    assert finding.quote.startswith(run[:-2])
    assert finding.severity == severity


def test_twenty_three_characters_are_not_yet_a_run(toy_turn: Build):
    assert find(toy_turn("Well " + "!" * 23)) == []


# ----- what should not be found


@pytest.mark.parametrize(
    "text", [PROSE, LIST, POEM, CODE, TABLE], ids=["prose", "list", "poem", "code", "table"]
)
def test_clean_text_gives_no_warning(toy_turn: Build, text: str):
    assert [f for f in find(toy_turn(text)) if f.severity != "info"] == []


def test_clean_prose_gives_no_finding_at_all(toy_turn: Build):
    for paragraph in [PROSE, *PROSE.split("\n\n")]:
        assert find(toy_turn(paragraph)) == []


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_an_empty_reply_is_skipped(toy_turn: Build, text: str):
    with pytest.raises(NotApplicable, match="empty"):
        find(toy_turn(text))


@given(st.text(alphabet=st.sampled_from("ab1 .!\n`😀海'"), max_size=300))
@settings(max_examples=150, deadline=None)
def test_every_quote_is_its_span_and_finding_is_deterministic(toy_turn: Build, text: str):
    assume(text.strip())
    turn = toy_turn(text)
    found = find(turn)
    assert all(f.quote == text[f.start : f.end] for f in found)
    assert found == find(turn)
