"""What a reply says that stands in none of the passages shown to the model by then.

Words are compared, not meanings: a negated or reversed sentence passes, and a true statement in
other words may not. A finding points a reader to a place; it says nothing about truth.
"""

from app.failures.names import bare, names
from app.failures.numbers import quantities
from app.failures.passages import Shown, content, followed, supports
from app.failures.protocol import Detector, NotApplicable, finding, first_of_each
from app.failures.reading import (
    Sentence,
    asks_for_fiction,
    reads_as_english,
    sentences,
    without_code,
)
from app.failures.refusal import declines
from app.records import Finding, Turn

# Set on the tuning half: there 23 of 25 findings were right and 22 of 56 sentences found; with 4
# words 37 of 51 and 32 of 56, since a paraphrase of a few words shares none of them.
LEAST = 6  # words that say what a sentence is about
ABSENT = 0.45  # share of them that stand nowhere


def find(turn: Turn) -> list[Finding]:
    """`unsupported.number`, `unsupported.name` and `unsupported.coverage`, sentence by sentence."""
    text = turn.reply.text
    if not text.strip():
        raise NotApplicable("the reply is empty")
    if asks_for_fiction(turn.message):
        raise NotApplicable("the message asks for something made up")
    prose = without_code(text)
    english = reads_as_english(prose)
    findings: list[Finding] = []
    for sentence, shown in followed(turn, sentences(text)):
        findings += _numbers(text, sentence, shown)
        if english and not declines(sentence.text):
            findings += _names(text, sentence, shown)
            findings += _coverage(text, sentence, shown)
    return first_of_each(findings)


def _where(shown: Shown) -> str:
    count = len(shown.passages)
    if count == 1:
        return "not in the one passage shown by then and not in the message"
    return f"in none of the {count} passages shown by then and not in the message"


def _numbers(text: str, sentence: Sentence, shown: Shown) -> list[Finding]:
    """One finding for a number, or for all of a sentence that has more than three such."""
    absent = []
    for q in quantities(sentence.text):
        small = q.values[0] <= {"ordinal": 3, "word": 2}.get(q.form, -1)
        before, after = sentence.text[max(q.start - 20, 0) : q.start], sentence.text[q.end :][:20]
        if not small and not supports(shown, q, before, after):
            absent.append(q)
    if not absent:
        return []
    values = [f"{value:.12g}" for value in shown.values()]
    there = f"Numbers there: {', '.join(values[:12])}." if values else "No number does."
    groups = [absent] if len(absent) > 3 else [[q] for q in absent]
    findings = []
    for group in groups:
        written = [sentence.text[q.start : q.end] for q in group]
        what = (
            f"The number {written[0]} stands"
            if len(group) == 1
            else f"{len(group)} numbers from {written[0]} to {written[-1]} stand"
        )
        findings.append(
            finding(
                "unsupported.number",
                text,
                (sentence.start + group[0].start, sentence.start + group[-1].end),
                score=len(group),
                threshold=1.0,
                explanation=f"{what} {_where(shown)}. {there}",
                evidence={
                    "numbers": written[:50],
                    "numbers_in_passages": values[:50],
                    "passages": len(shown.passages),
                },
            )
        )
    return findings


def _names(text: str, sentence: Sentence, shown: Shown) -> list[Finding]:
    """One finding for names that follow each other."""
    runs: list[list[int]] = []
    for start, end in names(text, sentence):
        if shown.has_name(bare(text[start:end])) or shown.has_name(text[start:end]):
            continue
        if runs and text[runs[-1][1] : start] == " ":
            runs[-1][1] = end
        else:
            runs.append([start, end])
    return [
        finding(
            "unsupported.name",
            text,
            (start, end),
            score=1.0,
            threshold=1.0,
            explanation=f"The name “{text[start:end]}” stands {_where(shown)}.",
            evidence={"passages": len(shown.passages)},
        )
        for start, end in runs
    ]


def _coverage(text: str, sentence: Sentence, shown: Shown) -> list[Finding]:
    words = content(sentence.text)
    if len(words) < LEAST or sentence.text.endswith("?"):
        return []
    absent = [word for word in words if not shown.has(word)]
    score = len(absent) / len(words)
    if score < ABSENT:
        return []
    return [
        finding(
            "unsupported.coverage",
            text,
            (sentence.start, sentence.end),
            score=score,
            threshold=ABSENT,
            explanation=f"{len(absent)} of the {len(words)} words that say what this sentence is "
            f"about stand {_where(shown)}.",
            evidence={"absent": absent[:50], "passages": len(shown.passages)},
        )
    ]


UNSUPPORTED = Detector("unsupported", "1", find)
