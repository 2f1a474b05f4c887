"""metadata.json: what `datasette data/log.db -m metadata.json` shows, checked without datasette."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.settings import ROOT

METADATA = json.loads((ROOT / "metadata.json").read_text(encoding="utf-8"))
LOG = METADATA["databases"]["log"]


@pytest.fixture
def db(blank_log: Path) -> Iterator[sqlite3.Connection]:
    """A new log, as the shell reads it."""
    with closing(sqlite3.connect(f"file:{blank_log}?mode=ro", uri=True)) as db:
        yield db


def columns(db: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in db.execute(f'PRAGMA table_xinfo("{table}")')}


def test_every_table_and_view_of_a_log_is_described_or_hidden(db: sqlite3.Connection):
    listed = db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
    there = {name for (name,) in listed if not name.startswith(("turns_fts", "sqlite_"))}
    assert set(LOG["tables"]) == there
    for name, table in LOG["tables"].items():
        assert table.get("hidden") or (table["title"] and table["description"]), name


def test_every_column_that_is_named_exists(db: sqlite3.Connection):
    for name, table in LOG["tables"].items():
        named = {*table.get("facets", ()), *table.get("units", ()), *table.get("columns", ())}
        named |= {table[key] for key in ("sort", "sort_desc", "label_column") if key in table}
        assert named <= columns(db, name), name
    turns = LOG["tables"]["turns"]
    assert columns(db, turns["fts_table"]) >= {"message", "reply"}
    assert turns["fts_pk"] in columns(db, "turns")


@pytest.mark.parametrize("name", LOG["queries"])
def test_every_query_runs_and_only_reads(db: sqlite3.Connection, name: str):
    query = LOG["queries"][name]
    assert query["title"] and query["sql"].startswith(("SELECT", "WITH"))
    asked = db.execute(query["sql"], {"title": "Harbour"})
    names = [column[0] for column in asked.description]
    assert len(set(names)) == len(names)


def test_the_queries_find_what_is_there(filled_log: tuple):
    path, filled = filled_log
    with closing(sqlite3.connect(path)) as db:

        def rows(name: str, **values: str) -> list[tuple]:
            return db.execute(LOG["queries"][name]["sql"], values).fetchall()

        assert rows("worst_replies")[0][0] == filled.flagged.id
        precision = {kind: row for kind, *row in rows("detector_precision")}
        assert precision["repetition.loop"] == [1, 0, 0, 0, 1.0]
        assert precision["personal.email"][:2] == [0, 1]
        assert {row[0] for row in rows("missed_by_detectors")} <= {"wrong.fact"}
        assert [row[1] for row in rows("shown_of_document", title="Title 1")]
        assert rows("passages_behind_failures")
        assert sum(row[1] for row in rows("failures_by_day")) == 3
        assert rows("open_reviews") == []
