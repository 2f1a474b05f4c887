"""Rows of the log whose texts are spelled by tokens, masked: the ids go with the texts."""

import json
from collections.abc import Mapping
from typing import Any

from app.failures.masking import MASK, Masker
from app.store.rows import to_json

UNKNOWN = 1  # the token id in place of those that spelled a value, as engine.tokenizer.UNKNOWN
_SPELLED = {"text": "tokens", "continuation": "continuation_tokens"}


def tokens(masker: Masker, row: Mapping[str, str]) -> dict[str, str]:
    """The columns of `turn_tokens` in which no token spells a value, or was likely to.

    Texts keep their length and log-probabilities stay; a byte that is a part of a masked character
    has no text, and loses its id too.
    """
    ids, texts, top = (json.loads(row[name]) for name in ("ids", "texts", "top"))
    whole = "".join(texts)
    mask, start = masker.mask(whole), 0
    spans = [(a, b) for a, b, _ in masker.found(whole)]
    for i, text in enumerate(texts):
        end = start + len(text)
        if any(a < max(end, start + 1) and start < b for a, b in spans):
            texts[i], ids[i] = mask[start:end], UNKNOWN
            top[i] = [[MASK * len(other), logprob] for other, logprob in top[i]]
        start = end
    return {"ids": to_json(ids), "texts": to_json(texts), "top": to_json(top)}


def passage(masker: Masker, row: Mapping[str, Any]) -> dict[str, Any]:
    """What changes in a passage; a value may begin in its text and end in its continuation."""
    whole, cut = masker.mask(row["text"] + row["continuation"]), len(row["text"])
    new = {"text": whole[:cut], "continuation": whole[cut:]}
    new |= {name: masker.mask(row[name]) for name in ("title", "source")}
    changed: dict[str, Any] = {name: text for name, text in new.items() if text != row[name]}
    for name, ids in _SPELLED.items():
        if name in changed:
            spelled = json.loads(row[ids]) if isinstance(row[ids], str) else row[ids]
            changed[ids] = [UNKNOWN] * len(spelled)
    return changed


def pinned(masker: Masker, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a turn with their pinned passages masked."""
    shown = [{**row, **passage(masker, row)} for row in settings.get("pinned", ())]
    return {**settings, **({"pinned": shown} if shown else {})}
