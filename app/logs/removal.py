"""python app.py log delete|redact: conversations that go for good, and personal data that does."""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import timedelta

from tqdm import tqdm

from app.logs.ownership import owned
from app.logs.upkeep import say_compacting
from app.settings import Options
from app.store.connection import LogError
from app.store.queries import Reader, open_reader
from app.store.redaction import Masked, redact
from app.store.rows import legible
from app.store.upkeep import Going, compact, delete, going, overwriting, size

_AGE = re.compile(r"(\d{1,6})\s*([hdw])", re.ASCII)
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_ELSEWHERE = (
    "The passage database and uploaded files are not touched: remove documents on the corpus page."
)


def add_commands(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", shared: argparse.ArgumentParser
) -> None:
    deleted = verbs.add_parser(
        "delete", parents=[shared], help="delete whole conversations for good"
    )
    which = deleted.add_mutually_exclusive_group(required=True)
    _add_choice(which)
    _add_manner(deleted)
    deleted.set_defaults(run=delete_conversations)

    masked = verbs.add_parser(
        "redact", parents=[shared], help="mask personal data (addresses, numbers) for good"
    )
    which = masked.add_mutually_exclusive_group(required=True)
    _add_choice(which)
    which.add_argument("--all", action="store_true", help="every conversation")
    _add_manner(masked)
    masked.set_defaults(run=redact_conversations)


def delete_conversations(options: Options, flags: argparse.Namespace) -> int:
    if flags.dry_run:
        with closing(open_reader(options.log)) as log:
            _print_going(_chosen(log, flags), "would be deleted")
        return 0
    with owned(options) as log:
        chosen = _chosen(log, flags)
        _print_going(chosen, "are to be deleted" if chosen else "would be deleted")
        if not chosen or not _agreed(flags, "Delete them for good?"):
            return 0 if not chosen else 1
        gone = sum(1 for _ in _bar(delete(log, iter([c.id for c in chosen])), len(chosen)))
        return _finish(options, f"{_many(gone, 'conversation')} deleted")


def redact_conversations(options: Options, flags: argparse.Namespace) -> int:
    if flags.dry_run:
        with closing(open_reader(options.log)) as log:
            _print_masked(_planned(log, _chosen(log, flags)), "would be masked")
        print(_ELSEWHERE, file=sys.stderr)
        return 0
    with owned(options) as log:
        chosen = _chosen(log, flags)
        planned = _planned(log, chosen)
        _print_masked(planned, "are to be masked" if planned else "would be masked")
        if not planned or not _agreed(flags, "Mask all of this for good?"):
            return 0 if not planned else 1
        ids, done = list(planned), 0
        for id in _bar(ids, len(ids)):
            with overwriting(log, f"masking personal data in conversation {id}") as db:
                done += bool(redact(db, id))
        status = _finish(options, f"masked in {_many(done, 'conversation')}")
    print(_ELSEWHERE, file=sys.stderr)
    return status


def age(text: str) -> timedelta:
    """An age such as 90d, 12h or 2w; for argparse."""
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no age; give a number and h, d or w for hours, days or weeks, such as 90d"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _add_choice(which: "argparse._MutuallyExclusiveGroup") -> None:
    which.add_argument("--conversation", metavar="ID", help="this one")
    which.add_argument(
        "--older-than", type=age, metavar="AGE",
        help="those whose newest turn is older than, say, 90d (h hours, d days, w weeks)",
    )  # fmt: skip


def _add_manner(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dry-run", action="store_true", help="only say what would be done")
    command.add_argument("--yes", action="store_true", help="do not ask")


def _chosen(log: Reader, flags: argparse.Namespace) -> tuple[Going, ...]:
    return going(log, conversation=flags.conversation, older=flags.older_than)


def _planned(log: Reader, chosen: Sequence[Going]) -> dict[str, tuple[Masked, ...]]:
    """What there is to mask, by conversation."""
    planned = {}
    for one in _bar(chosen, len(chosen)):
        with log.reading(f"looking for personal data in conversation {one.id}") as db:
            if found := redact(db, one.id, dry=True):
                planned[one.id] = found
    return planned


def _print_going(chosen: Sequence[Going], what: str) -> None:
    for c in chosen:
        said = f"{c.findings:>5} findings  {c.annotations:>4} annotations"
        print(f"{legible(c.id)}  {legible(c.updated)}  {c.turns:>5} turns  {said}  "
              f"{legible(c.title)}")  # fmt: skip
    turns = sum(c.turns for c in chosen)
    annotations = sum(c.annotations for c in chosen)
    print(
        f"{_many(len(chosen), 'conversation')} with {_many(turns, 'turn')} and "
        f"{_many(annotations, 'annotation')} {what}"
    )


def _print_masked(planned: dict[str, tuple[Masked, ...]], what: str) -> None:
    """Kinds and hashes; the values themselves are not printed."""
    everything = [one for found in planned.values() for one in found]
    for id, found in planned.items():
        kinds = Counter(one.kind for one in {(o.kind, o.hash): o for o in found if o.hash}.values())
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        print(f"{legible(id)}  {len({one.turn for one in found}):>5} turns  {said or 'pieces'}")
    values = len({(one.kind, one.hash) for one in everything if one.hash})
    places = sum(one.times for one in everything)
    print(
        f"{_many(values, 'value')} in {_many(places, 'place')} of "
        f"{_many(len(planned), 'conversation')} {what}"
    )


def _agreed(flags: argparse.Namespace, question: str) -> bool:
    """Asks on a terminal; raises LogError where nobody can answer."""
    if flags.yes:
        return True
    if not sys.stdin.isatty():
        raise LogError("nobody can be asked here; say --yes, or --dry-run to only see what it is")
    sys.stdout.flush()
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("nothing was changed")
    return False


def _finish(options: Options, done: str) -> int:
    """Leaves nothing of what is gone in unused parts of the file."""
    print(done, flush=True)
    say_compacting()
    compacted = compact(options.log)
    print(f"{options.log}: {size(compacted.before)} before, {size(compacted.after)} now")
    return 0


def _bar(items: Iterable, total: int) -> Iterable:
    """The items, with a bar on a terminal where there are many."""
    return tqdm(items, total=total, file=sys.stderr, leave=False, disable=None, delay=1)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
