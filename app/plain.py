"""Frozen dataclasses as plain JSON values, and back, checked against their annotations."""

import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[type, str] = {str: "a text", int: "a whole number", bool: "true or false"}


class Unfit(ValueError):
    """A value that is not what its place asks for; the message names the place."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place or 'the document'} {problem}")


def plain(value: Any) -> Any:
    """Only dicts, lists, texts, numbers, booleans and None. A number that JSON has no name for
    (infinity, not-a-number) becomes its text."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
    return {field.name: plain(getattr(value, field.name)) for field in fields(value)}


def read(kind: type[T], value: Any, place: str = "") -> T:
    """The value that was made plain, as a `kind`; raises Unfit.

    Names that a dataclass does not have are refused; one with a default may be missing.
    """
    return _read(kind, value, place)


def _read(kind: Any, value: Any, place: str) -> Any:
    if kind is float:
        return _float(value, place)
    if kind in (str, int, bool):
        return _scalar(kind, value, place)
    if kind is Any:
        return value
    origin, inner = _parts(kind)
    if origin is None:
        return _dataclass(kind, value, place)
    if origin is tuple:
        return _tuple(inner, value, place)
    if origin in (Union, types.UnionType):  # only `kind | None` is met here
        (kind,) = (k for k in inner if k is not types.NoneType)
        return None if value is None else _read(kind, value, place)
    if origin is Literal:
        if value not in inner:
            raise Unfit(place, f"is {shown(value)}; expected one of {', '.join(inner)}")
        return value
    if not isinstance(value, dict):
        raise Unfit(place, f"is {shown(value)}; expected an object")
    return {
        _scalar(str, key, place): _read(inner[1], item, f"{place}[{shown(key)}]")
        for key, item in value.items()
    }


def _dataclass(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise Unfit(place, f"is {shown(value)}; expected an object")
    kinds = _annotations(kind)
    if unknown := [name for name in value if name not in kinds]:
        raise Unfit(place, f"has {shown(unknown[0])}, which is not known here")
    for name in _needed(kind):
        if name not in value:
            raise Unfit(_within(place, name), "is missing")
    items = {name: _read(kinds[name], v, _within(place, name)) for name, v in value.items()}
    try:
        return kind(**items)
    except ValueError as error:  # the dataclass checks its values
        raise Unfit(place, f"cannot be: {error}") from None


def _tuple(inner: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise Unfit(place, f"is {shown(value)}; expected a list")
    if inner[1:] == (...,):
        inner = inner[:1] * len(value)
    elif len(value) != len(inner):
        raise Unfit(place, f"has {len(value)} items; expected {len(inner)}")
    return tuple(
        _read(kind, item, f"{place}[{i}]")
        for i, (kind, item) in enumerate(zip(inner, value, strict=True))
    )


def _float(value: Any, place: str) -> float:
    named = isinstance(value, str) and value in ("inf", "-inf", "nan")
    if named or (isinstance(value, int | float) and not isinstance(value, bool)):
        try:
            return float(value)
        except OverflowError:
            pass
    raise Unfit(place, f"is {shown(value)}; expected a number")


def _scalar(kind: type, value: Any, place: str) -> Any:
    if type(value) is not kind:  # a bool is an int to isinstance
        raise Unfit(place, f"is {shown(value)}; expected {_WORDS[kind]}")
    if kind is str and _SURROGATE.search(value):
        raise Unfit(place, "holds half a character (a lone surrogate)")
    return value


@cache
def _annotations(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _needed(kind: Any) -> list[str]:
    """Names of the fields without a default."""
    return [
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    ]


@cache
def _parts(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(kind), get_args(kind)


def _within(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def shown(value: Any) -> str:
    """A value as an error may quote it: on one line, and not long."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
