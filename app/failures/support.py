"""Sentences whose words were all shown, but nowhere together."""

from collections.abc import Mapping, Sequence

from app.failures.passages import Shown, content, followed
from app.failures.protocol import Detector, NotApplicable, finding
from app.failures.reading import asks_for_fiction, reads_as_english, sentences, without_code
from app.failures.refusal import declines
from app.records import Finding, Turn

# Set on the tuning half. A gap of .3, the first guess, found 7 of 17 sentences there instead of 13
# and was no more often right; below .2 a single word decides.
LEAST = 4  # words that say what a sentence is about
COVERED = 0.6  # share of them that stands in the passages together ...
GAP = 0.2  # ... and how much less of them the best passage has alone


def find(turn: Turn) -> list[Finding]:
    """`support.scattered`: the words of a sentence stand in passages of different documents, and
    in none of them together. Passages of one title count as one."""
    text = turn.reply.text
    if not text.strip():
        raise NotApplicable("the reply is empty")
    if asks_for_fiction(turn.message):
        raise NotApplicable("the message asks for something made up")
    if not reads_as_english(without_code(text)):
        raise NotApplicable("the reply does not read as English, and words are compared as such")
    findings = []
    for sentence, shown in followed(turn, sentences(text)):
        words = content(sentence.text)
        if len(words) < LEAST or declines(sentence.text):
            continue
        covered = _covered(words, shown)
        together = len(set().union(*covered.values())) / len(words)
        title, best = max(covered.items(), key=lambda item: len(item[1]))
        gap = together - len(best) / len(words)
        if together < COVERED or gap < GAP:
            continue
        findings.append(
            finding(
                "support.scattered",
                text,
                (sentence.start, sentence.end),
                score=gap,
                threshold=GAP,
                severity="info",
                explanation=f"{together:.0%} of the words that say what this sentence is about "
                f"stand in the passages shown, but no document has more than "
                f"{len(best) / len(words):.0%} of them.",
                evidence={"together": together, "best": title, "documents": len(covered)},
            )
        )
    return findings


def _covered(words: Sequence[str], shown: Shown) -> Mapping[str, set[str]]:
    """For each title the words that its passages have; the message's words count for all."""
    said = {word for word in words if shown.message.has(word)}
    covered = {passage.title: set(said) for passage in shown.passages}
    for word in words:
        for title in shown.titles_with(word):
            covered[title].add(word)
    return covered


SUPPORT = Detector("support", "1", find)
