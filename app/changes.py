"""One thing to change about a turn, as a value; to and from JSON."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any, ClassVar, get_args

from app.prompt import cleaned
from engine.protocol import BadSampling, Sampling

LONGEST_PASTED = 4_000  # characters
_LONGEST_NAME = 200  # characters, of a title or a preset
_LARGEST = 2**63  # no whole number is so large here


class BadChange(ValueError):
    """A change that cannot be made; the message says what was given and what is expected."""


@dataclass(frozen=True)
class RetrievalOff:
    """No passage is shown."""

    kind: ClassVar = "off"


@dataclass(frozen=True)
class Without:
    """One passage is not shown, and no other takes its place. `title` is for words alone."""

    chunk_id: int
    title: str
    kind: ClassVar = "without"

    def __post_init__(self) -> None:
        if len(self.title) > _LONGEST_NAME:
            raise BadChange(
                f"the title has {len(self.title):,} characters; the limit is {_LONGEST_NAME}"
            )


@dataclass(frozen=True)
class Pasted:
    """A text is shown as a passage, for every chunk and before the others."""

    text: str
    kind: ClassVar = "pasted"

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST_PASTED:
            raise BadChange(
                f"the pasted passage has {len(self.text):,} characters; the limit is "
                f"{LONGEST_PASTED:,}: paste the part that matters"
            )
        if not cleaned(self.text):
            raise BadChange("the pasted passage is empty; paste a text first")


@dataclass(frozen=True)
class RandomPassages:
    """Passages drawn at random take the place of found ones."""

    kind: ClassVar = "random"


@dataclass(frozen=True)
class OtherSampling:
    """Other values of some fields of Sampling; what is None stays as it was."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    kind: ClassVar = "sampling"

    def __post_init__(self) -> None:
        if not self.given():
            raise BadChange(f"no value is given; give one of {', '.join(asdict(self))}")
        changed_sampling(Sampling(), self.given())

    def given(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class OtherPreset:
    """The settings of a named preset, but for the seed and the passages chosen for this turn."""

    name: str
    kind: ClassVar = "preset"

    def __post_init__(self) -> None:
        if len(self.name) > _LONGEST_NAME or not self.name:
            raise BadChange(
                f"the name has {len(self.name):,} characters; give 1 to {_LONGEST_NAME}"
            )


@dataclass(frozen=True)
class OtherSeed:
    """Another seed: other luck in drawing the tokens."""

    seed: int
    kind: ClassVar = "seed"

    def __post_init__(self) -> None:
        changed_sampling(Sampling(), {"seed": self.seed})


Change = RetrievalOff | Without | Pasted | RandomPassages | OtherSampling | OtherPreset | OtherSeed
_KINDS: dict[str, type[Change]] = {change.kind: change for change in get_args(Change)}


def to_dict(change: Change) -> dict[str, Any]:
    """A change for JSON, such as {"kind": "seed", "seed": 7}."""
    return {"kind": change.kind, **asdict(change)}


def change_of(data: object) -> Change:
    """`to_dict` backwards, for what comes from a page. Raises BadChange."""
    if not isinstance(data, Mapping):
        raise BadChange(f"a change is an object with a kind; got {type(data).__name__}")
    given = dict(data)
    kind = given.pop("kind", None)
    made = _KINDS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise BadChange(f"a change has kind {_short(kind)}; give one of {', '.join(_KINDS)}")
    known = {f.name: f for f in fields(made)}
    if extra := [name for name in given if name not in known]:
        raise BadChange(
            f"the change {kind!r} has {_short(extra[0])}; it takes {', '.join(known) or 'nothing'}"
        )
    for name, f in known.items():
        if name not in given:
            if f.default is MISSING:
                raise BadChange(f"the change {kind!r} lacks {name}")
            continue
        value, types = given[name], get_args(f.type) or (f.type,)
        if type(value) is int and float in types and abs(value) < _LARGEST:
            value = given[name] = float(value)
        if type(value) not in types or (type(value) is int and abs(value) >= _LARGEST):
            expected = {int: "a whole number", float: "a number", str: "a text"}[types[0]]
            raise BadChange(f"{name} of the change {kind!r} is {_short(value)}; give {expected}")
    return made(**given)


def changed_sampling(old: Sampling, values: Mapping[str, Any]) -> Sampling:
    """Raises BadChange where a value is out of its range."""
    try:
        return replace(old, **values)
    except BadSampling as problem:
        raise BadChange(str(problem)) from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
