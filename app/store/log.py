"""The log: every turn with what was shown, what was measured and what was found."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.records import Comparison, DetectorRun, Preset, Turn, Verdict, Vote
from app.store import comparisons, effects, judgements, labels, migrations, presets, rows
from app.store.connection import LogError, connect, explained
from app.store.ids import now
from app.store.queries import Reader
from engine.attribution import Attribution
from engine.protocol import Reply
from retrieval.sqlite import Database

_RUN = """
INSERT INTO detector_runs (turn_id, detector, version, status, seconds, message)
VALUES (:turn_id, :detector, :version, :status, :seconds, :message)
"""  # written out: there are many a turn, and Table.insert looks at the schema each time


class Log(Reader):
    """The log of one data folder. Any thread may read and write; writes wait for one another.

    A turn is written three times: `start` before its reply, `progress` while it grows, `save`
    when it is complete. Each is one transaction and durable when it returns. A method that
    raises LogError has changed nothing and may be called again.
    """

    def __init__(self, path: Path, app_version: str = "") -> None:
        """Opens the log, making or upgrading it as needed; raises LogError.

        One process at a time may write to a log: the owner of its data folder.
        """
        super().__init__(path)
        self._app_version = app_version
        self._lock = threading.Lock()
        self._deleted: set[str] = set()
        with explained("opening the log", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = connect(path, writes=True)
            try:
                migrations.upgrade(self._writer, path)
                labels.renew(self._writer)
            except BaseException:
                self._writer.close()
                raise

    def close(self) -> None:
        super().close()
        with self._lock:
            self._writer.close()

    def start(self, turn: Turn) -> None:
        """Records that a reply to this turn is about to be written."""
        with self.writing(f"recording the start of turn {turn.id}") as db:
            if _exists(db, turn.id):
                raise LogError(f"turn {turn.id} has been started before; give a new turn a new id")
            self._put(db, turn)
            db.execute("UPDATE turns SET finish = 'running' WHERE id = ?", [turn.id])

    def progress(self, turn_id: str, reply: Reply) -> None:
        """Replaces what a started turn has of its reply so far."""
        with self.writing(f"saving the partial reply of turn {turn_id}") as db:
            running = "SELECT 1 FROM turns WHERE id = ? AND finish = 'running'"
            if db.execute(running, [turn_id]).fetchone() is None:
                raise LogError(
                    f"turn {turn_id} is not being written: it was never started, has been saved, "
                    "or was deleted with its conversation"
                )
            with _rewriting(db, turn_id):
                db.table("turns").update(turn_id, rows.reply_columns(reply))
                _put_reply(db, turn_id, reply)

    def save(self, turn: Turn, runs: Sequence[DetectorRun] = ()) -> None:
        """Records the finished turn with the detector runs on it, in one transaction.

        Whatever the log had of this turn is replaced, its runs and findings included. Measured
        effects stay where the reply and its passages are the same, judgements where the passage
        is, comparisons always.
        """
        with self.writing(f"saving turn {turn.id}") as db:
            with _rewriting(db, turn.id):
                self._put(db, turn)
            db.execute("DELETE FROM detector_runs WHERE turn_id = ?", [turn.id])
            created = now()
            for run in runs:
                run_id = db.execute(_RUN, rows.run_row(turn.id, run)).lastrowid
                assert run_id is not None
                db.table("findings").insert_all(
                    [rows.finding_row(turn.id, run_id, found, created) for found in run.findings]
                )

    def recover(self) -> tuple[str, ...]:
        """Marks the turns that an earlier process left unfinished as crashed; returns their ids.

        To be called at start-up, before the first turn. Their partial replies are kept.
        """
        with self.writing("recovering unfinished turns") as db:
            crashed = db.execute(
                "UPDATE turns SET finish = 'crashed', error = ? WHERE finish = 'running' "
                "RETURNING id",
                ["the application ended while this reply was being written"],
            )
            return tuple(turn_id for (turn_id,) in crashed.fetchall())

    def rename(self, conversation_id: str, title: str) -> None:
        """Gives a conversation a title: the first line of it, or "Untitled"."""
        with self.writing(f"renaming conversation {conversation_id}") as db:
            changed = db.execute(
                "UPDATE conversations SET title = ? WHERE id = ?",
                [rows.title_of(title), conversation_id],
            ).rowcount
            if not changed:
                raise LogError(f"{self.path} has no conversation {conversation_id}")

    def delete_conversation(self, conversation_id: str) -> None:
        """Deletes a conversation with all its turns and findings, for good.

        A turn of it that is still being written can no longer be saved.
        """
        self._deleted.add(conversation_id)
        try:
            with self.writing(f"deleting conversation {conversation_id}") as db:
                db.execute("DELETE FROM conversations WHERE id = ?", [conversation_id])
        except LogError:
            self._deleted.discard(conversation_id)
            raise

    def save_attribution(self, turn_id: str, attribution: Attribution) -> None:
        """Keeps what the passages changed in a finished reply, in place of an earlier measurement.

        LogError where the effects do not fit the turn that the log has.
        """
        with self.writing(f"saving the effects in turn {turn_id}") as db:
            effects.save(db, turn_id, attribution)

    def compare(self, a: str, b: str, change: str) -> Comparison:
        """Records that turn `b` replies to the message of turn `a` with a change, in words.

        Asked again for the same pair and change, it returns the comparison there is.
        """
        with self.writing(f"comparing turns {a} and {b}") as db:
            return comparisons.compare(db, a, b, change)

    def vote(self, comparison_id: str, vote: Vote | None) -> None:
        """Replaces the vote on a comparison; None takes it back."""
        with self.writing(f"voting on comparison {comparison_id}") as db:
            comparisons.vote(db, comparison_id, vote)

    def judge(
        self, turn_id: str, chunk: int, rank: int, verdict: Verdict | None, annotator: str = ""
    ) -> None:
        """Replaces what the annotator said of a passage; None takes it back.

        The place is `Judgement`'s: index of the reply chunk, rank of the neighbour.
        """
        with self.writing(f"judging a passage of turn {turn_id}") as db:
            judgements.judge(db, turn_id, chunk, rank, verdict, annotator)

    def save_preset(self, preset: Preset) -> None:
        """Adds or replaces the preset of this name; as the default it replaces another one."""
        with self.writing(f"saving the preset {preset.name!r}") as db:
            presets.save(db, preset)

    def delete_preset(self, name: str) -> None:
        with self.writing(f"deleting the preset {name!r}") as db:
            presets.delete(db, name)

    @contextmanager
    def writing(self, doing: str) -> Iterator[Database]:
        """The writing connection inside a transaction, durable when the block has ended.

        `doing` is what an error message says was tried. An error inside undoes everything.
        """
        with self._lock, explained(doing, self.path):
            db = self._writer
            db.execute("BEGIN IMMEDIATE")  # takes the write lock now, not halfway through
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                db.rollback()
                raise

    def _put(self, db: Database, turn: Turn) -> None:
        """Inserts or replaces a turn with its reply."""
        if turn.conversation in self._deleted:
            raise LogError(f"turn {turn.id} belongs to a conversation that has been deleted")
        _check_parent(db, turn)
        db.table("models").upsert(rows.model_row(turn.model), pk="id")
        conversation = rows.conversation_row(turn)
        db.table("conversations").insert(conversation, pk="id", ignore=True)
        db.execute(
            "UPDATE conversations SET updated = max(updated, :updated) WHERE id = :id", conversation
        )
        place = "(SELECT n FROM turns WHERE id = ?), (SELECT max(n) FROM turns) + 1, 1"
        n = db.execute(f"SELECT coalesce({place})", [turn.id]).fetchone()[0]
        db.table("turns").upsert({**rows.turn_row(turn, self._app_version), "n": n}, pk="id")
        _put_reply(db, turn.id, turn.reply)


@contextmanager
def _rewriting(db: Database, turn_id: str) -> Iterator[None]:
    """Around the writing of a turn: what was said of it before must still be true after."""
    before = effects.basis(db, turn_id)
    yield
    if before != effects.basis(db, turn_id):
        effects.forget(db, turn_id)
    judgements.drop_stale(db, turn_id)


def _put_reply(db: Database, turn_id: str, reply: Reply) -> None:
    db.table("turn_tokens").upsert(rows.tokens_row(turn_id, reply.tokens), pk="turn_id")
    db.execute("DELETE FROM chunks WHERE turn_id = ?", [turn_id])
    chunks, neighbours = rows.chunk_rows(turn_id, reply.chunks)
    db.table("chunks").insert_all(chunks)
    db.table("neighbours").insert_all(neighbours)


def _exists(db: Database, turn_id: str) -> bool:
    return db.execute("SELECT 1 FROM turns WHERE id = ?", [turn_id]).fetchone() is not None


def _check_parent(db: Database, turn: Turn) -> None:
    if turn.parent is None:
        return
    sql = "SELECT conversation_id FROM turns WHERE id = ?"
    parent = db.execute(sql, [turn.parent]).fetchone()
    if parent is None:
        raise LogError(
            f"turn {turn.id} follows turn {turn.parent}, which is not in the log; save that first"
        )
    if parent[0] != turn.conversation:
        raise LogError(
            f"turn {turn.id} of conversation {turn.conversation} follows turn {turn.parent}, "
            f"which belongs to conversation {parent[0]}"
        )
