"""The only reader of the environment; flags are laid over it by the command line."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSION = "0.1.0"


@dataclass(frozen=True)
class Options:
    """Where things are and how the page is served."""

    data: Path  # the log, the passage database, the compilation cache
    weights: Path  # a weights directory
    library: Path  # documents that the default database is built from
    host: str = "127.0.0.1"
    port: int = 7860
    dense_only: bool = False
    logins: Path | None = None  # who may open the page; None for whoever can reach it

    @property
    def log(self) -> Path:
        return self.data / "log.db"

    @property
    def passages(self) -> Path:
        return self.data / "passages"


def read_environment() -> Options:
    """RETROSCOPE_HOME is the data directory, ./data by default; RETROSCOPE_WEIGHTS the weights;
    RETROSCOPE_LOGINS a file of logins, none by default."""
    logins = os.environ.get("RETROSCOPE_LOGINS")
    return Options(
        data=Path(os.environ.get("RETROSCOPE_HOME", "data")),
        weights=Path(os.environ.get("RETROSCOPE_WEIGHTS", ROOT / "engine/weights/retro-mini")),
        library=ROOT / "retrieval/library",
        logins=Path(logins) if logins else None,
    )
