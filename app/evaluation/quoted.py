"""What a model card quotes of an evaluation, and how what was measured agrees with it. Pure.

In a card "evaluation" holds a mapping for each part: the command, the data, the meaning, and rows
{"what", "way", "value", "low", "high"}, where low and high are the 95 % interval.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.evaluation.shown import ON
from app.evaluation.table import rows_of, shown

Row = dict[str, Any]
WAYS = (
    "more than off: what that is more than without passages; on: with the passages that are found "
    "with the chunk before; off: without; random: with passages of documents that are not shown; "
    "intervals: 95 %, bootstrap over documents"
)
MEANINGS = {
    "facts": "right: replies that have the fact; declined: replies that the passages do not say; "
    "found: a passage shown has the fact; right where found: replies that have the fact, where a "
    "passage shown has it; on: as the page asks, but greedily; off: without passages; in "
    "context: on, with the best passage in the prompt as well; intervals: 95 %, Wilson's, of "
    "differences bootstrap over questions",
    "library": f"bits per byte: of articles whose own passages are not shown; {WAYS}",
    "text": f"bits per byte: of documents; used beyond random: share of passages shown that are "
    f"used, less that of random ones; {WAYS}",
    "wikitext": f"bits per byte: of articles; perplexity of a word: exp(nats / words); {WAYS}",
    "lambada": "right: last words that greedy decoding writes exactly; perplexity: of the last "
    "word; on: with the passages that are found with the 64 tokens before; off: without; "
    "intervals: 95 %, Wilson's, of perplexity bootstrap",
    "repetition": "loops: continuations that end in four copies or more of a run, over 24 tokens "
    "or more; seq-rep-4: share of sequences of four words that are not new; on: with the passages "
    "that are found with the chunk before; off: without; intervals: 95 %, Wilson's, of seq-rep-4 "
    "bootstrap",
    "answers": "f1: word F1 with the reference; copied: share of the reply's words in runs of "
    "five or more that stand in the question's passage; declined: replies that the passages do "
    "not say, where they do; rightly declined: where they do not; neighbours: the passage shown "
    "as neighbours; in context: in the prompt as well; random: another question's passage shown; "
    "none: nothing shown; intervals: 95 %, bootstrap over questions, of declined Wilson's",
}
NAMES = {  # of what is not called as its key
    "seq_rep_4": "seq-rep-4",
    "accuracy": "right",
    "word_perplexity": "perplexity of a word",
}


def figures_of(part: Mapping[str, Any]) -> list[Row]:
    """The rows of a part that was summed up; a figure that there is none of is left out."""
    found = []
    for row in [*part.get("ways", ()), *part.get("differences", ()), *part.get("rows", ())]:
        way = ", ".join(row[key] for key in ("sampling", "way") if key in row)
        found += [
            {"what": NAMES.get(key, key.replace("_", " ")), "way": way, **value}
            for key, value in row.items()
            if isinstance(value, Mapping)
        ]
    if used := part.get("used", {}).get("beyond_random"):
        found.append({"what": "used beyond random", "way": ON, **used})
    return found


def compare(measured: Sequence[Row], card: Any) -> Iterator[tuple[Row, float | None, str]]:
    """Each measured row, what the part of a card says of the same, and the verdict in words."""
    rows = card.get("rows") if isinstance(card, Mapping) else None
    known = {
        (row.get("what"), row.get("way")): row.get("value")
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, Mapping)
    }
    for row in measured:
        value = known.get((row["what"], row["way"]))
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield row, None, "not in the card"
        elif row["low"] == row["high"] != value:  # of one document, or of some that all agree
            yield row, value, "no interval"
        else:
            yield row, value, "within" if row["low"] <= value <= row["high"] else "differs"


def table(measured: Mapping[str, Sequence[Row]], evaluation: Any) -> list[str]:
    """Markdown: what was measured beside what the "evaluation" of a card says."""
    said = evaluation if isinstance(evaluation, Mapping) else {}
    body, verdicts = [], Counter()
    for name, rows in measured.items():
        for row, value, verdict in compare(rows, said.get(name)):
            known = "" if value is None else f"{value:,.4g}"
            body.append((name, row["what"], row["way"], shown(row), known, verdict))
            verdicts[verdict] += 1
    head = ("part", "what", "way", "measured [95 %]", "the card", "")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    return [*rows_of(head, body), "", f"of {len(body)} figures: {counts or 'none measured'}"]
