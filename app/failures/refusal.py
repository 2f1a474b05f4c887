"""A reply that declines: it says that the passages do not say, or that it will not or cannot."""

import re
from functools import lru_cache

from app.failures.protocol import Detector, finding
from app.failures.reading import sentences
from app.records import Finding, Turn

# That what was read has no answer: "The passages do not say."
_NOT_THERE = re.compile(
    r"\b(?:the|these|this|those|my|your) (?:passages?|texts?|documents?|sources?|excerpts?|context"
    r"|articles?|library|information(?= (?:here|given|above|shown|provided)))\b[^.!?\n]{0,60}?"
    r"\b(?:do(?:es)? not|do(?:es)?n['’]t|did not|didn['’]t|never|nowhere|cannot)\b[^.!?\n]{0,20}?"
    r"\b(?:say\w?|mention|contain|include|state|tell|answer|cover|give|provide|explain|specify"
    r"|discuss|address)\b"
    r"|\b(?:none of|nothing in) the (?:passages?|texts?|documents?|sources?|excerpts?|articles?)\b"
    r"|\b(?:is|are|was|were) not (?:mentioned|stated|given|covered|specified|discussed|included)"
    r"(?: anywhere)? (?:in|by) the (?:passages?|texts?|documents?|sources?|excerpts?|articles?)\b"
    r"|\b(?:the|these) (?:passages?|texts?|documents?|sources?|excerpts?|articles?) (?:say|says"
    r"|tell"
    r"|tells|mention) nothing\b|\b(?:is|are) silent on\b"
    r"|\bthere is (?:no answer|nothing)\b[^.!?\n]{0,30}\b(?:passages?|texts?|documents?|sources?"
    r"|excerpts?|articles?)\b"
    r"|\bnot clear from the (?:passages?|text|documents?|sources?|article)\b"
    r"|\bfrom the (?:passages?|text|documents?|sources?|article) it is not clear\b"
    r"|\bi (?:could not|couldn['’]t|cannot|can['’]t) find\b[^.!?\n]{0,40}\b(?:passages?|texts?"
    r"|documents?|sources?|excerpts?|articles?)\b",
    re.IGNORECASE,
)
# That the writer will not or cannot: "I'm sorry, but I can't help with that."
_DECLINED = re.compile(
    r"\bi(?:['’]m| am)? (?:sorry|afraid)\b[^.!?\n]{0,20}\b(?:i )?(?:can(?:no|['’])t|cannot"
    r"|won['’]t|do not|don['’]t|am (?:not able|unable))\b"
    r"|\bi(?:['’]m| am) (?:unable|not able|not allowed|not permitted|not going) to\b"
    r"|\bi (?:cannot|can['’]t|can not|won['’]t|will not|must not|may not)\s+(?:\w+ly )?"
    r"(?:help(?! (?:but|\w+ing))|assist|answer|provide|comply|do (?:that|this)"
    r"|discuss|give|share|write|tell|say|offer|talk|respond|reveal|make|create|engage|support)\b"
    r"|\bi (?:do not|don['’]t) (?:know|have (?:an answer|access|enough|that|the|any "
    r"(?:information|opinions?|data)|an opinion)|feel comfortable)\b"
    r"|\bi(?:['’]d| would) (?:rather|prefer to|prefer) not\b"
    r"|\bi (?:must |have to )?(?:decline|refuse)(?: to\b|[.,;]|$)|\bno comment\b",
    re.IGNORECASE,
)
# Each pattern above needs one of these.
_NEGATION = re.compile(
    r"not|n['’]t|never|nowhere|nothing|none|silent|sorry|afraid|unable|rather|prefer|decline|refuse"
    r"|no (?:answer|comment|opinion)",
    re.IGNORECASE,
)
_SAID = re.compile(r"[“\"]|\b(?:said|says|wrote|replied|answered|asked)\b[^.]{0,4}[:,]\s*$", re.I)
OPENING = 2  # sentences: a reply declines at its start or not at all


def find(turn: Turn) -> list[Finding]:
    """`refusal.not_in_passages` and `refusal.declined`, in the reply's first two sentences."""
    text = turn.reply.text
    for sentence in sentences(text)[:OPENING]:
        for kind, pattern, what in (
            ("not_in_passages", _NOT_THERE, "says that what it was shown has no answer"),
            ("declined", _DECLINED, "says that the writer will not or cannot answer"),
        ):
            match = pattern.search(sentence.text)
            if match and not _SAID.search(sentence.text, 0, match.start()):
                return [
                    finding(
                        f"refusal.{kind}",
                        text,
                        (sentence.start, sentence.end),
                        score=1.0,
                        threshold=1.0,
                        severity="info",
                        explanation=f"The reply {what}.",
                        evidence={"phrase": match.group()},
                    )
                ]
    return []


@lru_cache(maxsize=1024)
def declines(sentence: str) -> bool:
    """Whether a sentence only says that there is no answer, and so claims nothing else."""
    if not _NEGATION.search(sentence):
        return False
    return bool(_NOT_THERE.search(sentence) or _DECLINED.search(sentence))


REFUSAL = Detector("refusal", "1", find)
