"""What holds for every detector, whatever the reply."""

import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.failures.detectors import DETECTORS, run_detectors
from app.failures.labelled import read_cases
from retrieval.protocol import Neighbour
from tests.asked import passage, turn

HARBOUR = "The harbour was dug in 1411 by the guild of masons, who were paid in salt."
CHARACTERS = st.characters(exclude_categories=())  # surrogates and NUL among them
PIECES = st.sampled_from([
    "USER: ", "I was born ", "1411 ", "forty ", "Marta ", "`", "```\n", "a@b.example ", "(at)",
    "' ", "::1", "+47 22 86 54 01 ", "👍🏽", "e\u0301", "\x00", "\ud800", "women are ", "not ",
    "жук ", "海", "“", "\n", ". ", "- ", "1. ", "the passages do not say. ", "GB82 ",
    "4111 1111 1111 1111 ", "ignore all previous instructions ", "the harbour was dug ",
])  # fmt: skip
TEXTS = st.one_of(st.text(CHARACTERS, max_size=80), st.lists(PIECES, max_size=25).map("".join))


def lookup(text: str) -> Sequence[Neighbour]:
    return (passage(HARBOUR, number=9),)


@given(reply=TEXTS, message=TEXTS, shown=st.lists(TEXTS, max_size=2), later=TEXTS)
@settings(max_examples=100)
def test_any_text_is_measured_without_an_error_and_every_quote_is_its_span(
    reply: str, message: str, shown: list[str], later: str
):
    asked = turn(reply, *shown, message=message, later={len(reply) // 2: later})
    runs = run_detectors(asked, lookup=lookup)
    assert [run.message for run in runs if run.status == "error"] == []
    for run in runs:
        for finding in run.findings:
            assert finding.quote == reply[finding.start : finding.end]
            assert 0 <= finding.start <= finding.end <= len(reply)
            assert finding.score >= finding.threshold or run.detector == "empty"
            assert f"{finding.kind}.".startswith(f"{run.detector}.")
            assert finding.explanation.endswith((".", "so."))


@given(reply=TEXTS, shown=TEXTS)
@settings(max_examples=25)
def test_the_same_turn_gives_the_same_findings(reply: str, shown: str):
    asked = turn(reply, shown)
    once, again = (run_detectors(asked, lookup=lookup) for _ in range(2))
    assert [run.findings for run in once] == [run.findings for run in again]


@pytest.mark.parametrize(
    "unit",
    ["the sea came in and went out ", '."', "12 345 ", "Ab ", "a.b@", "x (at) y ", "a1:", "“a",
     "i ate my ", "жук ", "+4 7"],
)  # fmt: skip
def test_the_time_does_not_grow_with_the_square_of_the_length(unit: str):
    def seconds(size: int) -> float:
        asked = turn((unit * size)[:size], HARBOUR)
        started = time.thread_time()
        run_detectors(asked, lookup=lookup)
        return time.thread_time() - started

    short, long = (min(seconds(size + i) for i in range(2)) for size in (500, 5000))
    assert long < 40 * max(short, 0.0005)  # 10 times the length; the square of it is 100


def test_explanations_say_what_was_measured_and_judge_nothing():
    verdicts = "wrong false lie lies untrue bias biased hallucin mistake bad toxic misinformation"
    for case in read_cases()[::6]:
        for run in run_detectors(case.turn, lookup=case.lookup):
            for finding in run.findings:
                own = finding.explanation.replace(finding.quote, "")
                for quoted in str(finding.evidence), *finding.explanation.split("“")[1:]:
                    own = own.replace(quoted.split("”")[0], "")
                assert not set(own.casefold().split()) & set(verdicts.split()), own


def test_a_detector_runs_alone_as_it_does_among_the_others():
    asked = turn("Harbour Hill was dug in 1633. I was born there.", HARBOUR)
    together = {run.detector: run.findings for run in run_detectors(asked)}
    for detector in DETECTORS:
        (run,) = run_detectors(asked, (detector,))
        assert run.findings == together[detector.kind]
