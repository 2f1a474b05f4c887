"""Presets of settings: listed, made, changed, renamed, deleted, and one of them preferred."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from app.compose import Application
from app.records import Preset
from app.store.connection import LogError
from app.store.presets import NAME as NAME_LIMIT
from app.ui.fields import FIELDS, OWN, Unfit, read_values, values_of
from prompts.dialogue import DEFAULT

_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

Answer = dict[str, Any]


class Presets:
    """The presets of a log. Every method answers with all of them, as `look` does, and with
    "problems" by field, "" for what concerns no field, where something was not done."""

    def __init__(self, app: Application):
        self._app = app

    def look(self) -> Answer:
        """{"fields", "own", "template", "presets": [{"name", "values"}], "preferred"}.

        The model's own settings come first, as a preset that cannot be changed; `preferred` is
        the one that new pages start with. `template` is the text of the model's own template.
        """
        answer: Answer = {
            "fields": [asdict(field) for field in FIELDS],
            "own": OWN,
            "template": DEFAULT.text,
            "presets": [{"name": OWN, "values": values_of(self._app.defaults)}],
            "preferred": OWN,
        }
        try:
            for preset in self._app.log.presets():
                named = {"name": preset.name, "values": values_of(preset.settings)}
                answer["presets"].append(named)
                if preset.default:
                    answer["preferred"] = preset.name
        except LogError as problem:
            answer["problems"] = {"": str(problem)}
        return answer

    def save(self, name: Any, values: Any, replaces: Any = None) -> Answer:
        """Makes a preset; or changes the one named `replaces`, which may get another name."""

        def write() -> str:
            kept = {preset.name: preset for preset in self._app.log.presets()}
            old = kept.get(replaces) if replaces is not None else None
            if replaces is not None and old is None:
                raise Unfit({"": f"there is no preset “{replaces}” any more; save it as a new one"})
            problems: dict[str, str] = {}
            new = ""
            try:
                new = fit_name(name, [known for known in (OWN, *kept) if known != replaces])
            except ValueError as problem:
                problems["name"] = str(problem)
            settings = self._app.defaults if old is None else old.settings
            try:
                settings = read_values(values if isinstance(values, Mapping) else {}, settings)
            except Unfit as unfit:
                problems |= unfit.problems
            if problems:
                raise Unfit(problems)
            self._app.log.save_preset(Preset(new, settings, old is not None and old.default))
            if old is not None and new != old.name:
                self._app.log.delete_preset(old.name)
            return new

        return self._answer(write)

    def copy(self, name: Any) -> Answer:
        """Makes a preset with the settings of another one and a name of its own."""

        def write() -> str:
            kept = {preset.name: preset.settings for preset in self._app.log.presets()}
            settings = ({OWN: self._app.defaults} | kept).get(name)
            if settings is None:
                raise Unfit({"": f"there is no preset “{name}” any more"})
            new = free_name(name, kept)
            self._app.log.save_preset(Preset(new, settings))
            return new

        return self._answer(write)

    def delete(self, name: Any) -> Answer:
        """Deletes a preset for good; the model's own cannot be deleted."""

        def write() -> str:
            if name == OWN:
                raise Unfit({"": f"“{OWN}” comes with the model and cannot be deleted"})
            if name in {preset.name for preset in self._app.log.presets()}:
                self._app.log.delete_preset(name)
            return OWN

        return self._answer(write)

    def prefer(self, name: Any) -> Answer:
        """Makes a preset the one that new pages start with."""

        def write() -> str:
            kept = {preset.name: preset for preset in self._app.log.presets()}
            if name != OWN and name not in kept:
                raise Unfit({"": f"there is no preset “{name}” any more"})
            if name != OWN:
                self._app.log.save_preset(replace(kept[name], default=True))
            elif old := self._app.log.default_preset():
                self._app.log.save_preset(replace(old, default=False))
            return name

        return self._answer(write)

    def _answer(self, write: Callable[[], str]) -> Answer:
        try:
            done = write()
        except Unfit as unfit:
            return {**self.look(), "problems": unfit.problems}
        except LogError as problem:
            return {**self.look(), "problems": {"": str(problem)}}
        return {**self.look(), "done": done}


def fit_name(name: Any, taken: list[str]) -> str:
    """A name for a preset, without space around it. ValueError where it is unfit or taken."""
    if not isinstance(name, str) or not (name := " ".join(_UNSEEN.sub(" ", name).split())):
        raise ValueError("the preset has no name; give it one")
    if len(name) > NAME_LIMIT:
        raise ValueError(f"the name has {len(name)} characters; the limit is {NAME_LIMIT}")
    for other in taken:
        if other.casefold() == name.casefold():
            raise ValueError(f"there is already a preset “{other}”; give another name")
    return name


def free_name(name: str, taken: Mapping[str, Any]) -> str:
    """The name of a copy."""
    folded = {other.casefold() for other in taken}
    number = 1
    while True:
        end = " (copy)" if number == 1 else f" (copy {number})"
        new = name[: NAME_LIMIT - len(end)].rstrip() + end
        if new.casefold() not in folded:
            return new
        number += 1
