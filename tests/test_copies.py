"""app.failures.copies: words in a row that a reply shares with passages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.failures.copies import LEAST, copies, copy_from_database, find_from_neighbours
from app.failures.loops import Words
from app.failures.protocol import NotApplicable
from tests.asked import passage, turn

HARBOUR = "The harbour was dug in 1411 by the guild of masons, who were paid in salt."
words = st.lists(st.sampled_from(["sea", "wall", "the", "of", "7", "мир", "é"]), max_size=40)


@given(words, words)
def test_a_run_is_found_where_and_only_where_a_row_of_words_is_shared(reply, shown):
    texts = Words.of(" ".join(reply)), Words.of(" ".join(shown))
    rows = [
        {tuple(t.folded[i : i + LEAST]) for i in range(len(t.folded) - LEAST + 1)} for t in texts
    ]
    found = copies(texts[0], [passage(" ".join(shown))])
    assert bool(found) == bool(rows[0] & rows[1])
    for copy in found:
        run = " ".join(texts[0].folded[copy.start : copy.end])
        assert copy.end - copy.start >= LEAST
        assert f" {run} " in f" {' '.join(texts[1].folded)} "


def test_a_copy_is_information_and_names_its_passage():
    (finding,) = find_from_neighbours(
        turn("I think THE HARBOUR was dug, in 1411, by the guild of masons.", HARBOUR)
    )
    assert finding.quote == "THE HARBOUR was dug, in 1411, by the guild of masons"
    assert (finding.kind, finding.severity, finding.score) == ("copy.neighbour", "info", 11)
    assert finding.evidence["title"] == "Harbour"


def test_words_of_the_message_are_no_copy():
    message = "Is it true that the harbour was dug in 1411 by the guild?"
    reply = "It is true that the harbour was dug in 1411 by the guild."
    assert find_from_neighbours(turn(reply, HARBOUR, message=message)) == []


def test_a_passage_that_was_shown_only_later_is_no_source():
    reply = "The harbour was dug in 1411 by the guild. Then it rained."
    asked = turn(reply, "A heron waits.", later={len(reply) - 16: HARBOUR})
    assert find_from_neighbours(asked) == []


def test_without_passages_a_copy_cannot_be_told():
    with pytest.raises(NotApplicable, match="no passage was shown"):
        find_from_neighbours(turn("The harbour."))


# ----- from the database

HIDDEN = passage(HARBOUR, number=50)
REPLY = "Yes. The harbour was dug in 1411 by the guild of masons."


def test_without_a_database_the_detector_says_why_it_was_skipped():
    with pytest.raises(NotApplicable, match="no passage database was given"):
        copy_from_database(None).find(turn(REPLY))


def test_words_of_a_passage_that_was_not_shown_are_found():
    asked = turn(REPLY, "A heron waits.")
    (finding,) = copy_from_database(lambda text: [HIDDEN]).find(asked)
    assert finding.kind == "copy.database"
    assert finding.quote == REPLY[5:-1]
    assert "that was not shown" in finding.explanation


def test_words_of_a_passage_that_was_shown_are_not_found_again():
    again = passage(f"A copy: {HARBOUR}", number=51)
    assert copy_from_database(lambda text: [HIDDEN, again]).find(turn(REPLY, HIDDEN)) == []


def test_only_a_few_long_sentences_are_looked_up():
    asked: list[str] = []

    def lookup(text: str):
        asked.append(text)
        return []

    reply = "Short. " + " ".join(f"Sentence {i} has a few more words than one." for i in range(9))
    copy_from_database(lookup).find(turn(reply))
    assert len(asked) == 3 and "Short." not in asked
