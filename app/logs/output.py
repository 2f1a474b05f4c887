"""Files that commands write: new ones, and no half ones."""

import sys
from collections.abc import Iterable
from pathlib import Path


class CannotExport(Exception):
    """A file that cannot be written; says why and what to do."""


def write(path: Path, pieces: Iterable[str]) -> None:
    """Writes a new file from its pieces; raises CannotExport, and then leaves none."""
    try:
        file = path.open("x", encoding="utf-8", newline="")
    except FileExistsError:
        raise CannotExport(f"{path} exists already; remove it, or name another file") from None
    except OSError as error:
        raise CannotExport(f"cannot write {path}: {error.strerror}; name another file") from None
    try:
        with file:
            file.writelines(pieces)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise CannotExport(f"cannot write {path}: {error.strerror}; name another file") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def put(path: Path | None, pieces: Iterable[str]) -> None:
    """Writes to a new file and says so, or to standard output. Raises CannotExport."""
    if path is None:
        sys.stdout.writelines(pieces)
        return
    write(path, pieces)
    print(f"wrote {path}", file=sys.stderr)
