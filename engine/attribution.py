"""What each neighbour changed in a finished reply, measured by teacher forcing.

The reply is held fixed and each chunk is read again under every subset of its neighbours, with
everything before the chunk as it was. A neighbour's effect is its Shapley value over the subsets:
the effects of a chunk's neighbours add up to what all of them changed, and two that are alike
share equally. Effects are conditional on the reply: with other neighbours the model would have
written, and so retrieved, something else.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from engine.protocol import ChunkScores, Engine, Reply, Scoring, Segment
from retrieval.protocol import Neighbour

MOST_NEIGHBOURS = 4  # of a chunk: 2^4 subsets
LEAST_CONTROLS = 100  # random passages that thresholds are set on
TAIL = 0.05  # the share of random passages whose gain lies above the threshold

Word = Literal["copied", "used", "hurt", "no measurable effect"]
Subset = frozenset[int]  # ranks of a chunk's neighbours, from 0


class Unmeasurable(ValueError):
    """A reply whose effects cannot be measured; the message says why."""


@dataclass(frozen=True)
class NeighbourEffect:
    """What one neighbour changed in the log-probability of its chunk, in nats."""

    shapley: float
    left_out: float  # all neighbours less all but this one
    attention: float  # its share of the cross-attention, 0 to 1: where the model looked


@dataclass(frozen=True)
class ChunkEffect:
    """A reply chunk with and without its neighbours; log-probabilities of its tokens, in nats.

    `controls` are the gains from random passages, each shown alone in place of the neighbours.
    """

    on: tuple[float, ...]
    off: tuple[float, ...]
    neighbours: tuple[NeighbourEffect, ...]
    controls: tuple[float, ...] = ()

    @property
    def gain(self) -> float:
        """What the neighbours of this chunk changed in its log-probability, in nats."""
        return math.fsum(self.on) - math.fsum(self.off)


@dataclass(frozen=True)
class Attribution:
    """The effects in a reply. `bare` are the log-probabilities of its tokens in nats with no
    neighbours in any of its chunks; `seconds` is how long measuring took."""

    chunks: tuple[ChunkEffect, ...]
    bare: tuple[float, ...]
    seconds: float

    @property
    def gain(self) -> float:
        """What all neighbours changed in the log-probability of the reply, in nats."""
        return math.fsum(p for chunk in self.chunks for p in chunk.on) - math.fsum(self.bare)


@dataclass(frozen=True)
class Thresholds:
    """Beyond what an effect has a word: nats for a chunk, and words that are shared in a row.

    They belong to a model and a database, see `calibrate`.
    """

    used: float
    hurt: float
    copied: int


def attribute(
    engine: Engine,
    prompt: Sequence[Segment],
    reply: Reply,
    controls: Sequence[Neighbour] = (),
) -> Attribution:
    """Measures a reply to a prompt; each control is tried in every chunk.

    Costs one pass over the reply for each of 2^k subsets and each control, in one batch a chunk.
    Raises Unmeasurable, and what `Engine.score` raises.
    """
    start = time.monotonic()
    chunks = [chunk for chunk in reply.chunks if chunk.last > chunk.first]
    if not chunks:
        raise Unmeasurable("the reply is empty, so there is nothing to measure")
    most = max(len(chunk.neighbours) for chunk in chunks)
    if most > MOST_NEIGHBOURS:
        raise Unmeasurable(
            f"a chunk has {most} neighbours; effects are measured for up to {MOST_NEIGHBOURS}, "
            "because every subset of them is tried"
        )
    tokens = tuple(token.id for token in reply.tokens)
    shown = tuple(chunk.neighbours for chunk in chunks)
    trials = tuple(
        (*(pick(found, s) for s in subsets(len(found))[:-1]), *((c,) for c in controls))
        for found in shown
    )
    scored = engine.score(Scoring(tuple(prompt), tokens, shown, trials))
    effects = tuple(effect_of(s, len(found)) for s, found in zip(scored, shown, strict=True))
    if len(chunks) == 1:
        bare = effects[0].off
    else:
        empty = engine.score(Scoring(tuple(prompt), tokens, ((),) * len(chunks)))
        bare = tuple(p for chunk in empty for p in chunk.shown.logprobs)
    return Attribution(effects, bare, round(time.monotonic() - start, 4))


def subsets(k: int) -> list[Subset]:
    """All subsets of k ranks, the empty one first and the full one last."""
    return [frozenset(s) for size in range(k + 1) for s in combinations(range(k), size)]


def pick(neighbours: Sequence[Neighbour], ranks: Subset) -> tuple[Neighbour, ...]:
    return tuple(n for rank, n in enumerate(neighbours) if rank in ranks)


def effect_of(scored: ChunkScores, k: int) -> ChunkEffect:
    """A chunk's scores, its trials in the order of `subsets(k)` and then the controls."""
    on = scored.shown.logprobs
    sets = subsets(k)
    tried = [math.fsum(s.logprobs) for s in scored.trials]
    value = dict(zip(sets[:-1], tried, strict=False)) | {sets[-1]: math.fsum(on)}
    off = scored.trials[0].logprobs if k else on
    full = sets[-1]
    return ChunkEffect(
        on=on,
        off=off,
        neighbours=tuple(
            NeighbourEffect(phi, value[full] - value[full - {r}], attention)
            for r, (phi, attention) in enumerate(
                zip(shapley(value, k), scored.shown.attention, strict=True)
            )
        ),
        controls=tuple(v - value[frozenset()] for v in tried[len(sets) - 1 :]),
    )


def shapley(value: Mapping[Subset, float], k: int) -> list[float]:
    """Exact Shapley values of k players from the value of every subset of them.

    A player's value is its marginal gain, averaged over all orders in which players can join.
    """
    values = []
    for player in range(k):
        gains = [
            (value[s | {player}] - value[s]) / math.comb(k - 1, len(s)) / k
            for s in subsets(k)
            if player not in s
        ]
        values.append(math.fsum(gains))
    return values


def calibrate(controls: Iterable[float], runs: Iterable[int]) -> Thresholds:
    """Thresholds from what random passages do: one in twenty makes a chunk likelier than `used`.

    `controls` are gains from random passages in nats, `runs` the longest runs of words that
    replies share with random passages. `hurt` is as far below zero: random passages lower the
    log-probability as a rule, so how far they do does not tell what is no effect. Raises
    Unmeasurable where there are too few.
    """
    gains, longest = sorted(controls), sorted(runs)
    if min(len(gains), len(longest)) < LEAST_CONTROLS:
        raise Unmeasurable(
            f"thresholds need {LEAST_CONTROLS} random passages or more, got {len(gains)}"
        )
    cut = int(TAIL * len(gains))
    # a passage shares words by chance as well, and far less often more than all random ones did
    used = max(gains[-1 - cut], 0.0)
    return Thresholds(used, -used, longest[-1] + 1)


def word_for(effect: NeighbourEffect, shared: int, thresholds: Thresholds) -> Word:
    """The word for an effect; `shared` is the longest run of words that the chunk shares with
    the neighbour. A neighbour is copied only if it also made the chunk likelier."""
    if effect.shapley > thresholds.used:
        return "copied" if shared >= thresholds.copied else "used"
    return "hurt" if effect.shapley < thresholds.hurt else "no measurable effect"
