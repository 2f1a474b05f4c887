"""One question from the command line, the same turn as the page's, and a logged one again."""

import json
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import Any

from app.compose import load, open_application
from app.records import Settings
from app.replay import Replay
from app.settings import Options
from app.turn import Finished, clean_message
from engine.protocol import TokenEvent


def ask(
    options: Options, message: str, change: Callable[[Settings], Settings], *, as_json: bool
) -> int:
    """Asks and prints the reply as it is written, or all of the turn as JSON at the end."""
    message = clean_message(message)  # refused here, before the seconds that loading takes
    with closing(open_application(options)) as application:
        say = sys.stderr.isatty()
        load(application, options, report=print_status if say else None)
        settings = change(application.defaults)
        finished = None
        with closing(application.turns.run(message, settings)) as events:
            for event in events:
                if isinstance(event, TokenEvent) and not as_json:
                    print(event.text, end="", flush=True)
                elif isinstance(event, Finished):
                    finished = event
    assert finished is not None  # the last event of a turn that was not closed
    if as_json:
        print(json.dumps(describe(finished), ensure_ascii=False, indent=2))
    else:
        print()
        for chunk in finished.turn.reply.chunks:
            if chunk.error:
                print(f"[{chunk.index}] {chunk.error}", file=sys.stderr)
            for n in chunk.neighbours:
                print(f"[{chunk.index}] shown: {n.title} [{n.start}-{n.end}]", file=sys.stderr)
    if finished.turn.error and not as_json:
        print(f"error: the reply was cut off: {finished.turn.error}", file=sys.stderr)
    if finished.unsaved:
        print(f"error: the turn is not in the log: {finished.unsaved}", file=sys.stderr)
        return 3
    return 1 if finished.turn.finish == "error" else 0


def replay(options: Options, turn_id: str, *, as_json: bool) -> int:
    """Writes a logged reply again and says whether it is the same; 0 if it is, 1 if not."""
    with closing(open_application(options)) as application:
        application.log.turn(turn_id)  # refused here, before the seconds that loading takes
        load(application, options, report=print_status if sys.stderr.isatty() else None)
        found = None
        with closing(application.turns.replay(turn_id)) as events:
            for event in events:
                if isinstance(event, Replay):
                    found = event
    assert found is not None  # the last event
    if as_json:
        print(json.dumps(found.to_dict(), ensure_ascii=False, indent=2))
    else:
        print(f"turn {found}")
    return 0 if found.same else 1


def describe(finished: Finished) -> dict[str, Any]:
    """A finished turn as JSON: what `ask --json` prints."""
    turn = finished.turn
    reply = turn.reply
    shown = ("title", "text", "continuation", "distance")
    return {
        "reply": reply.text,
        "chunks": [
            {
                "index": chunk.index,
                "text": reply.text[chunk.start : chunk.end],
                "neighbours": [
                    {name: getattr(n, name) for name in shown} for n in chunk.neighbours
                ],
                **({"error": chunk.error} if chunk.error else {}),
            }
            for chunk in reply.chunks
        ],
        "findings": [asdict(finding) for run in finished.runs for finding in run.findings],
        "turn_id": turn.id,
        "finish": turn.finish,
        "seed": turn.settings.sampling.seed,
        "timings": dict(reply.done.seconds) if reply.done else {},
        **({"error": turn.error} if turn.error else {}),
    }


def print_status(message: str, done: int, total: int) -> None:
    """Writes over the line of a terminal what is being done, and how far it is."""
    bar = f" {done}/{total}" if total else ""
    print(f"\r\x1b[K{message}{bar}", end="", file=sys.stderr, flush=True)
