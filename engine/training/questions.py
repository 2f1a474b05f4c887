"""Questions put together by rule from a sentence that answers them.

Two kinds. `ask` strings together words of the sentence: always possible, and rarely good English.
`questions_about` knows some forms of sentence ("S was built in 1889 by N") and asks as a person
would ("When was S built?"); about a fifth of the sentences of an encyclopedia have such a form.
"""

import random
import re

WORD = re.compile(r"[A-Za-z][A-Za-z'-]+|\d[\d,.]*\d|\d")
COMMON = frozenset(
    word
    for line in (
        "the a an of and to in is are was were be been by for with on at as from that this these",
        "those it its they their which who whom whose or but not have has had he she his her him",
        "we you i there than then so such can could may might will would into over under also",
        "more most other some any all many each one two about between through during after before",
        "when where while if because however both very only same often used called known",
    )
    for word in line.split()
)
_LEADS = (
    "What about", "Tell me about", "What do you know about", "Tell me", "What is said about",
    "Can you tell me about", "Explain", "I would like to know about", "How about",
)  # fmt: skip
_ASKING = (
    "What", "How", "Why", "When", "Where", "Who", "Which", "What is", "What does", "How does",
    "Why does", "Where is", "How is", "Why is", "Who was", "When was", "What are", "Why are",
    "How many", "How do", "Do you know",
)  # fmt: skip


def ask(sentence: str, title: str, rng: random.Random) -> str | None:
    """A question whose words point at the sentence, or None where it has too few."""
    words = [w for w in WORD.findall(sentence) if w.lower() not in COMMON]
    if len(words) < 3:
        return None
    if rng.random() < 0.5:  # a run of the sentence's words, as in a real question
        count = rng.randint(2, 4)
        at = rng.randrange(max(1, len(words) - count + 1))
        picked = words[at : at + count]
    else:
        chosen = sorted(rng.sample(range(len(words)), min(len(words), rng.randint(1, 3))))
        picked = [words[i] for i in chosen]
    if title and rng.random() < 0.7 and title.lower() not in " ".join(picked).lower():
        picked.insert(rng.choice((0, len(picked))), title.split(" (")[0])
    picked = [w if rng.random() < 0.5 else w.lower() for w in picked]
    lead = rng.choice(_ASKING if rng.random() < 0.7 else _LEADS)
    joiner = " and " if lead in _LEADS and rng.random() < 0.3 else " "
    if lead.startswith(("What", "How", "Why")) and rng.random() < 0.4:
        picked.insert(0, rng.choice(("the", "a", "is the", "do", "are the")))
    question = f"{lead} {joiner.join(picked)}"
    if rng.random() < 0.1:
        question = question.lower()
    return question + ("?" if rng.random() < 0.85 else rng.choice(("", ".")))


# "S be REST" and "S verb REST": a subject is short and has no comma in it
_BE = re.compile(r"^(?P<s>[^,;:()]{2,60}?) (?P<be>is|are|was|were) (?P<rest>.+?)[.!]?$")
_DOES = re.compile(
    r"^(?P<s>[^,;:()]{2,60}?) (?:often |usually |also |mainly |can |may )?(?P<v>consists? of|"
    r"contains?|includes?|produces?|forms?|causes?|eats?|needs?|makes?|provides?|affects?|gives?|"
    r"carry|carries|converts?|protects?|controls?|stores?|releases?|covers?|borders?|"
    r"requires?|supports?|uses?|means?|feeds? on|lives? (?:in|on)|depends? on|belongs? to) "
    r"(?P<rest>.+?)[.!]?$"
)
_DID = re.compile(
    r"^(?P<s>[^,;:()]{2,60}?) (?P<v>invented|discovered|wrote|built|founded|won|led|published|"
    r"developed|created|conquered|defeated|ruled|introduced|proposed|designed|established|"
    r"attacked|killed|married|painted|composed|opened|joined|entered) (?P<rest>.+?)[.!]?$"
)
_HAS = re.compile(
    r"^(?P<s>[^,;:()]{2,60}?) (?P<v>has|have|had) (?P<rest>.+?)[.!]?$"
)  # fmt: skip
_BASE = {
    "wrote": "write", "built": "build", "won": "win", "led": "lead", "invented": "invent",
    "discovered": "discover", "founded": "found", "published": "publish", "developed": "develop",
    "created": "create", "conquered": "conquer", "defeated": "defeat", "ruled": "rule",
    "introduced": "introduce", "proposed": "propose", "designed": "design",
    "established": "establish", "attacked": "attack", "killed": "kill", "married": "marry",
    "painted": "paint", "composed": "compose", "opened": "open", "joined": "join",
    "entered": "enter", "carries": "carry",
}  # fmt: skip
_PARTICIPLE = re.compile(
    r"^(?:\w+ly |first |also )?(\w+ed|born|built|made|found|held|written|won)\b"
)
_PLACE = re.compile(r"\b(?:in|at|on|near) (?:the )?[A-Z]")
_YEAR = re.compile(r"\b(?:1\d{3}|20[0-2]\d|\d{1,4} (?:BC|AD|BCE|CE)|\d{1,2}th century)\b")
_SIZE = re.compile(r"\d.*\b(long|high|tall|wide|deep|old|heavy|thick|large|far)\b")
_COUNT = re.compile(
    r"^(?:about |more than |around |over |nearly |only )?(?:\d[\d,.]*(?: million| billion)?|two|"
    r"three|four|five|six|seven|eight|nine|ten|twelve|many|several) ((?:[a-z]+ )?[a-z]+s)\b"
)
_PERSON = re.compile(
    r"\b(?:\w+(?:ist|ician|ian)|king|queen|author|poet|emperor|president|writer|painter|composer|"
    r"leader|actor|actress|singer|general|philosopher|explorer|inventor|engineer)\b"
)
_PRONOUNS = frozenset(("it", "he", "she", "they", "this"))
# not at the head of a subject: it points elsewhere, or there is none
_UNFIT = frozenset(
    word
    for line in (
        "these that those there we i you one its his her their our my some such another other in",
        "on at among next after before during by with for from when while as if although though",
        "both each most many prior to according despite since until what how",
    )
    for word in line.split()
)
_VERBS = frozenset(  # not inside one
    ("is", "are", "was", "were", "has", "have", "had", "may", "can", "will", "would", "been")
) | frozenset(("also", "which", "who", "that", "needed"))


def questions_about(sentence: str, title: str = "") -> list[str]:
    """Every question that the rules make of a sentence; [] where none fits.

    A pronoun for a subject is replaced by the document's title, or fits no rule without one.
    """
    found: list[str] = []
    if because := re.search(r" because | in order to |, so that ", sentence):
        found += _why(sentence[: because.start()], title)
    for form, about in _FORMS:
        match = form.match(sentence)
        subject = _subject(match["s"], title) if match else ""
        if match and subject:
            found += about(subject, match)
    return found


def _about_being(subject: str, match: re.Match[str]) -> list[str]:
    be, rest, found = match["be"], match["rest"], []
    if re.match(r"(?:a|an|the|one of)\b", rest):
        person = match["s"] in ("He", "She") or _PERSON.search(" ".join(rest.split()[:7]))
        found.append(f"{'Who' if person else 'What'} {be} {subject}?")
    if size := _SIZE.search(rest):
        found.append(f"How {size[1]} {be} {subject}?")
    if participle := _PARTICIPLE.match(rest):
        verb = participle[1]
        after = rest[participle.end() :]
        if _YEAR.search(after):
            found.append(f"When {be} {subject} {verb}?")
        if _PLACE.search(after):
            found.append(f"Where {be} {subject} {verb}?")
        if re.match(r" by [A-Z]", after) and verb != "born":
            who = f"{verb} {subject}" if verb.endswith("ed") else f"{be} {subject} {verb} by"
            found.append(f"Who {who}?")
        word = re.match(r" (for|of|from|in|as|by|to)\b", after)
        if word and verb in ("used", "made", "found", "called", "caused", "known"):
            found.append(f"What {be} {subject} {verb} {'for' if word[1] == 'to' else word[1]}?")
    elif re.match(r"(?:in|at|on|near|part of)\b", rest) and be in ("is", "are"):
        found.append(f"Where {be} {subject}?")
    return found


def _about_having(subject: str, match: re.Match[str]) -> list[str]:
    auxiliary = {"has": "does", "have": "do", "had": "did"}[match["v"]]
    if count := _COUNT.match(match["rest"]):
        return [f"How many {count[1]} {auxiliary} {subject} have?"]
    if re.match(r"(?:\w+ )?\w+ed\b|(?:\w+ )?been\b|to\b", match["rest"]):
        return []  # a perfect, not a possession
    return [f"What {auxiliary} {subject} have?"]


def _about_doing(subject: str, match: re.Match[str]) -> list[str]:
    first, _, word = match["v"].partition(" ")
    auxiliary = "does" if first.endswith("s") else "do"
    base = _BASE.get(first, first.removesuffix("s"))
    if base == "live":
        return [f"Where {auxiliary} {subject} live?"]
    return [f"What {auxiliary} {subject} {base}{' ' + word if word else ''}?"]


def _about_deeds(subject: str, match: re.Match[str]) -> list[str]:
    verb, rest = match["v"], match["rest"]
    found = [f"What did {subject} {_BASE[verb]}?"]
    thing = re.split(r",| in | on | and ", rest)[0].rstrip(".")
    if len(thing.split()) <= 8:
        found.append(f"Who {verb} {thing}?")
        if _YEAR.search(rest):
            found.append(f"When did {subject} {_BASE[verb]} {thing}?")
    return found


_FORMS = ((_BE, _about_being), (_HAS, _about_having), (_DOES, _about_doing), (_DID, _about_deeds))


def _why(clause: str, title: str) -> list[str]:
    """What stands before a because, "S is X" -> "Why is S X?"."""
    match = _BE.match(clause)
    subject = _subject(match["s"], title) if match else ""
    if match is None or not subject or len(match["rest"].split()) > 10:
        return []
    return [f"Why {match['be']} {subject} {match['rest']}?"]


def _subject(text: str, title: str) -> str:
    """A subject as it stands inside a question; "" for one that does not stand by itself."""
    words = text.split()
    lower = [word.lower() for word in words]
    if lower == lower[:1] and lower[0] in _PRONOUNS:
        return title.split(" (")[0]
    if not 0 < len(words) <= 8 or lower[0] in _UNFIT or _VERBS & set(lower) or "  " in text:
        return ""
    if lower[0] in _PRONOUNS and lower[0] != "this":
        return ""
    determined = lower[0] in COMMON or (lower[0].endswith("s") and len(words) == 1)
    return text[0].lower() + text[1:] if determined else text
