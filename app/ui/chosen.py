"""What was chosen in the settings form, as settings; and in words, while the form is closed."""

import secrets
from dataclasses import replace
from typing import Any

from app.records import Settings
from app.ui.fields import OWN
from retrieval.protocol import Neighbour


class BadSetting(ValueError):
    """A value that cannot be used; says which and what to give."""


def summary(preset: str, retrieve: bool) -> str:
    """The heading of the form: what is not as usual about the next reply."""
    said = [] if preset == OWN else [f"preset “{preset}”"]
    said += [] if retrieve else ["retrieval is off"]
    return "Settings for the next reply" + (f": {', '.join(said)}" if said else "")


def read_settings(base: Settings, *values: Any, pinned: tuple[Neighbour, ...] = ()) -> Settings:
    """Settings from the fields' values over what their preset says besides.

    A seed is drawn where none is given. Raises BadSetting.
    """
    temperature, top_p, top_k, max_tokens, k, retrieve, in_context, seed = values
    if pinned and not retrieve:
        raise BadSetting(
            "retrieval is off in the settings, so the pinned passages would not be shown to the "
            "model: turn it on, or unpin them"
        )
    if len(pinned) > k:
        raise BadSetting(
            f"{len(pinned)} passages are pinned, but the settings show the model {int(k)}: raise "
            "“Passages”, or unpin one"
        )
    try:
        sampling = replace(
            base.sampling,
            temperature=float(temperature),
            top_p=float(top_p),
            top_k=int(top_k),
            max_tokens=int(max_tokens),
            seed=_seed(str(seed or "").strip()),
        )
    except (TypeError, ValueError) as problem:
        raise BadSetting(f"settings: {problem}") from None
    return replace(
        base,
        sampling=sampling,
        k=int(k),
        retrieve=bool(retrieve),
        in_context=bool(in_context),
        pinned=pinned,
    )


def _seed(text: str) -> int:
    if not text:
        return secrets.randbelow(2**32)
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"the seed is {text[:40]!r}; give a whole number from 0 to 4294967295, or leave it "
            "blank for a random one"
        ) from None
