"""A report as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

INTERVAL = (
    "Intervals in brackets: 95 %, bootstrap over documents; of words right and of loops Wilson's."
)


def table(report: Mapping[str, Any]) -> str:
    """What was measured and with what, then a table for each part."""
    model, database = report["model"], report["database"]
    lines = [f"# Evaluation of {model['preset']}", ""]
    if not report["complete"]:
        lines += ["**Incomplete: this evaluation was ended before it had measured all.**", ""]
    files = "; ".join(f"{name}: {f['name']} ({f['sha256'][:12]})" for name, f in
                      report["files"].items())  # fmt: skip
    lines += [
        f"- `{report['command']}`, {report['date']}, seed {report['seed']}",
        f"- weights {model['fingerprint'][:12]}, {model['parameters']:,} parameters",
        f"- database {database['fingerprint'][:12]}: {database['passages']:,} passages of "
        f"{database['documents']:,} documents, found {database['found_by']}",
        f"- files: {files}",
        f"- {INTERVAL}",
        "",
    ]
    for name, write in PARTS.items():
        part = report["parts"].get(name)
        if part and part["measured"]:
            lines += [*write(part), ""]
            if not part["complete"]:
                lines += [f"Incomplete: {part['measured']} of {part['of']}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _text(part: Mapping[str, Any]) -> list[str]:
    lines = ["## Held-out text, bits per byte", "", _counted(part), ""]
    lines += rows_of(
        ("passages", "bits per byte", "more than off"),
        [
            (row["way"], shown(row["bits_per_byte"]), shown(row["more_than_off"]))
            for row in part["ways"]
        ],
    )
    overlaps = ("overlap", "chunks", "off", "on", "random", "on more than off")
    for title, name, key in (
        ("By overlap of a chunk with its ten nearest passages", "buckets", "overlap"),
        ("Of all chunks with no more overlap than alpha", "up_to", "alpha"),
    ):
        keys = ("chunks", "off", "on", "random", "on_more_than_off")
        some = [row for row in part[name] if row["chunks"]]
        body = [(row[key], *(shown(row[k]) for k in keys)) for row in some]
        lines += ["", f"{title}:", "", *rows_of((key, *overlaps[1:]), body)]
    for title, name, key in (
        ("By the number of passages shown", "neighbours", "k"),
        ("By the size of the database, nested random subsets, nearest keys alone", "database",
         "passages"),
    ):  # fmt: skip
        body = [
            (row[key], shown(row["bits_per_byte"]), shown(row["more_than_off"]))
            for row in part[name]
        ]
        lines += ["", f"{title}:", "", *rows_of((key, "bits per byte", "more than off"), body)]
    used = part["used"]
    if used["used"] is None:
        return [*lines, "", f"Passages used: not measured, {used.get('why', '')}."]
    return [
        *lines, "",
        f"Passages used, of {used['shown_passages']:,}: {percent(used['used'])}; random ones, of "
        f"{used['random_passages']:,}: {percent(used['random_used'])}; beyond random: "
        f"{percent(used['beyond_random'])}.",
    ]  # fmt: skip


def _wikitext(part: Mapping[str, Any]) -> list[str]:
    body = [
        (row["way"], shown(row["bits_per_byte"]), shown(row["word_perplexity"]))
        for row in part["ways"]
    ]
    return [
        "## WikiText-2", "",
        f"{_counted(part)} {part['words']:,} words. Perplexity: {part['normalisation']}.", "",
        *rows_of(("passages", "bits per byte", "perplexity of a word"), body),
    ]  # fmt: skip


def _lambada(part: Mapping[str, Any]) -> list[str]:
    body = [
        (row["way"], percent(row["accuracy"]), shown(row["perplexity"])) for row in part["ways"]
    ]
    return [
        "## LAMBADA", "",
        f"{part['passages']:,} passages; {part['normalisation']}.", "",
        *rows_of(("passages", "accuracy", "perplexity"), body),
    ]  # fmt: skip


def _repetition(part: Mapping[str, Any]) -> list[str]:
    body = [
        (row["sampling"], row["way"], percent(row["loops"]), percent(row["seq_rep_4"]),
         shown(row["tokens"]))
        for row in part["rows"]
    ]  # fmt: skip
    return [
        "## Repetition of free continuations", "",
        f"{part['continuations']:,} beginnings, each continued in every way. Loops: share that "
        "ends in four copies or more of a run, over 24 tokens or more. seq-rep-4: share of "
        "sequences of four words that are not new.", "",
        *rows_of(("sampling", "passages", "loops", "seq-rep-4", "tokens"), body),
    ]  # fmt: skip


PARTS = {"text": _text, "wikitext": _wikitext, "lambada": _lambada, "repetition": _repetition}


def _counted(part: Mapping[str, Any]) -> str:
    return (
        f"{part['documents']:,} documents, {part['chunks']:,} chunks, {part['tokens']:,} tokens, "
        f"{part['bytes']:,} bytes; the first chunk of each is read without passages."
    )


def rows_of(head: Sequence[str], body: Sequence[Sequence[object]]) -> list[str]:
    rows = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def shown(value: Any, change: Any = lambda x: f"{x:,.4g}") -> str:
    """A count, or an interval; nothing where there is none."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    bounds = [value["low"], value["high"]]
    around = "" if None in bounds else f" [{', '.join(map(change, bounds))}]"
    return change(value["value"]) + around


def percent(value: Any) -> str:
    return shown(value, lambda x: f"{100 * x:.3g} %")
