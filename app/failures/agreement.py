"""How far two people agree: Cohen's kappa with the counts it is made of. Pure.

Kappa (Cohen 1960) is (raw - chance) / (1 - chance), where raw is the share of things that both
say the same of and chance the share expected if each kept the own frequency but chose blindly.
With rare failures raw agreement is high whatever anybody does, and kappa is low or undefined, so
neither is shown without the other and the four counts.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Agreement:
    """How often two people said yes and no of the same things."""

    both: int
    first: int  # the first alone said yes
    second: int
    neither: int

    @property
    def of(self) -> int:
        return self.both + self.first + self.second + self.neither

    @property
    def raw(self) -> float | None:
        """The share that they agree on; None where there is nothing."""
        return (self.both + self.neither) / self.of if self.of else None

    @property
    def kappa(self) -> float | None:
        """Between -1 and 1; None where it is undefined: nothing to agree on, or both said the
        same one thing of everything, so that chance alone explains all."""
        n = self.of
        yes = (self.both + self.first) * (self.both + self.second)
        no = (self.neither + self.second) * (self.neither + self.first)
        chance = yes + no  # times n squared, so that nothing is rounded
        if not n or chance == n * n:
            return None
        return ((self.both + self.neither) * n - chance) / (n * n - chance)


@dataclass(frozen=True)
class Pair:
    """Two people, in the order of their names, on one label or, with "", on any failure."""

    first: str
    second: str
    label: str
    agreement: Agreement


def agreement_of(said: Iterable[tuple[bool, bool]]) -> Agreement:
    """Counts what the first and the second said of each thing."""
    counts = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for a, b in said:
        counts[bool(a), bool(b)] += 1
    return Agreement(
        counts[True, True], counts[True, False], counts[False, True], counts[False, False]
    )


def pairs_of(readings: Mapping[str, Mapping[str, frozenset[str]]]) -> list[Pair]:
    """Agreement of every two people on the replies that both have read.

    `readings` has by person and reply the labels that the person marked there. First comes the
    agreement on whether there is any failure, then each label that one of the two used.
    """
    found = []
    for first, second in combinations(sorted(readings), 2):
        a, b = readings[first], readings[second]
        shared = a.keys() & b.keys()
        if not shared:
            continue
        said_by = [_by_label(reader, shared) for reader in (a, b)]
        for label in sorted(said_by[0].keys() | said_by[1].keys() | {""}):
            x, y = (by.get(label, set()) for by in said_by)
            both, either = len(x & y), len(x | y)
            counts = Agreement(both, len(x) - both, len(y) - both, len(shared) - either)
            found.append(Pair(first, second, label, counts))
    return found


def _by_label(read: Mapping[str, frozenset[str]], shared: Set[str]) -> dict[str, set[str]]:
    """The shared replies by label, and with "" those that have any."""
    found: dict[str, set[str]] = {}
    for reply in shared:
        for label in read[reply]:
            found.setdefault(label, set()).add(reply)
            found.setdefault("", set()).add(reply)
    return found
