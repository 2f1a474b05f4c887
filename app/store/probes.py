"""Runs of the probe in the log."""

import json
from collections.abc import Mapping
from typing import Any

from app.probe.records import Measured, Run
from app.store import rows
from app.store.connection import LogError
from app.store.ids import new_id, now
from app.store.log import Log
from engine.protocol import Info
from retrieval.sqlite import Database

_RUNS = """
SELECT r.*, m.preset FROM probe_runs r JOIN models m ON m.id = r.model_id
"""
_LIKE_IT = f"""
{_RUNS} WHERE r.finished IS NULL AND (r.model_id, r.database_fingerprint, r.seed, r.config)
= (:model, :database, :seed, :config) ORDER BY r.id DESC LIMIT 1
"""
_PARTS = "SELECT * FROM probes WHERE run_id = ? ORDER BY created, family, mode"


class Probes:
    """The runs in a log. For any thread; a write is durable when it returns."""

    def __init__(self, log: Log):
        self._log = log

    def runs(self) -> list[Run]:
        """Newest first."""
        with self._log.reading("listing the runs of the probe") as db:
            return [_run_of(row) for row in db.query(f"{_RUNS} ORDER BY r.id DESC")]

    def run(self, id: str) -> Run:
        """Raises LogError for an unknown one."""
        with self._log.reading(f"reading the probe run {rows.legible(id)}") as db:
            return _find(db, id)

    def parts(self, run: str) -> list[Measured]:
        """What a run has finished, in its order."""
        with self._log.reading(f"reading the probe run {rows.legible(run)}") as db:
            return [_measured_of(row) for row in db.query(_PARTS, [run])]

    def begin(self, model: Info, database: str, seed: int, config: Mapping[str, Any]) -> Run:
        """A new run, or one of the same model, passages, seed and config that was cut off."""
        wanted = {
            "model": model.fingerprint,
            "database": database,
            "seed": seed,
            "config": rows.to_json(dict(sorted(config.items()))),
        }
        with self._log.writing("beginning a run of the probe") as db:
            if found := next(db.query(_LIKE_IT, wanted), None):
                return _run_of(found)
            db.table("models").upsert(rows.model_row(model), pk="id")
            row = {
                "id": new_id(),
                "created": now(),
                "finished": None,
                "model_id": model.fingerprint,
                "database_fingerprint": database,
                "seed": seed,
                "config": wanted["config"],
            }
            db.table("probe_runs").insert(rows.storable(row))
            return _find(db, row["id"])

    def add(self, part: Measured) -> None:
        """Keeps one family in one mode, in the place of an earlier one of the run."""
        row = {
            "run_id": part.run,
            "family": part.family,
            "mode": part.mode,
            "version": part.version,
            "created": part.created,
            "seconds": part.seconds,
            "result": rows.to_json(part.result),
            "scores": rows.to_json(part.scores),
        }
        with self._log.writing("saving a part of a probe") as db:
            _find(db, part.run)
            db.table("probes").upsert(rows.storable(row), pk=("run_id", "family", "mode"))

    def finish(self, run: str) -> None:
        with self._log.writing("finishing a run of the probe") as db:
            db.execute("UPDATE probe_runs SET finished = ? WHERE id = ?", [now(), run])


def _find(db: Database, id: str) -> Run:
    row = next(db.query(f"{_RUNS} WHERE r.id = ?", [rows.valid(id)]), None)
    if row is None:
        raise LogError(f"there is no run {rows.legible(id)} of the probe in the log")
    return _run_of(row)


def _run_of(row: dict[str, Any]) -> Run:
    return Run(
        id=row["id"],
        created=row["created"],
        finished=row["finished"],
        preset=row["preset"],
        fingerprint=row["model_id"],
        database=row["database_fingerprint"],
        seed=row["seed"],
        config=json.loads(row["config"]),
    )


def _measured_of(row: dict[str, Any]) -> Measured:
    return Measured(
        run=row["run_id"],
        family=row["family"],
        mode=row["mode"],
        version=row["version"],
        created=row["created"],
        seconds=row["seconds"],
        scores=json.loads(row["scores"]),
        result=json.loads(row["result"]),
    )
