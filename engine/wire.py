"""The values of `engine.protocol` as JSON and back, without loss: what an engine server speaks.

Writing follows the fields of the dataclasses. Reading is strict: a field that is missing, unknown,
too large or of another kind is refused by its path. A number that JSON has no name for (infinity,
not-a-number) travels as its text; a lone surrogate as JSON's own escape.
"""

import dataclasses
import json
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from engine.protocol import Event

LONGEST = 1_000_000  # code points of one text
MOST = 100_000  # items of one list

T = TypeVar("T")
_NAMELESS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})")


class WireError(ValueError):
    """JSON that is not the value it should be: `path` is the field that is wrong."""

    def __init__(self, path: str, given: str, expected: str):
        self.path, self.given, self.expected = path, given, expected
        super().__init__(f"{path or 'the body'} is {given}; expected {expected}")

    def inside(self, name: str | int) -> "WireError":
        """The same error seen from around the field."""
        step = f"[{name}]" if isinstance(name, int) else name
        joint = "." if self.path and not self.path.startswith("[") else ""
        return WireError(f"{step}{joint}{self.path}", self.given, self.expected)


# ----- writing


def dumps(value: Any) -> str:
    """A value as one line of ASCII JSON."""
    return json.dumps(to_json(value), separators=(",", ":"), allow_nan=False)


def to_json(value: Any) -> Any:
    """A value as what `json.dumps` takes."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _name(value)
    if dataclasses.is_dataclass(value):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no form on the wire")


def _name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def name_of(event: Event) -> str:
    """What an event is called in a stream: "token" for a TokenEvent."""
    return type(event).__name__.removesuffix("Event").lower()


EVENTS: dict[str, type[Any]] = {
    kind.__name__.removesuffix("Event").lower(): kind for kind in get_args(Event)
}

# ----- reading


def loads(data: bytes | str) -> Any:
    """JSON text as Python's values. Raises WireError."""
    try:
        return json.loads(data, parse_constant=_refuse)
    except RecursionError:
        raise WireError("", "nested too deeply", "JSON") from None
    except ValueError as error:  # also of bytes that are no text, and of endless numbers
        raise WireError("", f"not JSON ({error})"[:200], "JSON") from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} must be written as text")


def read(kind: type[T], value: Any) -> T:
    """The dataclass that `to_json` wrote. Raises WireError."""
    return _reader(kind)(value)


def read_event(name: str, value: Any) -> Event:
    """An event of a stream. Raises WireError."""
    if name not in EVENTS:
        raise WireError("event", _shown(name), "one of " + ", ".join(EVENTS))
    return cast(Event, read(EVENTS[name], value))


Reader = Callable[[Any], Any]


@cache
def _reader(kind: Any) -> Reader:
    """The function that reads a kind of value, after its annotation."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if kind is Any:
        return lambda value: value
    if dataclasses.is_dataclass(kind):
        return _dataclass(cast(type, kind))
    if origin is Literal:
        return _literal(inner)
    if origin in (Union, types.UnionType):
        (other,) = [k for k in inner if k is not type(None)]
        plain = _reader(other)
        return lambda value: None if value is None else plain(value)
    if origin is tuple and inner[1:] == (...,):
        return _several(_reader(inner[0]))
    if origin is tuple:
        return _fixed(tuple(map(_reader, inner)))
    if origin is frozenset:
        items = _several(_reader(inner[0]))
        return lambda value: frozenset(items(value))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(_key_reader(inner[0]), _reader(inner[1]))
    raise TypeError(f"{kind} has no form on the wire")


def _shown(value: Any) -> str:
    """What was given, short enough for a message."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise WireError("", _shown(value), "text")
    if len(value) > LONGEST:
        raise WireError("", f"a text of {len(value)} characters", f"{LONGEST} at most")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError("", _shown(value), "a whole number")
    if not -(2**63) <= value < 2**63:
        raise WireError("", "a number of more than 64 bits", "a whole number of up to 64 bits")
    return value


def _number(value: Any) -> float:
    if isinstance(value, str) and value in _NAMELESS:
        return _NAMELESS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError("", _shown(value), "a number")
    return float(_whole(value)) if isinstance(value, int) else value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise WireError("", _shown(value), "true or false")
    return value


_SIMPLE: dict[Any, Reader] = {str: _text, int: _whole, float: _number, bool: _truth}


def _literal(choices: tuple[Any, ...]) -> Reader:
    def one(value: Any) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise WireError("", _shown(value), "one of " + ", ".join(map(repr, choices)))
        return value

    return one


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise WireError("", _shown(value), "a list")
    if len(value) > MOST:
        raise WireError("", f"a list of {len(value)}", f"{MOST} items at most")
    return value


def _several(item: Reader) -> Reader:
    return lambda value: tuple(_at(i, item, v) for i, v in enumerate(_listed(value)))


def _fixed(items: tuple[Reader, ...]) -> Reader:
    def several(value: Any) -> tuple[Any, ...]:
        if len(_listed(value)) != len(items):
            raise WireError("", _shown(value), f"a list of {len(items)}")
        return tuple(_at(i, r, v) for i, (r, v) in enumerate(zip(items, value, strict=True)))

    return several


def _mapping(key: Reader, item: Reader) -> Reader:
    def mapping(value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise WireError("", _shown(value), "an object")
        if len(value) > MOST:
            raise WireError("", f"an object of {len(value)}", f"{MOST} fields at most")
        return {key(k): _at(k[:60], item, v) for k, v in value.items()}

    return mapping


def _key_reader(kind: Any) -> Reader:
    def whole(key: str) -> int:
        if not _WHOLE.fullmatch(key) or key == "-0":
            raise WireError("", f"an object with the key {_shown(key)}", "whole numbers as keys")
        return int(key)

    return whole if kind is int else _text


def _dataclass(kind: type[Any]) -> Reader:
    hints = get_type_hints(kind)
    fields = {f.name: _reader(hints[f.name]) for f in dataclasses.fields(kind)}
    needed = {
        f.name
        for f in dataclasses.fields(kind)
        if f.default is MISSING and f.default_factory is MISSING
    }

    def build(value: Any) -> Any:
        if not isinstance(value, dict):
            raise WireError("", _shown(value), "an object with " + ", ".join(fields))
        for name in value:
            if name not in fields:
                raise WireError(name[:60], "unknown", "one of " + ", ".join(fields))
        for name in sorted(needed - value.keys()):
            raise WireError(name, "missing", "a value")
        given = {name: _at(name, fields[name], v) for name, v in value.items()}
        try:
            return kind(**given)
        except ValueError as error:  # of the value itself, such as a temperature below 0
            raise WireError("", f"not valid ({error})", f"a {kind.__name__}") from None

    return build


def _at(name: str | int, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except WireError as error:
        raise error.inside(name) from None
