"""python app.py log export-failures|import|pairs: failures and judgements out, annotations in."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path

from tqdm import tqdm

from app.exports.formats import FORMATS, export
from app.exports.imports import origin_of, put_all, read
from app.exports.pairs import KINDS, pairs
from app.logs.output import put
from app.logs.ownership import owned
from app.settings import Options
from app.store.filters import Filter
from app.store.imported import Importing
from app.store.queries import open_reader
from app.store.rows import legible

_FILTERS = {
    "kind": "code of a label, with all below it",
    "source": "machine (findings) or person (annotations)",
    "status": "open, accepted, rejected, disputed or marked",
    "model": "name of a model, or the beginning of its fingerprint",
    "preset": "settings: off or on, k2, t0.7",
    "text": "words of the message, the reply or a note",
    "since": "first day, YYYY-MM-DD",
    "until": "last day, YYYY-MM-DD",
    "annotator": "who marked it or ruled on it",
    "severity": "1 to 3, or info, warn, alert",
    "drawn": "only replies of a finished review: flagged, sample or chosen",
    "document": "title of a document that was shown where the failure lies",
}
_OTHER = "as on the browse page"


def add_commands(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", shared: argparse.ArgumentParser
) -> None:
    exported = verbs.add_parser(
        "export-failures", parents=[shared], help="findings and annotations with their replies"
    )
    exported.add_argument("--format", choices=list(FORMATS), default="jsonl")
    for field in fields(Filter):
        exported.add_argument(f"--{field.name}", default="", help=_FILTERS.get(field.name, _OTHER))
    _add_output(exported)
    exported.set_defaults(run=export_failures)

    imported = verbs.add_parser(
        "import", parents=[shared], help="annotations from such a file, or from Label Studio"
    )
    imported.add_argument("file", type=Path, metavar="FILE")
    imported.set_defaults(run=import_annotations)

    paired = verbs.add_parser(
        "pairs", parents=[shared], help="what people judged, as training data (JSON Lines)"
    )
    paired.add_argument("what", choices=list(KINDS))
    _add_output(paired)
    paired.set_defaults(run=export_pairs)


def export_failures(options: Options, flags: argparse.Namespace) -> int:
    filter = Filter.of({field.name: getattr(flags, field.name) for field in fields(Filter)})
    with closing(open_reader(options.log)) as log:
        pieces = export(log, flags.format, filter, personal=flags.with_personal_data)
        put(flags.out, _shown(pieces, flags))
    return 0


def export_pairs(options: Options, flags: argparse.Namespace) -> int:
    with closing(open_reader(options.log)) as log:
        lines = pairs(log, flags.what, personal=flags.with_personal_data)
        put(flags.out, _shown(lines, flags))
    return 0


def import_annotations(options: Options, flags: argparse.Namespace) -> int:
    """Prints what was refused and a summary; 1 if something was refused."""
    origin = origin_of(flags.file)
    counts: Counter[str] = Counter()
    with owned(options) as log:
        items = read(flags.file, origin)
        for done in tqdm(
            put_all(Importing(log, origin), items),
            unit=" annotations", file=sys.stderr, leave=False, disable=None, delay=1,
        ):  # fmt: skip
            counts[done.outcome] += 1
            if done.problem:
                print(f"{flags.file}, {done.place}: {legible(done.problem)}", file=sys.stderr)
    print(
        f"{counts['added']} annotations added, {counts['changed']} changed, {counts['there']} "
        f"there already, {counts['refused']} refused"
    )
    return 1 if counts["refused"] else 0


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, metavar="FILE", help="a new file (default: stdout)")
    command.add_argument(
        "--with-personal-data", action="store_true",
        help="do not mask e-mail addresses, telephone, card and account numbers and the like",
    )  # fmt: skip


def _shown(pieces: Iterator[str], flags: argparse.Namespace) -> Iterable[str]:
    """The pieces, counted on a terminal where a file is written and that takes a while."""
    quiet = None if flags.out else True
    return tqdm(pieces, unit=" pieces", file=sys.stderr, leave=False, disable=quiet, delay=1)
