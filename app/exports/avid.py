"""A report in the shape of the AI Vulnerability Database (AVID): what a selection comes to.

It is about a model with its passages, never about one reply: for every kind, in how many of the
replies that the filter leaves it was found or marked, and how often people accepted it, each with
Wilson's interval of 95 %. The kinds' risks (Weidinger et al.) lead to AVID's own categories; kinds
that are no such risk count as a matter of performance.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from app.exports.failure import Failure
from app.failures.quality import Share
from app.failures.taxonomy import RISKS, taxonomy

TAXONOMY = "0.2"  # of AVID
_SEP = {  # of the areas and risks of Weidinger et al.; the closest that there is
    "W.I": ("Ethics", "E0100: Bias/ Discrimination"),
    "W.I.2": ("Ethics", "E0302: Polarization/ Exclusion"),
    "W.I.3": ("Ethics", "E0301: Toxicity"),
    "W.II": ("Security", "S0301: Information Leak"),
    "W.III": ("Ethics", "E0400: Misinformation"),
    "W.III.1": ("Ethics", "E0402: Generative Misinformation"),
    "W.IV": ("Ethics", "E0300: User actions"),
    "W.V": ("Ethics", "E0300: User actions"),
    "W.VI": ("Ethics", "E0300: User actions"),
}
_OTHERWISE = ("Performance", "P0200: Model issues")
_LIFECYCLE = ["L05: Evaluation", "L06: Deployment"]


@dataclass
class _Count:
    """What is counted of one kind."""

    replies: int = 0
    times: int = 0
    rulings: Counter[str] = field(default_factory=Counter)
    versions: set[str] = field(default_factory=set)
    annotators: set[str] = field(default_factory=set)


def write(
    failures: Iterable[Failure],
    *,
    replies: int,
    reviewed: int,
    selection: Mapping[str, str],
    created: str,
    program: str,
) -> Iterator[str]:
    """The report. `failures` of a turn must follow each other.

    `replies` are all that the selection is about, with a failure or without, and `reviewed` those
    of them that a person has read to the end; `selection` is the filter.
    """
    counts: dict[tuple[str, str], _Count] = {}
    models: Counter[tuple[str, str, str]] = Counter()
    for _, group in groupby(failures, key=lambda failure: failure.turn.id):
        seen = set()
        for failure in group:
            turn = failure.turn
            key = failure.source, failure.kind
            count = counts.setdefault(key, _Count())
            count.times += 1
            count.replies += key not in seen
            if not seen:
                models[turn.model, turn.fingerprint, turn.database] += 1
            seen.add(key)
            count.rulings[failure.status] += 1
            count.versions |= {f"{failure.detector} {failure.version}".strip()}
            count.annotators |= {failure.annotator} - {""}
    report = _report(counts, models, replies, reviewed, selection)
    report |= {"credit": [_said(f"Retroscope {program}")], "reported_date": created[:10]}
    yield json.dumps(report, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def risks_of(kind: str) -> tuple[str, ...]:
    """Codes of the risks that a kind is an instance of, its own or those of the kind above it."""
    code: str | None = kind
    while code:
        if code.split(".")[0] == RISKS:
            return (code,)
        label = taxonomy().labels.get(code)
        if label and label.related:
            return label.related
        code = label.parent if label else code.rpartition(".")[0]
    return ()


def sep_of(kind: str) -> list[tuple[str, str]]:
    """AVID's risk domain and SEP category of a kind."""
    found = [
        _SEP[code if code in _SEP else code.rpartition(".")[0]]
        for code in risks_of(kind)
        if code in _SEP or code.rpartition(".")[0] in _SEP
    ]
    return found or [_OTHERWISE]


def _report(
    counts: Mapping[tuple[str, str], _Count],
    models: Counter[tuple[str, str, str]],
    replies: int,
    reviewed: int,
    selection: Mapping[str, str],
) -> dict[str, Any]:
    chosen = ", ".join(f"{name} {value}" for name, value in selection.items()) or "everything"
    kinds = sorted({kind for _, kind in counts})
    categories = sorted({pair for kind in kinds for pair in sep_of(kind)})
    titles = ", ".join(taxonomy().title(kind) for kind in kinds) or "none"
    artifacts = [
        {"type": "Model", "name": f"{preset} ({weights[:12]})"}
        for preset, weights in dict.fromkeys((p, w) for p, w, _ in models)
    ]
    artifacts += [
        {"type": "Dataset", "name": f"passage database {database[:12]}"}
        for database in dict.fromkeys(d for _, _, d in models if d)
    ]
    return {
        "data_type": "AVID",
        "data_version": TAXONOMY,
        "affects": {"developer": [], "deployer": [], "artifacts": artifacts},
        "problemtype": {
            "classof": "LLM Evaluation",
            "type": "Measurement",
            "description": _said(f"Failures in logged replies: {titles}"),
        },
        "metrics": [
            _metric(source, kind, counts[source, kind], replies, reviewed)
            for source, kind in sorted(counts)
        ],
        "references": [
            {"type": "source", "label": "Risks of language models (W codes): Weidinger et al.",
             "url": "https://arxiv.org/abs/2112.04359"},
        ],
        "description": _said(
            f"Counts over {replies} replies of one log ({chosen}), {reviewed} of which a person "
            "has read to the end. A finding is what a detector measured, not a verdict; a kind "
            "that is not listed may have been missed. Intervals are Wilson's, of 95 %."
        ),
        "impact": {
            "avid": {
                "vuln_id": None,
                "risk_domain": sorted({domain for domain, _ in categories}),
                "sep_view": sorted({view for _, view in categories}),
                "lifecycle_view": _LIFECYCLE,
                "taxonomy_version": TAXONOMY,
            }
        },
    }  # fmt: skip


def _metric(source: str, kind: str, count: _Count, replies: int, reviewed: int) -> dict[str, Any]:
    machine = source == "machine"
    of = replies if machine else max(reviewed, count.replies)
    results: dict[str, Any] = {
        "kind": kind,
        "risks": list(risks_of(kind)),
        "times": count.times,
        "replies": _share(count.replies, of),
    }
    if machine:
        right, wrong = count.rulings["accepted"], count.rulings["rejected"]
        results["accepted_by_people"] = _share(right, right + wrong)
        results["disputed"] = count.rulings["disputed"]
        by = "detector " + ", ".join(sorted(count.versions))
    else:
        results["annotators"] = len(count.annotators)
        by = "marked by at least one person, of the replies that people have read"
    return {
        "name": f"share of replies with: {taxonomy().title(kind)}",
        "detection_method": {"type": "Static Threshold", "name": by},
        "results": results,
    }


def _share(hits: int, of: int) -> dict[str, Any]:
    share = Share(hits, of)
    return {
        "hits": hits,
        "of": of,
        "value": share.value and round(share.value, 4),
        "interval_95": [round(bound, 4) for bound in share.interval],
    }


def _said(text: str) -> dict[str, str]:
    return {"lang": "eng", "value": text}
