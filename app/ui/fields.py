"""The settings that a preset has: what each is called, what it may be, and how it is read. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from app.records import Settings
from engine.protocol import BadSampling, Sampling
from prompts.dialogue import template_of
from prompts.templates import BadTemplate

OWN = "Recommended for this model"  # what the model card recommends, a preset that is built in
SAMPLING = {f.name for f in fields(Sampling)}


class Unfit(ValueError):
    """Values that make no settings: `problems` has a sentence for each field that has one."""

    def __init__(self, problems: Mapping[str, str]):
        super().__init__("; ".join(problems.values()))
        self.problems = dict(problems)


@dataclass(frozen=True)
class Field:
    """One setting. Numbers lie from `least` to `most`; `choices` are (value, words)."""

    name: str
    kind: Literal["number", "whole", "switch", "choice", "template"]
    label: str
    info: str = ""
    least: float = 0
    most: float = 0
    step: float = 1
    choices: tuple[tuple[str, str], ...] = ()


FIELDS = (
    Field("temperature", "number", "Temperature", "0 always takes the likeliest token", 0, 2, 0.05),
    Field(
        "top_p", "number", "Top p", "likeliest tokens up to this share; 1 keeps all", 0.05, 1, 0.05
    ),
    Field("top_k", "whole", "Top k", "this many likeliest tokens; 0 keeps all", 0, 200),
    Field("max_tokens", "whole", "Longest reply", "in tokens; a chunk has 64", 1, 2048),
    Field("k", "whole", "Passages", "shown to the model for each chunk", 1, 2),
    Field("history", "whole", "Earlier exchanges", "that the model is shown", 0, 10),
    Field("retrieve", "switch", "Retrieval", "show the model passages"),
    Field(
        "in_context", "switch", "Passage in the prompt", "also put the best one before the message"
    ),
    Field(
        "follow", "choice", "Later chunks are searched with", "", choices=(
            ("question+chunk", "the message and the chunk just written"),
            ("chunk", "the chunk just written"),
        ),
    ),
    Field("template", "template", "Prompt template"),
)  # fmt: skip


def values_of(settings: Settings) -> dict[str, Any]:
    """The fields of settings by name."""
    return {
        field.name: getattr(settings.sampling if field.name in SAMPLING else settings, field.name)
        for field in FIELDS
    }


def read_values(values: Mapping[str, Any], base: Settings) -> Settings:
    """Settings with these values, and for all that is no field those of `base`. Raises Unfit."""
    read: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field in FIELDS:
        try:
            read[field.name] = _read(field, values.get(field.name))
        except ValueError as problem:
            problems[field.name] = str(problem)
    if problems:
        raise Unfit(problems)
    drawn = {name: read.pop(name) for name in list(read) if name in SAMPLING}
    try:
        return replace(base, sampling=replace(base.sampling, **drawn), **read)
    except BadSampling as problem:
        raise Unfit({"": str(problem)}) from None


def _read(field: Field, value: Any) -> Any:
    match field.kind:
        case "number" | "whole":
            return _number(field, value)
        case "switch":
            if not isinstance(value, bool):
                raise ValueError(f"{field.label} is {_shown(value)}; switch it on or off")
        case "choice":
            if value not in (known := [name for name, _ in field.choices]):
                raise ValueError(
                    f"{field.label} is {_shown(value)}; choose one of {', '.join(known)}"
                )
        case "template":
            if not isinstance(value, str):
                raise BadTemplate(f"the template is {_shown(value)}; give a text")
            template_of(value)
    return value


def _number(field: Field, value: Any) -> float | int:
    whole = field.kind == "whole"
    wanted = f"a {'whole ' if whole else ''}number from {field.least:g} to {field.most:g}"
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "":
        raise ValueError(f"{field.label} is empty; give {wanted}")
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{field.label} is {_shown(value)}; give {wanted}") from None
    inside = math.isfinite(number) and field.least <= number <= field.most
    if not inside or (whole and number != int(number)):
        raise ValueError(f"{field.label} is {_shown(value)}; give {wanted}")
    return int(number) if whole else number


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:40]} …"
