"""The model card beside a weights file: what it is, how it was made, what it can do."""

import json
from pathlib import Path
from typing import Any

from engine.presets import preset

REQUIRED = ("preset", "sha256", "tokenizer_sha256")


class CheckpointError(ValueError):
    """Weights that cannot be used; the message says what was found, expected, and what to do."""


def read_card(directory: Path) -> dict[str, Any]:
    """The card of a weights directory, with at least what is `REQUIRED`."""
    path = directory / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        required = {name: str(card[name]) for name in REQUIRED}
        preset(required["preset"])
        return {**card, **required}
    except OSError as error:
        raise CheckpointError(
            f"no model card at {path}: {error.strerror}; give a weights directory, one with "
            "card.json, weights.safetensors and tokenizer.model"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the model card {path} is damaged: {error!r}") from None
