"""The log from the command line: list, show and export what is in it, which changes nothing.

What else can be done with it is in app/logs.
"""

import argparse
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from app.export import collect, exchange_of, to_json
from app.failures import evaluation
from app.logs import exchanging, removal, upkeep
from app.logs.output import put
from app.markdown import asked, facts, to_markdown
from app.settings import Options
from app.store.connection import LogError
from app.store.effects import gain_of
from app.store.queries import Reader, open_reader
from app.store.rows import legible

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but for tab and newline


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", data: Path
) -> None:
    log = commands.add_parser("log", help="what was said: list, show, export, count, check, delete")
    verbs = log.add_subparsers(required=True, metavar="VERB")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, default=data, help="directory of the log")

    listed = verbs.add_parser("list", parents=[shared], help="the conversations, newest first")
    listed.add_argument("--search", help="only those with these words")
    listed.set_defaults(run=list_conversations)

    shown = verbs.add_parser("show", parents=[shared], help="one turn with its passages")
    shown.add_argument("id", metavar="TURN")
    shown.set_defaults(run=show_turn)

    exported = verbs.add_parser("export", parents=[shared], help="one conversation as a document")
    exported.add_argument("id", metavar="CONVERSATION_OR_TURN")
    exported.add_argument("--format", choices=["json", "markdown"], default="json")
    exported.add_argument("--out", type=Path, metavar="FILE", help="a new file (default: stdout)")
    exported.set_defaults(run=export)

    exchanging.add_commands(verbs, shared)
    upkeep.add_commands(verbs, shared)
    removal.add_commands(verbs, shared)
    evaluation.add_command(verbs)


def list_conversations(options: Options, flags: argparse.Namespace) -> int:
    """A line for each conversation: id, when its newest turn was created, replies, title."""
    with closing(open_reader(options.log)) as log:
        found = log.conversations(flags.search)
    for c in found:
        print(f"{legible(c.id)}  {legible(c.updated)}  {c.turns:>5}  {legible(c.title)}")
    if not found:
        print(f"no conversation in {options.log}" + (" has that" if flags.search else ""))
    return 0


def show_turn(options: Options, flags: argparse.Namespace) -> int:
    with closing(open_reader(options.log)) as log:
        for line in _lines(log, flags.id):
            print(_CONTROL.sub("", line))
    return 0


def export(options: Options, flags: argparse.Namespace) -> int:
    """A conversation with all its branches; as Markdown, a turn stands for its branch."""
    with closing(open_reader(options.log)) as log:
        conversation, turn = _place(log, flags.id)
        transcript = collect(log, conversation)
    text = to_json(transcript) if flags.format == "json" else to_markdown(transcript, turn)
    put(flags.out, [text])
    return 0


def _place(log: Reader, id: str) -> tuple[str, str | None]:
    """The conversation of this id, or that of the turn of this id and the turn."""
    try:
        return log.conversation(id).id, None
    except LogError:
        pass
    try:
        return log.turn(id).conversation, id
    except LogError:
        raise LogError(
            f"{log.path} has no conversation and no turn {legible(id)}; list the conversations "
            "with: python app.py log list"
        ) from None


def _lines(log: Reader, turn_id: str) -> Iterator[str]:
    exchange = exchange_of(log, turn_id)
    turn, reply = exchange.turn, exchange.turn.reply
    siblings = log.siblings(turn_id)
    version = f", version {siblings.index(turn_id) + 1} of {len(siblings)}" if siblings[1:] else ""
    yield f"turn {turn.id} of conversation {turn.conversation}{version}"
    yield f"{turn.created}, {turn.model.preset}, {asked(turn.settings)}, ended: {turn.finish}"
    if turn.error:
        yield f"error: {turn.error}"
    yield f"\n{turn.message}\n\n{reply.text or '(no text)'}\n"
    if exchange.attribution and (gain := gain_of(exchange.attribution)) is not None:
        yield f"all passages together changed the reply by {gain:+.2f} nats"
    for number, chunk in enumerate(reply.chunks, 1):
        why = "" if chunk.neighbours else f": no passage {chunk.error or ''}".rstrip()
        yield f"chunk {number}, characters {chunk.start} to {chunk.end}{why}"
        for rank, n in enumerate(chunk.neighbours):
            known = facts(exchange, chunk, rank)
            place = f"{legible(n.title)} [{n.start}-{n.end}]"
            yield f"  {rank + 1}. {place}" + (f", {known}" if known else "")
    for f in exchange.findings:
        yield f"found {f.kind} ({f.severity}), characters {f.start} to {f.end}: {f.explanation}"
    for c in log.comparisons(turn_id):
        yield f"compared: {c.a} with {c.b}, {legible(c.change)}; vote: {c.vote or 'none'}"
