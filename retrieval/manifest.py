"""The manifest of a database directory: which generation is current and what it was made with.

Replacing `manifest.json` is the one step that makes a new generation visible.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from retrieval.files import replace
from retrieval.protocol import Embedder

FILE = "manifest.json"
FORMAT = 1
METRIC = "squared_l2"
REBUILD = "python app.py ingest --rebuild"


class DatabaseError(Exception):
    """Something is wrong with a passage database; the message says what to do.

    DatabaseError
    ├── DatabaseMissing    there is none in the directory
    ├── DatabaseMismatch   made with another embedder or tokenizer
    ├── DatabaseDamaged    a file is missing, cut short or changed
    └── DatabaseBusy       another process writes to it
    """


class DatabaseMissing(DatabaseError):
    pass


class DatabaseMismatch(DatabaseError):
    pass


class DatabaseDamaged(DatabaseError):
    pass


class DatabaseBusy(DatabaseError):
    pass


@dataclass(frozen=True)
class Manifest:
    """One generation. `embedder` and `tokenizer` are fingerprints, `width` is that of a key,
    `documents` and `chunks` are counts, `sha256` is that of the index file."""

    generation: int
    embedder: str
    tokenizer: str
    width: int
    documents: int
    chunks: int
    sha256: str
    metric: str = METRIC
    format: int = FORMAT

    @property
    def index(self) -> str:
        return index_name(self.generation)

    @property
    def fingerprint(self) -> str:
        """Names this content: the SHA-256 of the manifest's fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """Raises DatabaseMissing or DatabaseDamaged."""
        path = directory / FILE
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            raise DatabaseMissing(
                f"there is no passage database in {directory}; "
                "make one with: python app.py ingest PATH..."
            ) from None
        try:
            fields = json.loads(raw)
            kept = fields.pop("fingerprint")
            if fields["format"] != FORMAT:
                raise DatabaseMismatch(
                    f"{path} has the format {fields['format']}, this version reads {FORMAT}; "
                    f"run: {REBUILD}"
                )
            manifest = cls(**fields)
            if manifest.fingerprint == kept:
                return manifest
        except (ValueError, TypeError, KeyError, AttributeError):
            pass
        raise DatabaseDamaged(f"{path} is damaged: it was cut short or changed; run: {REBUILD}")

    def write(self, directory: Path) -> None:
        fields = {**asdict(self), "fingerprint": self.fingerprint}
        text = json.dumps(fields, indent=2) + "\n"
        replace(directory / FILE, lambda path: path.write_text(text, encoding="utf-8"))

    def check(self, directory: Path, embedder: Embedder, tokenizer: str) -> None:
        """Raises DatabaseMismatch, with both fingerprints, if this was made with others."""
        pairs = (
            ("embedder", self.embedder, embedder.fingerprint),
            ("tokenizer", self.tokenizer, tokenizer),
            ("key width", self.width, embedder.width),
            ("metric", self.metric, METRIC),
        )
        for what, made, now in pairs:
            if made != now:
                raise DatabaseMismatch(
                    f"the passage database in {directory} was made with {what} {made}, but this "
                    f"is {now}; run: {REBUILD}"
                )


def index_name(generation: int) -> str:
    return f"index-{generation}.faiss"


def generation_of(path: Path) -> int | None:
    """The number in the name of an index file; None for other files."""
    match = re.fullmatch(r"index-(\d+)\.faiss", path.name)
    return int(match[1]) if match else None
