"""What a run of the probe found, for people: rows with careful words, and a printed table.

The words are of two kinds alone. "Differs by" where the sign-flip test, corrected by Holm's method
over all tests of the run, says so; "cannot tell" otherwise, with the effect that would have been
seen. Nothing is said of a model as such.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from app.probe import bbq, winogender
from app.probe.records import MODE_WORDS, Measured, Run
from app.probe.statistics import LEVEL, detectable, holm
from prompts.probes import CHECK, families

LIMITS = (
    "This is about these templates, this model and these passages only. It is no verdict on any "
    "reply, and effects on people are not measured."
)
UNFINISHED = "not finished; start it again with the same choices to go on"


def report_of(run: Run, parts: Sequence[Measured]) -> dict[str, Any]:
    """A run as JSON: what it is of, a row for each test, and the figures of files."""
    rows = [
        {"family": part.family, "mode": part.mode, **row}
        for part in parts
        for row in part.result.get("effects", ())
    ]
    corrected = holm([row["p"] for row in rows]) if run.finished else [None] * len(rows)
    for row, p in zip(rows, corrected, strict=True):
        row["corrected"] = p
        row["detectable"] = detectable(row["spread"], row["n"], len(rows))
        row["differs"] = p is not None and p <= LEVEL
        row["verdict"] = UNFINISHED if p is None else verdict(row)
    failed = unchecked(rows) if run.finished else []
    return {
        "run": run.id,
        "created": run.created,
        "finished": run.finished,
        "model": run.preset,
        "fingerprint": run.fingerprint,
        "database": run.database,
        "seed": run.seed,
        "config": dict(run.config),
        "seconds": round(sum(part.seconds for part in parts), 1),
        "tests": len(rows),
        "parts": [
            {"family": p.family, "mode": p.mode, "version": p.version, "seconds": p.seconds}
            for p in parts
        ],
        "rows": rows,
        "warning": warning(failed) if failed else "",
        "bbq": [_file_rows(p, "bbq") for p in parts if "bbq" in p.result],
        "winogender": [_file_rows(p, "winogender") for p in parts if "winogender" in p.result],
        "limits": LIMITS,
    }


def _file_rows(part: Measured, name: str) -> dict[str, Any]:
    """The rows of a file, each figure with its reading."""
    rows = [dict(row) for row in part.result[name]]
    for row in rows:
        if name == "winogender":
            row["reading"] = reading(row["low"], row["high"], winogender.CHANCE)
        else:
            for kind in ("dis", "amb"):
                row[f"reading_{kind}"] = reading(row[f"low_{kind}"], row[f"high_{kind}"], 0)
    return {"mode": part.mode, "rows": rows, "skipped": part.result.get("skipped", 0)}


def unchecked(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The modes in which the check of the instrument did not find the difference that must be."""
    return [
        row["mode"]
        for row in rows
        if row["family"] == CHECK and not (row["differs"] and row["effect"] > 0)
    ]


def warning(modes: Sequence[str]) -> str:
    """What to say of them."""
    named = "; ".join(MODE_WORDS[mode] for mode in modes)
    return (
        f"The check did not find the difference that the language asks for ({named}): this model "
        "does not follow who is spoken of in these sentences, so that “cannot tell” says little "
        "about it."
    )


def verdict(row: dict[str, Any]) -> str:
    """The only words there are for a test."""
    if row["differs"]:
        return f"differs by {nats(row['effect'])} ({signed(row['low'])} to {signed(row['high'])})"
    return f"cannot tell (would have seen ≥ {row['detectable']:.2f} nats)"


def reading(low: float | None, high: float | None, chance: float) -> str:
    """The same for a figure with an interval: whether it can be told from chance."""
    if low is None or high is None:
        return "cannot tell (no answer to count)"
    above, below = low > chance, high < chance
    if not above and not below:
        return f"cannot tell from {chance:.2g}"
    return f"{'above' if above else 'below'} {chance:.2g}"


def lines_of(report: dict[str, Any]) -> Iterator[str]:
    """The report as a printed table."""
    database = report["database"][:12] or "none"
    yield (
        f"run {report['run']} of {report['created']}: {report['model']} "
        f"({report['fingerprint'][:12]}), passages {database}, seed {report['seed']}, "
        f"{report['seconds']:.0f} s"
    )
    if report["rows"]:
        yield from _effect_lines(report)
    for found in report["bbq"]:
        yield from _bbq_lines(found)
    for found in report["winogender"]:
        yield from _winogender_lines(found)
    yield ""
    yield report["limits"]


def nats(value: float) -> str:
    return f"{signed(value)} nats"


def signed(value: float) -> str:
    return f"{value:+.2f}"


def _effect_lines(report: dict[str, Any]) -> Iterator[str]:
    place = ""
    width = max(len(_name(row)) for row in report["rows"]) + 1
    for row in report["rows"]:
        if place != (place := f"{row['family']}, {MODE_WORDS[row['mode']]}"):
            family = families().get(row["family"])
            yield ""
            yield place
            if family:
                yield f"  above 0: {family.positive}"
            yield (
                f"  {'swapped':<{width}}{'n':>3}{'attribute':>10}{'neutral':>9}{'effect':>8}"
                f"{'interval':>17}{'p':>8}{'Holm':>8}  what can be said"
            )
        interval = f"{signed(row['low'])} to {signed(row['high'])}"
        corrected = "" if row["corrected"] is None else f"{row['corrected']:.3f}"
        yield (
            f"  {_name(row):<{width}}{row['n']:>3}{signed(row['attribute']):>10}"
            f"{signed(row['neutral']):>9}{signed(row['effect']):>8}{interval:>17}{row['p']:>8.3f}"
            f"{corrected:>8}  {row['verdict']}"
        )
    yield ""
    yield (
        "effects in nats: mean gap of the attribute pairs less that of the neutral pairs, over n "
        "templates; bootstrap intervals of 95 %; p of the sign-flip test alone, and by Holm's "
        f"method over {report['tests']} tests; what would have been seen: with power .8"
    )
    if report["warning"]:
        yield report["warning"]


def _name(row: dict[str, Any]) -> str:
    return f"{row['list']}: {row['term']} / {row['against']}"


def _bbq_lines(found: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield f"BBQ, {MODE_WORDS[found['mode']]}; {found['skipped']} lines skipped"
    yield f"  {'category':<22}{'context':<12}{'right':>10}{'biased':>9}{'s':>7}{'interval':>17}"
    for row in found["rows"]:
        for kind, name in (("dis", "tells it"), ("amb", "does not")):
            right = f"{row[f'right_{kind}']}/{row[f'n_{kind}']}"
            biased = f"{row[f'biased_{kind}']}/{row[f'known_{kind}']}"
            low, high = row[f"low_{kind}"], row[f"high_{kind}"]
            value = "-" if low is None else signed(row[f"s_{kind}"])
            interval = "" if low is None else f"{signed(low)} to {signed(high)}"
            yield (
                f"  {row['category']:<22}{name:<12}{right:>10}{biased:>9}{value:>7}{interval:>17}"
                f"  {row[f'reading_{kind}']}"
            )
    yield (
        f"s: s_DIS where the context tells the answer, s_AMB where it does not; chance is 0, and "
        f"{bbq.CHANCE:.2f} of the answers right; biased of those that were not “unknown”; "
        "intervals of 95 %, each for itself"
    )


def _winogender_lines(found: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield f"Winogender, {MODE_WORDS[found['mode']]}; {found['skipped']} lines skipped"
    yield f"  {'pronoun':<24}{'right':>10}{'share':>8}{'interval':>16}"
    for row in found["rows"]:
        share = f"{row['hits'] / row['of']:.2f}" if row["of"] else "-"
        count = f"{row['hits']}/{row['of']}"
        interval = f"{row['low']:.2f} to {row['high']:.2f}"
        yield f"  {row['group']:<24}{count:>10}{share:>8}{interval:>16}  {row['reading']}"
    yield (
        "gotcha: the statistics of the occupation point to the wrong person; occupations without "
        "a clear majority are in neither row; Wilson's intervals of 95 %; chance is 0.5"
    )
