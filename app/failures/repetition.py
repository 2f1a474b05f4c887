"""Repetition in a reply: six measurements, each of which names what it counted.

Words are case-folded runs of letters and digits; punctuation is passed over, and a Chinese or
Japanese character is a word of its own. Thresholds were fixed before they were first measured, but
for `FOUR_GRAMS_FROM`: with 40 words one of the 74 repeating replies of the tuning half escaped
that 24 words find, and neither had a false finding there.
"""

import re
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from app.failures.loops import Run, Words, tandem_runs
from app.failures.protocol import Detector, NotApplicable, excerpt, finding
from app.failures.reading import FENCE
from app.records import Finding, Turn

FOUR_GRAMS_FROM = 24  # words
FOUR_GRAMS_AGAIN = 0.25  # share of sequences of four words that have occurred before
_DIGITS = re.compile(r"\d+")
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_CHARACTERS = re.compile(r"((?:[^\w\s]\s?){1,4}?|\S{1,8}?)\1{7,}")
_RULED_LINE = re.compile(r"[-=_*~#+|:./<> \t]{1,120}")  # a rule or the edge of a table


def find(turn: Turn) -> list[Finding]:
    """All repetition in a reply, in the order of the rules below."""
    text = turn.reply.text
    if not text.strip():
        raise NotApplicable("the reply is empty")
    words = Words.of(text)
    loops = tandem_runs(words.folded, copies=3, length=12, length_of_one=6)
    findings = [_loop(words, run) for run in loops]
    findings += _counter_loops(words, loops)
    covered = [words.span(run.start, run.end) for run in loops]
    findings += _characters(text, covered)
    findings += _four_grams(words)
    findings += _sentences(words)
    findings += _compression(text)
    return findings


def _loop(words: Words, run: Run) -> Finding:
    unit = excerpt(words.text, *words.span(run.start, run.start + run.period))
    copies = int(run.copies)
    what = f"The word “{unit}” is" if run.period == 1 else f"The {run.period} words “{unit}” are"
    return finding(
        "repetition.loop",
        words.text,
        words.span(run.start, run.end),
        score=run.copies,
        threshold=3,
        explanation=f"{what} repeated {copies} times in a row.",
        evidence={
            "period": run.period,
            "copies": copies,
            "words": run.end - run.start,
            "at_end": run.end == len(words.folded),
        },
    )


def _counter_loops(words: Words, loops: Sequence[Run]) -> list[Finding]:
    """Loops in which only numbers change: at least 4 copies, 24 words, 3 other words a unit."""
    masked = [_DIGITS.sub("#", word) for word in words.folded]
    if masked == list(words.folded):
        return []

    def accept(run: Run) -> bool:
        unit = {word for word in masked[run.start : run.start + run.period] if "#" not in word}
        return len(unit) >= 3 and not any(run.overlaps(loop) for loop in loops)

    runs = tandem_runs(masked, copies=4, length=24, length_of_one=24, accept=accept)
    findings = []
    for run in runs:
        unit = excerpt(words.text, *words.span(run.start, run.start + run.period))
        copies = int(run.copies)
        findings.append(
            finding(
                "repetition.counter_loop",
                words.text,
                words.span(run.start, run.end),
                score=run.copies,
                threshold=4,
                explanation=f"The {run.period} words “{unit}” are repeated {copies} times in a "
                "row with nothing but the numbers changed.",
                evidence={"period": run.period, "copies": copies, "words": run.end - run.start},
            )
        )
    return findings


def _characters(text: str, covered: Sequence[tuple[int, int]]) -> list[Finding]:
    """Up to 8 characters, at least 8 times and 24 characters: marks, emoji, or a word's insides.

    `warn` from 64 characters on. Ruled lines are left out, and so are `covered` spans.
    """
    findings = []
    for match in _CHARACTERS.finditer(text):
        quote = match.group().strip()
        start = match.start() + match.group().index(quote)
        end = start + len(quote)
        length = sum(not character.isspace() for character in quote)
        line_start = text.rfind("\n", 0, start) + 1
        line_end = text.find("\n", end)
        line = text[line_start : len(text) if line_end < 0 else line_end]
        ruled = _RULED_LINE.fullmatch(line)
        if length < 24 or ruled or any(a < end and start < b for a, b in covered):
            continue
        unit = match.group(1).strip()
        copies = len(match.group()) // len(match.group(1))
        findings.append(
            finding(
                "repetition.characters",
                text,
                (start, end),
                score=length,
                threshold=24,
                severity="warn" if length >= 64 else "info",
                explanation=f"“{unit}” is repeated {copies} times in a row.",
                evidence={"unit": unit, "copies": copies, "characters": length},
            )
        )
    return findings


def _four_grams(words: Words) -> list[Finding]:
    """seq-rep-4, the share of four-word sequences that are not new: above .25 of 24 words or more.

    The measure is that of Welleck et al., arXiv 1908.04319.
    """
    if len(words.folded) < FOUR_GRAMS_FROM:
        return []
    grams = [words.folded[i : i + 4] for i in range(len(words.folded) - 3)]
    counts = Counter(grams)
    score = 1 - len(counts) / len(grams)
    if score <= FOUR_GRAMS_AGAIN:
        return []
    first = {gram: i for i, gram in reversed(list(enumerate(grams)))}
    again = [i for i, gram in enumerate(grams) if first[gram] < i]
    common = [[" ".join(gram), n] for gram, n in counts.most_common(3)]
    return [
        finding(
            "repetition.ngram",
            words.text,
            words.span(again[0], again[-1] + 4),
            score=score,
            threshold=FOUR_GRAMS_AGAIN,
            explanation=f"{score:.0%} of the sequences of four words had occurred before in the "
            f"reply; the commonest, “{common[0][0]}”, occurs {common[0][1]} times.",
            evidence={"words": len(words.folded), "commonest": common},
        )
    ]


def _sentences(words: Words) -> list[Finding]:
    """Sentences of 4 words or more, said before word for word: two, and above .2 of the text."""
    seen: set[tuple[str, ...]] = set()
    again: list[tuple[int, int]] = []
    total = 0
    # every fenced block is replaced by as many line ends, which keeps offsets true
    prose = FENCE.sub(lambda block: "\n" * len(block.group()), words.text)
    starts = [start for start, _ in words.spans]
    for match in _SENTENCE.finditer(prose):
        folded = words.folded[bisect_left(starts, match.start()) : bisect_left(starts, match.end())]
        if len(folded) < 4:
            continue
        total += len(match.group())
        if folded in seen:
            start = match.end() - len(match.group().lstrip())
            again.append((start, match.start() + len(match.group().rstrip())))
        seen.add(folded)
    score = sum(end - start for start, end in again) / total if total else 0.0
    if len(again) < 2 or score <= 0.2:
        return []
    return [
        finding(
            "repetition.sentence",
            words.text,
            (again[0][0], again[-1][1]),
            score=score,
            threshold=0.2,
            explanation=f"{len(again)} sentences repeat earlier ones word for word; they are "
            f"{score:.0%} of the sentences' characters.",
            evidence={"sentences": len(again), "spans": [list(span) for span in again[:100]]},
        )
    ]


def _compression(text: str) -> list[Finding]:
    """zlib's ratio above 2.4 on 200 bytes or more. Weak: lists and tables compress well too."""
    data = FENCE.sub("", text).strip().encode(errors="replace")
    score = len(data) / len(zlib.compress(data))
    if len(data) < 200 or score <= 2.4:
        return []
    return [
        finding(
            "repetition.compression",
            text,
            (0, len(text)),
            score=score,
            threshold=2.4,
            severity="info",
            explanation=f"The reply compresses to 1/{score:.1f} of its size, more than most prose "
            "of its length. Lists and tables do so too.",
            evidence={"bytes": len(data)},
        )
    ]


REPETITION = Detector("repetition", "2", find)
