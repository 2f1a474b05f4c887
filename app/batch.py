"""Many questions from a file, each asked once in a conversation of its own, and logged."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path

from app.ask import print_status
from app.compose import load, open_application
from app.records import Finish, Settings
from app.settings import Options
from app.store.log import Log
from app.store.rows import to_json
from app.turn import BadMessage, Finished, Turns, clean_message
from engine.attribution import Unmeasurable
from engine.protocol import Info, PromptTooLong

_ASKED = """
SELECT 1 FROM turns
WHERE message = ? AND settings = ? AND model_id = ? AND database_fingerprint = ?
AND parent_id IS NULL AND finish NOT IN ('running', 'crashed', 'stopped') LIMIT 1
"""


class NothingToAsk(ValueError):
    """A file of questions that cannot be used; says why and what is expected."""


def read_questions(paths: Sequence[Path]) -> list[str]:
    """The questions of text files, one a line, in order and each once; lines with # are none.

    Raises NothingToAsk with file and line.
    """
    found: dict[str, None] = {}
    for path in paths:
        try:
            lines = path.read_text("utf-8").splitlines()
        except OSError as error:
            raise NothingToAsk(f"cannot read {path}: {error.strerror}; name a text file") from None
        except UnicodeDecodeError as error:
            raise NothingToAsk(
                f"{path} is no UTF-8 text (byte {error.start}); save it as UTF-8, a question a line"
            ) from None
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            try:
                found[clean_message(line)] = None
            except BadMessage as problem:
                raise NothingToAsk(f"{path}, line {number}: {problem}") from None
    if not found:
        names = ", ".join(map(str, paths))
        raise NothingToAsk(f"there is no question in {names}; write one on each line")
    return list(found)


def ask_all(
    options: Options,
    paths: Sequence[Path],
    change: Callable[[Settings], Settings],
    *,
    effects: bool = False,
) -> int:
    """Asks every question that the log has no reply to yet, so that a broken run can go on.

    A reply counts where model, passages and settings are the same. With `effects` it is measured
    what the passages changed in each. Prints what the detectors found; the status is 1 if a reply
    failed.
    """
    questions = read_questions(paths)
    with closing(open_application(options)) as application:
        watched = sys.stderr.isatty()
        engine = load(application, options, report=print_status if watched else None)
        settings = change(application.defaults)
        assert application.passages is not None  # `load` opens them
        database = application.passages.fingerprint()
        left = [
            q for q in questions if not _asked(application.log, q, settings, engine.info, database)
        ]
        if known := len(questions) - len(left):
            print(f"{known} of {len(questions)} have been asked before and are left out")
        tally = _Tally()
        try:
            for number, question in enumerate(left, 1):
                finished = _reply(application.turns, question, settings)
                tally.add(question, finished)
                if effects and isinstance(finished, Finished) and not finished.unsaved:
                    with suppress(Unmeasurable):  # a reply without text or passages
                        application.effects.measure(finished.turn.id)
                if watched:
                    print_status(question[:60], number, len(left))
        except KeyboardInterrupt:
            print("\nstopped; the same command goes on from here", file=sys.stderr)
        finally:
            if watched:
                print(file=sys.stderr)
            tally.show(options)
    return 1 if tally.failed else 0


def _asked(log: Log, question: str, settings: Settings, model: Info, database: str) -> bool:
    key = [question, to_json(asdict(settings)), model.fingerprint, database]
    with log.reading("looking for replies that are there") as db:
        return db.execute(_ASKED, key).fetchone() is not None


def _reply(turns: Turns, question: str, settings: Settings) -> Finished | str:
    """The finished turn, or why there is none."""
    try:
        for event in turns.run(question, settings):
            if isinstance(event, Finished):
                return event
    except PromptTooLong as problem:
        return str(problem)
    raise AssertionError("a turn that is not closed ends in Finished")


class _Tally:
    """What came of a run."""

    def __init__(self) -> None:
        self.finishes: Counter[Finish] = Counter()
        self.kinds: Counter[str] = Counter()  # replies with a finding of the kind
        self.flagged = self.tokens = self.failed = 0
        self._begun = time.monotonic()

    def add(self, question: str, finished: Finished | str) -> None:
        if isinstance(finished, str) or finished.unsaved:
            why = finished if isinstance(finished, str) else finished.unsaved
            print(f"\nno reply to {question[:60]!r} in the log: {why}", file=sys.stderr)
            self.failed += 1
            return
        self.finishes[finished.turn.finish] += 1
        self.failed += finished.turn.finish == "error"
        self.tokens += len(finished.turn.reply.tokens)
        kinds = {finding.kind for run in finished.runs for finding in run.findings}
        self.kinds.update(kinds)
        self.flagged += bool(kinds)

    def show(self, options: Options) -> None:
        replies = self.finishes.total()
        seconds = time.monotonic() - self._begun
        print(f"{replies} replies, {self.tokens} tokens, {seconds:.0f} s, in {options.log}")
        print("ended: " + (", ".join(f"{n} {f}" for f, n in self.finishes.most_common()) or "none"))
        print(f"{self.flagged} have a finding; replies with at least one of a kind:")
        for kind, count in self.kinds.most_common():
            print(f"{count:>5}  {kind}")
