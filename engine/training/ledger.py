"""What of a training is done: a JSON file with a row a stage."""

import json
from pathlib import Path
from typing import Any

from engine.training.blocks import write_whole
from engine.training.corpus import CorpusError


class Ledger:
    """For each stage its key, which stands for all that it was made from, the seconds it took, in
    all calls together, and whether it is finished."""

    def __init__(self, path: Path):
        """Raises CorpusError for a file that is damaged."""
        self._path = path
        try:
            read = json.loads(path.read_bytes()) if path.exists() else {}
            self._rows: dict[str, dict[str, Any]] = {
                str(name): {
                    "key": str(row["key"]),
                    "seconds": float(row["seconds"]),
                    "done": bool(row["done"]),
                }
                for name, row in read.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorpusError(
                f"{path} is damaged ({error!r}); remove it, and all stages are gone through again: "
                "the trained ones go on from their checkpoints"
            ) from None

    def key(self, name: str) -> str | None:
        return self._rows[name]["key"] if name in self._rows else None

    def seconds(self, name: str) -> float:
        return self._rows[name]["seconds"] if name in self._rows else 0.0

    def done(self, name: str, key: str) -> bool:
        return self.key(name) == key and self._rows[name]["done"]

    def begin(self, name: str, key: str) -> None:
        """A stage goes on, or anew where it was of another key."""
        if self.key(name) != key:
            self._rows[name] = {"key": key, "seconds": 0.0, "done": False}
        self._rows[name]["done"] = False
        self._write()

    def add(self, name: str, seconds: float) -> None:
        self._rows[name]["seconds"] = round(self._rows[name]["seconds"] + seconds, 3)
        self._write()

    def finish(self, name: str) -> None:
        self._rows[name]["done"] = True
        self._write()

    def _write(self) -> None:
        write_whole(self._path, json.dumps(self._rows, indent=1).encode() + b"\n")
