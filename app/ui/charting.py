"""The dashboard: what the log says of failures, in numbers.

One function, which any page may ask with one JSON value; it answers with a dictionary, which is
{"problem": why} where something could not be done. A share is {"hits", "of", "value", "low",
"high"}: the 95 % interval of Wilson, and a value of None where there is no case.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from statistics import quantiles
from typing import Any

from app.compose import Application
from app.failures.agreement import Agreement, agreement_of, pairs_of
from app.failures.quality import Share, quality_of
from app.failures.taxonomy import top_of as parsed_top
from app.store.cases import Cases, title_of
from app.store.figures import Day, Documents, Figures, Gains, Kinds, Reading, Runs
from app.store.filters import Filter
from app.ui.asking import Answer, Serve, answered

top_of = cache(parsed_top)  # asked for every reading
MOST_POINTS = 92  # beyond it, days are put together to weeks, and weeks to months of four
BINS = 18
PAIRS = 60  # rows of agreement


def charting(app: Application) -> Sequence[Serve]:
    """What the view's scripts may ask for. Each takes one JSON value, which any page may send."""
    return [Charting(app).figures]


class Charting:
    """What the dashboard asks for."""

    def __init__(self, app: Application):
        self._log, self._figures, self._cases = app.log, Figures(app.log), Cases(app.log)

    @answered
    def figures(self, wanted: Mapping[str, Any]) -> Answer:
        """{"since", "until", "model"}, each "" for all -> everything that the view shows."""
        filter = Filter.of({name: wanted.get(name, "") for name in ("since", "until", "model")})
        with self._log.snapshot():
            models = sorted(set(self._cases.choices().models.values()))
            days, kinds = self._figures.days(filter), self._figures.kinds(filter)
            gains, documents = self._figures.gains(filter), self._figures.documents(filter)
            runs, readings = self._figures.runs(filter), self._figures.readings(filter)
            opinions = self._figures.opinions(filter)
        return {
            "models": models,
            "replies": sum(day.replies for day in days),
            "cases": sum(kinds.cases.values()),
            "days": by_day(days),
            "kinds": by_kind(kinds),
            "precision": precision(kinds),
            "missed": missed(readings),
            "gains": gains_told(gains),
            "documents": documents_told(documents),
            "agreement": agreement(readings),
            "rulings": ruling_agreement(opinions),
            "runs": [_run(run) for run in runs],
        }


def by_day(days: Sequence[Day]) -> dict[str, Any]:
    """Days without a gap, put together to weeks or longer where there are many.

    {"step": days in a point, "points": [{"since", "until", "replies", "info", "warn", "alert",
    "marked"}]}
    """
    if not days:
        return {"step": 1, "points": []}
    first, last = (date.fromisoformat(d.day) for d in (days[0], days[-1]))
    length = (last - first).days + 1
    step = next((s for s in (1, 7, 28) if length <= s * MOST_POINTS), -(-length // MOST_POINTS))
    names = ("replies", "info", "warn", "alert", "marked")
    points: list[dict[str, Any]] = []
    for at in range(0, length, step):
        since = first + timedelta(at)
        until = min(since + timedelta(step - 1), last)
        points.append({"since": str(since), "until": str(until), **dict.fromkeys(names, 0)})
    for day in days:
        point = points[(date.fromisoformat(day.day) - first).days // step]
        for name in names:
            point[name] += getattr(day, name)
    return {"step": step, "points": points}


def by_kind(kinds: Kinds) -> dict[str, Any]:
    """{"models": [{"name", "replies"}], "rows": [{"kind", "title", "cells": [{"found", "marked"}
    for each model]}]}, the most frequent kind first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    totals: Counter[str] = Counter()
    for (kind, source, _, model), cases in kinds.cases.items():
        counts[top_of(kind), source, model] += cases
        totals[top_of(kind)] += cases
    models = sorted(kinds.replies.keys() | {model for *_, model in counts})
    rows = [
        {
            "kind": kind,
            "title": title_of(kind),
            "cells": [
                {"found": counts[kind, "machine", m], "marked": counts[kind, "person", m]}
                for m in models
            ],
        }
        for kind, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    ]
    return {
        "models": [{"name": m, "replies": kinds.replies.get(m, 0)} for m in models],
        "rows": rows,
    }


def precision(kinds: Kinds) -> list[dict[str, Any]]:
    """Of each kind of finding, how many that people ruled on they accepted (disputed ones count as
    not accepted), beside its precision on the labelled cases."""
    counts: dict[str, Counter[str]] = {}
    for (kind, source, status, _), cases in kinds.cases.items():
        if source == "machine":
            counts.setdefault(kind, Counter())[status] += cases
    rows = []
    for kind, by in sorted(counts.items()):
        ruled = by["accepted"] + by["rejected"] + by["disputed"]
        quality = quality_of(kind)
        labelled = quality.held_out.precision if quality else Share(0, 0)
        rows.append(
            {
                "kind": kind,
                "title": title_of(kind),
                **{name: by[name] for name in ("accepted", "rejected", "disputed", "open")},
                "ruled": share(Share(by["accepted"], ruled)),
                "labelled": share(labelled),
            }
        )
    return sorted(rows, key=lambda row: -row["ruled"]["of"])


def missed(readings: Iterable[Reading]) -> dict[str, Any]:
    """Of the replies without a finding that were drawn at random and read to the end, those where
    a reader marked a failure: {"share", "labels": [{"kind", "title", "replies"}]}."""
    marked: dict[str, set[str]] = {}
    for reading in readings:
        if reading.drawn == "sample":
            marked.setdefault(reading.turn, set()).update(map(top_of, reading.labels))
    labels = Counter(label for found in marked.values() for label in found)
    return {
        "share": share(Share(sum(map(bool, marked.values())), len(marked))),
        "labels": [
            {"kind": kind, "title": title_of(kind), "replies": n}
            for kind, n in labels.most_common()
        ],
    }


def gains_told(gains: Gains) -> dict[str, Any]:
    """{"flagged", "clean": {"count", "low", "median", "high"} with the quartiles, "unmeasured",
    "bins": [{"from", "to", "flagged", "clean"}]}, nats. The first and the last bin have all
    beyond, so that a single reply does not stretch the others together."""
    everything = sorted([*gains.flagged, *gains.clean])
    bins: list[dict[str, Any]] = []
    if everything:
        low, high = everything[len(everything) // 100], everything[-1 - len(everything) // 100]
        width = max((high - low) / BINS, 0.1)
        bins = [
            {"from": low + i * width, "to": low + (i + 1) * width, "flagged": 0, "clean": 0}
            for i in range(BINS)
        ]
        for name in ("flagged", "clean"):
            values = getattr(gains, name)
            edges = [bisect_left(values, one["from"]) for one in bins[1:]]
            for one, start, end in zip(bins, [0, *edges], [*edges, len(values)], strict=True):
                one[name] = end - start
    return {
        "flagged": _spread(gains.flagged), "clean": _spread(gains.clean),
        "unmeasured": gains.unmeasured, "bins": bins,
    }  # fmt: skip


def documents_told(documents: Documents) -> dict[str, Any]:
    """{"rows": [{"title", "source", "behind": share of its showings}], "all": that of all}."""
    return {
        "rows": [
            {"title": d.title, "source": d.source, "behind": share(Share(d.behind, d.shown))}
            for d in documents.most
        ],
        "all": share(Share(documents.behind, documents.shown)),
    }


def agreement(readings: Iterable[Reading]) -> dict[str, Any]:
    """Of every two people, on the replies that both have read to the end: {"rows", "left_out"},
    those on any failure and on the most frequent labels."""
    by: dict[str, dict[str, frozenset[str]]] = {}
    for reading in readings:
        tops = frozenset(map(top_of, reading.labels))
        by.setdefault(reading.annotator, {})[reading.turn] = tops
    pairs = pairs_of(by)
    pairs.sort(key=lambda p: (p.label != "", -(p.agreement.of - p.agreement.neither)))
    rows = [
        {"first": p.first, "second": p.second, "label": p.label,
         "title": title_of(p.label) if p.label else "Any failure", **_agreed(p.agreement)}
        for p in pairs
    ]  # fmt: skip
    return {"rows": rows[:PAIRS], "left_out": max(len(rows) - PAIRS, 0)}


def ruling_agreement(opinions: Mapping[str, Mapping[int, bool]]) -> list[dict[str, Any]]:
    """Of every two people, on the findings that both have ruled on."""
    rows = []
    names = sorted(opinions)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            a, b = opinions[first], opinions[second]
            if both := a.keys() & b.keys():
                agreed = agreement_of((a[finding], b[finding]) for finding in both)
                rows.append({"first": first, "second": second, **_agreed(agreed)})
    return rows


def share(of: Share) -> dict[str, Any]:
    low, high = of.interval
    return {"hits": of.hits, "of": of.of, "value": of.value, "low": low, "high": high}


def _agreed(found: Agreement) -> dict[str, Any]:
    return {
        "both": found.both, "only_first": found.first, "only_second": found.second,
        "neither": found.neither, "raw": found.raw, "kappa": found.kappa,
    }  # fmt: skip


def _spread(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"count": 0, "low": None, "median": None, "high": None}
    low, median, high = quantiles(
        [*values] * (2 if len(values) == 1 else 1), n=4, method="inclusive"
    )
    return {"count": len(values), "low": low, "median": median, "high": high}


def _run(run: Runs) -> dict[str, Any]:
    of = run.looked + run.skipped + run.failed
    return {
        "detector": run.detector, "title": title_of(run.detector), "looked": run.looked,
        "skipped": share(Share(run.skipped, of)), "failed": share(Share(run.failed, of)),
    }  # fmt: skip
