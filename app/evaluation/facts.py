"""Questions about articles of the library, and whether a reply has the fact that was asked for.

A file of them is jsonl: {"question", "article": its title, "facts": [[alternative, ...], ...]}.
A text has the fact if every list has an alternative that occurs in it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.evaluation.answers import declines
from app.evaluation.asking import unlogged
from app.evaluation.bootstrap import ratio, share
from app.evaluation.curves import told
from app.evaluation.effects import greedy
from app.evaluation.held import NothingToMeasure
from app.evaluation.parts import Part
from app.evaluation.shown import OFF, ON
from app.records import Settings
from app.turn import Finished, Turns
from engine.protocol import Engine
from retrieval.database import Database
from retrieval.protocol import Retrieve

FILE = Path(__file__).parent / "library.jsonl"
IN_CONTEXT = "in context"
Alternatives = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Fact:
    question: str
    article: str
    facts: Alternatives


def has(text: str, facts: Sequence[Sequence[str]]) -> bool:
    """Whether every list has an alternative in the text: case-folded, at word boundaries, and a
    number not within a longer one such as 8 in 8,848."""
    told = " ".join(text.casefold().split())
    return all(any(_pattern(some).search(told) for some in alternatives) for alternatives in facts)


def _pattern(alternative: str) -> re.Pattern[str]:
    words = re.escape(" ".join(alternative.casefold().split()))
    return re.compile(rf"(?<!\w)(?<!\d[.,]){words}(?!\w)(?![.,]\d)")


def read_facts(path: Path) -> tuple[Fact, ...]:
    """Raises NothingToMeasure, naming file and line, where one is not such a question."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NothingToMeasure(f"cannot read {path}: {error}") from None
    found = tuple(
        _fact_of(line, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    )
    if not found:
        raise NothingToMeasure(f"{path} holds no questions")
    return found


def _fact_of(line: str, place: str) -> Fact:
    try:
        row = json.loads(line)
        question, article, facts = (row[name] for name in ("question", "article", "facts"))
        right = all(isinstance(text, str) and text.strip() for text in (question, article))
        right = right and facts and all(some and isinstance(some, list) for some in facts)
        if right and all(isinstance(one, str) and one for some in facts for one in some):
            return Fact(question, article, tuple(map(tuple, facts)))
    except (ValueError, TypeError, KeyError):
        pass
    raise NothingToMeasure(
        f'{place} is not a question; give {{"question": ..., "article": its title, '
        '"facts": [[alternative, ...], ...]}'
    )


def missing(facts: Sequence[Fact], database: Database) -> str:
    """A sentence on the articles that are not among the passages, "" where all are."""
    lacking = {fact.article for fact in facts} - {entry.title for entry in database.documents()}
    if not lacking:
        return ""
    return (
        f"{len(lacking)} of the articles asked about are not in {database.directory}, such as "
        f"{min(lacking)!r}: what they say cannot be shown"
    )


@dataclass(frozen=True)
class Told:
    """A reply. `found`: whether one of the passages shown, with its continuation, has the fact."""

    reply: str
    right: bool
    declined: bool
    found: bool


def ways_of(defaults: Settings) -> dict[str, Settings]:
    """As the page asks, but greedily: with passages, without, and with the best in the prompt."""
    on = replace(greedy(defaults), retrieve=True, in_context=False)
    return {
        ON: on,
        OFF: replace(on, retrieve=False),
        IN_CONTEXT: replace(on, in_context=True),
    }


def facts_part(
    engine: Engine, retrieve: Retrieve, database: Database, facts: Sequence[Fact],
    defaults: Settings,
) -> Part:  # fmt: skip
    """A row a question: what was told in each way. The engine must use `retrieve` too."""

    def rows() -> Iterator[dict[str, Told]]:
        with unlogged(engine, retrieve, lambda: database.fingerprint) as (turns, _):
            for fact in facts:
                yield {way: ask(turns, fact, s) for way, s in ways_of(defaults).items()}

    return Part("facts", len(facts), rows, summarise)


def ask(turns: Turns, fact: Fact, settings: Settings) -> Told:
    """Raises NothingToMeasure where the reply failed."""
    *_, last = turns.run(fact.question, settings)
    assert isinstance(last, Finished)  # the last event of a turn that was not closed
    turn = last.turn
    if turn.finish == "error":
        raise NothingToMeasure(f"the reply to {fact.question!r} failed: {turn.error}")
    shown = [n.text + n.continuation for chunk in turn.reply.chunks for n in chunk.neighbours]
    text = turn.reply.text
    found = any(has(passage, fact.facts) for passage in [*shown, turn.passage])
    return Told(text, has(text, fact.facts), declines(text), found)


def summarise(rows: Sequence[Mapping[str, Told]]) -> dict[str, Any]:
    """Shares of the questions in each way with 95 % intervals, and how two ways differ in what is
    right, question by question."""
    ways = []
    for way in rows[0]:
        some = [row[way] for row in rows]
        shares = {
            "right": told(share([t.right for t in some])),
            "declined": told(share([t.declined for t in some])),
            "found": told(share([t.found for t in some])),
            "right_where_found": told(share([t.right for t in some if t.found])),
        }
        ways.append({"way": way, "questions": len(rows), **shares})
    differences = []
    for one, other in ((ON, OFF), (IN_CONTEXT, ON)):
        pairs = [(row[one].right, row[other].right) for row in rows]
        differences.append(
            {
                "way": f"{one} less {other}",
                "right": told(ratio([a - b for a, b in pairs], [1.0] * len(pairs), seed=0)),
                f"only_{one.replace(' ', '_')}": sum(a and not b for a, b in pairs),
                f"only_{other.replace(' ', '_')}": sum(b and not a for a, b in pairs),
            }
        )
    return {"questions": len(rows), "ways": ways, "differences": differences}
