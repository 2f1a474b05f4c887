"""The model card as the runs page shows it: blocks of text, lists, facts and tables. Pure.

A card is a file that came with some weights, so nothing in it is relied on: what is missing is
left out, and what has another shape than expected is shown as it is.
"""

from collections.abc import Mapping
from typing import Any

from app.compose import Status
from app.ui.blocks import (
    Block,
    curve,
    curves_of,
    fact,
    fingerprint,
    is_number,
    items_of,
    meaning_of,
    said,
    table,
    words,
)
from engine.presets import Preset, UnknownPreset, preset
from engine.protocol import Info
from retrieval.manifest import Manifest

_LOADING = "known when the model is loaded"
_WORDS = {  # of the thresholds in a card, see engine.attribution.word_for
    "used": "the passage made its chunk likelier by more than {} nats",
    "copied": "used, and the chunk shares a run of {} words or more with the passage",
    "hurt": "the passage made its chunk less likely by more than {} nats",
}


def model_card(
    card: Mapping[str, Any],
    status: Status,
    info: Info | None = None,
    manifest: Manifest | None = None,
    device: str = "",
) -> dict[str, Any]:
    """{"stage", "message", "title", "weakness", "sections": [{"title", "blocks"}]}.

    What only the loaded engine and the open database know is said to be loading until then.
    """
    name = info.preset if info else said(card.get("preset", ""))
    missing = not card and info is None
    return {
        "stage": status.stage,
        "message": _progress(status),
        "title": name or ("no model card" if missing else "unnamed"),
        "weakness": info.note if info else said(card.get("note", "")),
        "sections": [
            {"title": title, "blocks": blocks}
            for title, blocks in (
                ("What it cannot do", _cannot(card)),
                ("What is answering", _answering(card, status, info, device)),
                ("The passages it is shown", _passages(status, manifest)),
                ("How well it does", _evaluation(card.get("evaluation"))),
                ("When an effect has a word", _effects(card)),
                ("How it was trained", _training(card)),
            )
            if blocks
        ],
    }


def _progress(status: Status) -> str:
    if status.stage == "ready":
        return ""
    if status.stage == "failed":
        return f"The model could not be loaded: {status.message}"
    count = f" ({status.done:,} of {status.total:,})" if status.total else ""
    return f"{status.message}{count} …"


def _cannot(card: Mapping[str, Any]) -> list[Block]:
    blocks = []
    if lacks := card.get("cannot"):
        blocks.append({"kind": "list", "items": [said(i) for i in items_of(lacks)]})
    if skill := card.get("skill"):
        blocks.append({"kind": "text", "label": "What it can do", "text": said(skill)})
    return blocks


def _answering(
    card: Mapping[str, Any], status: Status, info: Info | None, device: str
) -> list[Block]:
    if not card and info is None:
        return []
    weights = info.fingerprint if info else said(card.get("sha256", ""))
    tokenizer = info.tokenizer if info else said(card.get("tokenizer_sha256", ""))
    shape = shape_of(info.preset if info else said(card.get("preset", "")))
    parameters = info.parameters if info else card.get("parameters")
    context = info.context if info else shape and shape.context
    rows = [
        fact("Model", info.preset if info else card.get("preset")),
        fact("Parameters", parameters),
        fact("Architecture", card.get("architecture") or (shape and _architecture(shape))),
        fact("Context", context, "tokens"),
        fact("Chunk", shape and shape.chunk, "tokens"),
        fact("Neighbours", shape and _neighbours(shape)),
        fact("Vocabulary", shape and shape.vocab, "pieces"),
        fingerprint("Weights", weights),
        fingerprint("Tokenizer", tokenizer),
        fact("Runs on", device or (_LOADING if status.stage == "loading" else None)),
    ]
    return [{"kind": "facts", "rows": [row for row in rows if row]}]


def shape_of(name: str) -> Preset | None:
    """The preset of that name, if it is one of ours."""
    try:
        return preset(name)
    except UnknownPreset:
        return None


def _architecture(shape: Preset) -> str:
    return f"{shape.layers} layers, width {shape.width:,}, {shape.heads} heads"


def _neighbours(shape: Preset) -> str | None:
    """A neighbour is a passage and, in the same document, its continuation."""
    r = shape.retrieval
    if r is None:
        return "none: this model reads no passages"
    half = r.neighbour_tokens // 2
    return f"{r.neighbours} a chunk, each {half} tokens and a continuation of {half}"


def _passages(status: Status, manifest: Manifest | None) -> list[Block]:
    if manifest is None:
        unknown = _LOADING if status.stage == "loading" else "no passage database is open"
        return [{"kind": "text", "text": f"{unknown[0].upper()}{unknown[1:]}."}]
    rows = [
        fact("Documents", manifest.documents),
        fact("Passages", manifest.chunks),
        fact("Generation", manifest.generation),
        fingerprint("Database", manifest.fingerprint),
        fingerprint("Encoder", manifest.embedder),
        fact("Width of a key", manifest.width),
    ]
    return [{"kind": "facts", "rows": [row for row in rows if row]}]


# ----- evaluation and training


def _evaluation(evaluation: Any) -> list[Block]:
    """What the card has measured; its reading in words first, then each evaluation."""
    if not isinstance(evaluation, Mapping):
        return [{"kind": "text", "text": said(evaluation)}] if evaluation else []
    blocks: list[Block] = []
    parts = {k: v for k, v in evaluation.items() if isinstance(v, Mapping)}
    for name, value in evaluation.items():
        if name not in parts:
            label = "" if name == "reading" else words(name)
            blocks.append({"kind": "text", "label": label, "text": said(value)})
    for name, part in parts.items():
        blocks += _measured(words(name), part)
    return blocks


def _measured(title: str, part: Mapping[str, Any]) -> list[Block]:
    """One evaluation: a table, what its columns mean, on what it was measured and how."""
    apart = {"command", "data", "meaning", "rows"}
    rows = [r for r in items_of(part.get("rows")) if isinstance(r, Mapping)]
    single = {k: v for k, v in part.items() if k not in apart}
    blocks: list[Block] = []
    if rows:
        blocks.append(table(title, rows))
    if single:
        pairs = [fact(words(name), value) for name, value in single.items()]
        caption = "" if rows else title
        blocks.append({"kind": "facts", "caption": caption, "rows": [p for p in pairs if p]})
    if meaning := part.get("meaning"):
        blocks.append(meaning_of(said(meaning)))
    if data := part.get("data"):
        blocks.append({"kind": "text", "label": "Measured on", "text": said(data)})
    if command := part.get("command"):
        blocks.append({"kind": "command", "text": said(command)})
    return blocks


def _effects(card: Mapping[str, Any]) -> list[Block]:
    """The thresholds beyond which an effect has a word, and how they were set."""
    effects = card.get("effects")
    if not effects:
        return []
    if not isinstance(effects, Mapping):
        return [{"kind": "text", "text": said(effects)}]
    rows = [
        fact(name, text.format(f"{abs(effects[name]):g}"))
        for name, text in _WORDS.items()
        if is_number(effects.get(name))
    ]
    rest = {k: v for k, v in effects.items() if not (k in _WORDS and is_number(v))}
    blocks: list[Block] = []
    if rows:
        rows.append(fact("no measurable effect", "every other passage"))
        blocks.append({"kind": "facts", "rows": rows})
    return blocks + (_measured("How that was set", rest) if rest else [])


def _training(card: Mapping[str, Any]) -> list[Block]:
    training, blocks = card.get("training"), []
    if isinstance(training, Mapping):
        named = {k: v for k, v in training.items() if k not in ("command", "loss")}
        rows = [fact(words(name), value) for name, value in named.items()]
        blocks.append({"kind": "facts", "rows": [row for row in rows if row]})
        if command := training.get("command"):
            blocks.append({"kind": "command", "text": said(command)})
        losses = training.get("loss")
    else:
        blocks += [{"kind": "text", "text": said(training)}] if training else []
        losses = None
    blocks += [curve(*named) for named in curves_of(card.get("loss") or losses)]
    if sources := [s for s in items_of(card.get("data")) if isinstance(s, Mapping)]:
        blocks.append(table("What it was trained on", sources))
    return blocks
