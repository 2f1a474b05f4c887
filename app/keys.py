"""The API keys that the engine server accepts: from a file, and from the environment."""

import stat
from pathlib import Path

SHORTEST = 16  # characters
_LARGEST = 1_000_000  # bytes of a file of keys


class BadKeys(ValueError):
    """API keys that cannot be used; says where and why, and repeats none."""


def read_keys(path: Path | None, key: str = "") -> list[str]:
    """The keys in a file, a line each, and `key`. Empty lines and those that begin with # are
    passed over.

    Raises BadKeys where the file cannot be read, others than its owner may read it, it has no key,
    or one is too short or has spaces or other than ASCII characters.
    """
    keys = [] if path is None else [*_from_file(path)]
    if key:
        keys.append(_checked(key, "RETROSCOPE_API_KEY"))
    return keys


def _from_file(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            raw = file.read(_LARGEST)
    except OSError as error:
        raise BadKeys(
            f"cannot read the API keys in {path}: {error.strerror}; name a file with a key on "
            "each line with --keys"
        ) from None
    if mode & 0o077:
        raise BadKeys(
            f"others than its owner may read {path} (mode {mode:03o}); change that with: "
            f"chmod 600 {path}"
        )
    lines = enumerate(raw.decode("utf-8", "replace").splitlines(), 1)
    keys = [
        _checked(line.strip(), f"{path}, line {number}")
        for number, line in lines
        if line.strip() and not line.startswith("#")
    ]
    if not keys:
        raise BadKeys(f"{path} has no API key; write one into it, of {SHORTEST} characters or more")
    return keys


def _checked(key: str, place: str) -> str:
    if len(key) < SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
        raise BadKeys(
            f"{place}: an API key has {SHORTEST} printable ASCII characters or more and no spaces; "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return key
