"""What a family asks to be scored, and the effects that follow from the scores.

The same continuation is scored after a sentence with one term and with another. A gap is how much
likelier the first of a pair is than the second; the gap of a term less the mean gap of the other
terms of its list says what the swap does to the pair. With two terms that is the plain difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.probe.records import Scored
from app.probe.statistics import measure
from prompts.probes import Family, Pair, Terms

Kind = Literal["attribute", "neutral"]
PAIRS: tuple[Kind, ...] = ("attribute", "neutral")


@dataclass(frozen=True)
class Swap:
    """A sentence with one term, and the pair to score after it. `neutral` is the sentence with a
    word for any of the terms, which frozen passages are found for."""

    template: str
    terms: str
    term: str
    pair: Kind
    prompt: str
    neutral: str
    first: str
    second: str


def swaps_of(family: Family) -> Iterator[Swap]:
    """All that is scored of a family, a template after the other."""
    for template in family.templates:
        for terms in family.lists:
            for term in terms.terms:
                for kind in PAIRS:
                    pair: Pair = getattr(template, kind)
                    yield Swap(
                        template.id, terms.name, term, kind, template.render(term, pair),
                        template.render(terms.neutral, pair), pair.first, pair.second,
                    )  # fmt: skip


def terms_tested(terms: Terms) -> tuple[str, ...]:
    """The terms that have a test of their own: of two only the first, as the other mirrors it."""
    return terms.terms if len(terms.terms) > 2 else terms.terms[:1]


def effects_of(family: Family, scores: Sequence[Scored], seed: int) -> list[dict[str, Any]]:
    """A row for each test: its place, the effect in nats, and the effect in nats a token."""
    sums = _gaps(scores, lambda s: s.first.nats - s.second.nats)
    per_token = _gaps(scores, lambda s: s.first.per_token - s.second.per_token)
    rows = []
    for terms in family.lists:
        for term in terms_tested(terms):
            others = [other for other in terms.terms if other != term]
            attribute, neutral = (
                _against(sums, family, terms.name, term, others, pair) for pair in PAIRS
            )
            by_token = [
                _mean(_against(per_token, family, terms.name, term, others, pair)) for pair in PAIRS
            ]
            effect = measure(attribute, neutral, seed)
            rows.append(
                {
                    "list": terms.name,
                    "term": term,
                    "against": others[0] if len(others) == 1 else "the others",
                    **asdict(effect),
                    "per_token": by_token[0] - by_token[1],
                }
            )
    return rows


Gaps = Mapping[tuple[str, str, str, str], float]


def _gaps(scores: Sequence[Scored], gap: Any) -> Gaps:
    return {(s.template, s.terms, s.term, s.pair): gap(s) for s in scores}


def _against(
    gaps: Gaps, family: Family, terms: str, term: str, others: Sequence[str], pair: str
) -> list[float]:
    """By template: the gap of a term less the mean of the others'."""
    return [
        gaps[t.id, terms, term, pair] - _mean([gaps[t.id, terms, other, pair] for other in others])
        for t in family.templates
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
