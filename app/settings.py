"""The only reader of the environment; flags are laid over it by the command line."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

Numbers = Literal["int8", "int4", "float32"]
NUMBERS: tuple[Numbers, ...] = get_args(Numbers)
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
    keys: Path | None = None  # a file of API keys that the engine server accepts
    key: str = field(default="", repr=False)  # one more; the one to show to `engine`
    numbers: Numbers = "int8"  # what the model is computed in
    slots: int = 8  # replies written at the same time
    engine: str = ""  # address of an engine server whose model is used; "" for `weights`

    @property
    def log(self) -> Path:
        return self.data / "log.db"

    @property
    def passages(self) -> Path:
        return self.data / "passages"


def read_environment() -> Options:
    """RETROSCOPE_HOME is the data directory, ./data by default; RETROSCOPE_WEIGHTS the weights;
    RETROSCOPE_LOGINS a file of logins, RETROSCOPE_API_KEYS one of API keys, RETROSCOPE_API_KEY a
    key itself; none by default."""
    logins, keys = os.environ.get("RETROSCOPE_LOGINS"), os.environ.get("RETROSCOPE_API_KEYS")
    return Options(
        data=Path(os.environ.get("RETROSCOPE_HOME", "data")),
        weights=Path(os.environ.get("RETROSCOPE_WEIGHTS", ROOT / "engine/weights/retro-mini")),
        library=ROOT / "retrieval/library",
        logins=Path(logins) if logins else None,
        keys=Path(keys) if keys else None,
        key=os.environ.get("RETROSCOPE_API_KEY", ""),
    )
