"""The formats that failures can be exported in, by name."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from app.exports import avid, jsonl, labelstudio, table, webannotation
from app.exports.failure import Failure
from app.settings import VERSION
from app.store.filters import Filter
from app.store.gathering import basis, failures
from app.store.ids import now
from app.store.queries import Reader


@dataclass(frozen=True)
class Format:
    """`write` is pure: failures in, pieces of the file out, one after the other."""

    name: str
    end: str  # of a file's name
    media: str  # type
    write: Callable[[Iterable[Failure]], Iterator[str]] | None  # None for one that needs counts


FORMATS = {
    made.name: made
    for made in (
        Format("jsonl", "jsonl", "application/x-ndjson; charset=utf-8", jsonl.write),
        Format("csv", "csv", "text/csv; charset=utf-8; header=present", table.write),
        Format("w3c", "jsonld", "application/ld+json; charset=utf-8", webannotation.write),
        Format("labelstudio", "json", "application/json; charset=utf-8", labelstudio.write),
        Format("avid", "avid.json", "application/json; charset=utf-8", None),
    )
}


def export(log: Reader, name: str, filter: Filter, *, personal: bool = False) -> Iterator[str]:
    """The pieces of a file in the format `name`, a key of `FORMATS`. Raises LogError."""
    found = failures(log, filter, personal=personal)
    if (write := FORMATS[name].write) is not None:
        return write(found)
    behind = basis(log, filter)
    return avid.write(
        found, replies=behind.replies, reviewed=behind.reviewed, selection=filter.given(),
        created=now(), program=VERSION,
    )  # fmt: skip
