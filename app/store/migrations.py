"""The schema of the log, as numbered steps that are applied once and in order.

A step that has been released is never edited: a change is a new step. sqlite-utils records the
applied ones in the table _sqlite_migrations, each in the transaction of the step itself.
"""

from pathlib import Path

from app.store import (
    schema_0001,
    schema_0002,
    schema_0003,
    schema_0004,
    schema_0005,
    schema_0006,
)
from app.store.connection import LogError
from retrieval.sqlite import Database, Migrations

STEPS = Migrations("log")


def upgrade(db: Database, path: Path) -> None:
    """Applies the steps that the log lacks.

    Raises LogError, and changes nothing, where the log has steps that this program does not know.
    """
    lacking(db, path)
    STEPS.apply(db)


def lacking(db: Database, path: Path) -> list[str]:
    """Names of the steps that the log lacks; LogError where it has others than this program."""
    known = [step.name for step in STEPS.pending(Database(memory=True))]
    applied = [step.name for step in STEPS.applied(db)]
    if applied != known[: len(applied)]:
        newer = ", ".join(name for name in applied if name not in known) or "steps in another order"
        raise LogError(
            f"{path} was written by a newer version of this program: it has {newer}, but this "
            f"version knows only up to {known[-1]}; update the program, or use another data folder"
        )
    return known[len(applied) :]


@STEPS(name="0001_turns_and_findings")
def _turns_and_findings(db: Database) -> None:
    db.executescript(schema_0001.TURNS)
    db.executescript(schema_0001.SEARCH)
    db.executescript(schema_0001.FINDINGS)
    db.executescript(schema_0001.VIEWS)


@STEPS(name="0002_effects_and_opinions")
def _effects_and_opinions(db: Database) -> None:
    db.executescript(schema_0002.EFFECTS)
    db.executescript(schema_0002.OPINIONS)
    db.executescript(schema_0002.VIEWS)


@STEPS(name="0003_annotations")
def _annotations(db: Database) -> None:
    db.executescript(schema_0003.ANNOTATIONS)
    db.executescript(schema_0003.VIEWS)


@STEPS(name="0004_probes")
def _probes(db: Database) -> None:
    db.executescript(schema_0004.PROBES)


@STEPS(name="0005_cases")
def _cases(db: Database) -> None:
    db.executescript(schema_0005.CASES)


@STEPS(name="0006_upkeep")
def _upkeep(db: Database) -> None:
    db.executescript(schema_0006.UPKEEP)
