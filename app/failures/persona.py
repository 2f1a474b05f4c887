"""The reply steps out of the part of a program that answers: it writes the person's turns too, or
tells of a life of its own."""

import re

from app.failures.protocol import Detector, finding
from app.failures.reading import asks_for_fiction, sentences, without_code
from app.records import Finding, Turn
from prompts.dialogue import ASSISTANT, USER

_TAGS = "|".join(re.escape(tag.rstrip(":")) for tag in (USER, ASSISTANT))
_TURN = re.compile(
    rf"(?:^|(?<=[.!?\n])[ \t]*)(?:{_TAGS}|Human|Assistant|User|Gopher)[ \t]*:(?=[ \t]*\S)",
    re.MULTILINE,
)
_QUOTED = re.compile(r"“[^“”]{0,1000}”|\"[^\"\n]{0,1000}\"|«[^«»]{0,1000}»|^>.*$", re.MULTILINE)
_KIN = (
    r"(?:mother|mom|mum|father|dad|wife|husband|brother|sister|son|daughter|children|kids|parents"
    r"|grandmother|grandfather|grandma|grandpa|girlfriend|boyfriend|family|uncle|aunt|cousin|baby)"
)
_BODY = (
    r"(?:hands?|eyes?|legs?|feet|heart|stomach|back|hair|skin|body|arms?|knees?|teeth|bones|face"
    r"|shoulders?|fingers?|nose|ears?|throat|belly)"
)
_PLACE = (
    r"(?:house|home|flat|apartment|village|hometown|garden|bedroom|kitchen|school|university|job"
    r"|car|bike|dog|cat)"
)
_LIFE = re.compile(
    "|".join(
        (
            r"\bi was (?:born|raised|brought up|a (?:little |small |young )?(?:child|boy|girl|kid"
            r"|teenager|student|nurse|teacher|doctor|soldier|sailor|farmer))\b",
            r"\bi (?:grew up|got married|went to (?:school|college|university|church|bed|the)"
            r"|fell in love|fell asleep|woke up|had (?:breakfast|lunch|dinner)|retired"
            r"|graduated)\b",
            r"\bwhen i was (?:young|little|small|a|at|in|\w+ years old|\d)",
            r"\bi(?:['’]m| am| come) from (?-i:[A-Z])",
            r"\bi(?:['’]m| am) (?:\d{1,2}|\w+(?:-\w+)?) years old\b",
            r"\bi(?:['’]m| am) (?:hungry|thirsty|sleepy|married|pregnant|divorced|a (?:human|man"
            r"|woman"
            r"|mother|father|person|real person|nurse|doctor|teacher|farmer|fisherman|student"
            r"|girl|boy"
            r"|grandmother|father of|mother of|vegetarian|smoker))\b",
            rf"\bmy (?:own |late |older |younger |little |old |poor )?(?:{_KIN}|{_BODY})\b",
            rf"\bmy (?:own |old |little |first )?{_PLACE}\b",
            r"\bi (?:live|lived|work|worked|moved|travelled|traveled|drove|walked|swam|ate|drank"
            r"|studied"
            r"|cooked|slept|cried|met|visited|bought|climbed|sailed|played)(?: him| her| them| "
            r"\w+)? (?:in|at|to|with|on|as|a"
            r"|an|the|some|there|it|my|there|every|last|across|up|by|along|near)\b",
            r"\bi (?:eat|drink|cook|sleep|breathe|swim|drive) (?:in|at|with|a|an|the|my|every|well"
            r"|fish|meat|coffee|tea|it|when|two|three)\b",
            r"\bi(?:['’]ve| have) (?:been to|seen it myself|two|three|four|a (?:wife|husband|son"
            r"|daughter"
            r"|dog|cat|brother|sister|body|headache|cold|family|child|job)|lived|visited|eaten"
            r"|travelled"
            r"|traveled|worked (?:in|as|at)|my own)\b",
            r"\bas a (?:human(?: being)?|woman|man|mother|father|child|nurse|doctor|parent) "
            r"?(?:myself|,)"
            r" ?(?:i|my)\b",
            r"\bi remember (?:my|the (?:day|time|smell|taste|first)|when|how (?:my|we|it))\b",
        )
    ),
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:I|i|my|My|MY)\b")
_DENIED = re.compile(
    r"\b(?:no|not|never|without|neither|nor|cannot|if|unlike|imagine)\b[^.]*$|n['’]t\b[^.]*$",
    re.IGNORECASE,
)


def find(turn: Turn) -> list[Finding]:
    """`persona.turns` for written speaker tags, `persona.human` for a body, a family, a past."""
    text = turn.reply.text
    prose = without_code(text)
    findings = _turns(text, prose)
    if not asks_for_fiction(turn.message):
        findings += _lives(text, _QUOTED.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), prose))
    return sorted(findings, key=lambda found: found.start)


def _turns(text: str, prose: str) -> list[Finding]:
    tags = list(_TURN.finditer(prose))
    if not tags:
        return []
    names = sorted({match.group().strip() for match in tags})
    return [
        finding(
            "persona.turns",
            text,
            (
                tags[0].start() + len(tags[0].group()) - len(tags[0].group().lstrip()),
                len(text.rstrip()),
            ),
            score=len(tags),
            threshold=1,
            explanation=f"The reply itself writes speaker tags ({', '.join(names)}): {len(tags)} "
            f"turn{'' if len(tags) == 1 else 's'} of a conversation.",
            evidence={"tags": names, "turns": len(tags)},
        )
    ]


def _lives(text: str, prose: str) -> list[Finding]:
    findings = []
    for sentence in sentences(prose):
        match = _LIFE.search(sentence.text) if _FIRST_PERSON.search(sentence.text) else None
        if match and not _DENIED.search(sentence.text, 0, match.start()):
            findings.append(
                finding(
                    "persona.human",
                    text,
                    (sentence.start, sentence.end),
                    score=1.0,
                    threshold=1.0,
                    explanation=f"In the first person, “{match.group()}” tells of a body or of a "
                    "life, which a program has not.",
                    evidence={"phrase": match.group()},
                )
            )
    return findings


PERSONA = Detector("persona", "1", find)
