"""What is in the log, counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.store.queries import Reader
from app.store.upkeep import size_of

_COUNTS = {  # a number each
    "conversations": "SELECT count(*) FROM conversations",
    "turns": "SELECT count(*) FROM turns",
    "tokens": "SELECT coalesce(sum(n_tokens), 0) FROM turns",
    "passages_shown": "SELECT count(*) FROM neighbours",
    "flagged_turns": "SELECT count(DISTINCT turn_id) FROM findings",
    "findings": "SELECT count(*) FROM findings",
    "annotations": "SELECT count(*) FROM annotations WHERE withdrawn IS NULL",
    "withdrawn_annotations": "SELECT count(*) FROM annotations WHERE withdrawn IS NOT NULL",
    "imported_annotations": "SELECT count(*) FROM imports",
    "rulings": "SELECT count(*) FROM rulings",
    "judgements": "SELECT count(*) FROM judgements",
    "comparisons": "SELECT count(*) FROM comparisons",
    "votes": "SELECT count(*) FROM comparisons WHERE vote IS NOT NULL",
    "measured_replies": "SELECT count(*) FROM attributions",
    "redacted_turns": "SELECT count(DISTINCT turn_id) FROM redactions",
}
_TABLES = {  # counts by the columns before the last one
    "models": """SELECT m.preset, substr(m.id, 1, 12) AS weights, count(*) AS turns
        FROM turns t JOIN models m ON m.id = t.model_id GROUP BY m.id ORDER BY 3 DESC, 2""",
    "endings": "SELECT finish, count(*) AS turns FROM turns GROUP BY finish ORDER BY 2 DESC, 1",
    "detector_runs": """SELECT detector, status, count(*) AS runs FROM detector_runs
        GROUP BY detector, status ORDER BY detector, status""",
    "findings_by_kind": """SELECT kind, status, count(*) AS findings FROM findings
        GROUP BY kind, status ORDER BY kind, status""",
    "annotations_by_label": """SELECT label, annotator, count(*) AS annotations FROM annotations
        WHERE withdrawn IS NULL GROUP BY label, annotator ORDER BY label, annotator""",
    "reviews": """SELECT annotator, drawn, state, count(*) AS reviews FROM reviews
        GROUP BY annotator, drawn, state ORDER BY annotator, drawn, state""",
    "verdicts": """SELECT verdict, count(*) AS judgements FROM judgements
        GROUP BY verdict ORDER BY verdict""",
    "redactions": """SELECT kind, count(DISTINCT hash) AS "values" FROM redactions
        WHERE hash <> '' GROUP BY kind ORDER BY kind""",
}


@dataclass(frozen=True)
class Tally:
    """Numbers by name, tables of numbers, the times of the first and the last turn, and bytes."""

    counts: Mapping[str, int]
    tables: Mapping[str, tuple[Mapping[str, Any], ...]]
    first: str | None
    last: str | None
    size: int


def tally(log: Reader) -> Tally:
    """Raises LogError."""
    with log.reading("counting what is in the log") as db:
        first, last = db.execute("SELECT min(created), max(created) FROM turns").fetchone()
        return Tally(
            {name: db.execute(sql).fetchone()[0] for name, sql in _COUNTS.items()},
            {name: tuple(db.query(sql)) for name, sql in _TABLES.items()},
            first,
            last,
            size_of(log.path),
        )
