"""Named settings in the log. All functions work inside the caller's transaction."""

from collections.abc import Iterator
from dataclasses import asdict

from app.records import Preset
from app.store.connection import LogError
from app.store.ids import now
from app.store.rows import legible, storable, to_json
from app.store.values import settings_of
from retrieval.sqlite import Database

NAME = 60  # the most characters of a name

_PUT = """
INSERT INTO presets (name, settings, is_default, created, updated)
VALUES (:name, :settings, :is_default, :now, :now)
ON CONFLICT (name) DO UPDATE SET
settings = excluded.settings, is_default = excluded.is_default, updated = excluded.updated
"""


def save(db: Database, preset: Preset) -> None:
    """Adds or replaces the preset of this name; a new default takes the place of the old."""
    name = preset.name
    if not name or name != legible(name) or len(name) > NAME:
        raise LogError(
            f"a preset cannot be called {name[: NAME + 1]!r}; give a name of 1 to {NAME} "
            "characters on one line, without spaces around it"
        )
    if preset.default:
        db.execute("UPDATE presets SET is_default = 0 WHERE is_default")
    row = {
        "name": name,
        "settings": to_json(asdict(preset.settings)),
        "is_default": int(preset.default),
        "now": now(),
    }
    db.execute(_PUT, storable(row))


def delete(db: Database, name: str) -> None:
    if not db.execute("DELETE FROM presets WHERE name = :name", storable({"name": name})).rowcount:
        raise LogError(f"there is no preset {name!r} in the log; it may have been deleted")


def load(db: Database, where: str = "1") -> Iterator[Preset]:
    """By name; `where` is SQL."""
    for row in db.query(f"SELECT * FROM presets WHERE {where} ORDER BY name"):
        yield Preset(row["name"], settings_of(row["settings"]), bool(row["is_default"]))
