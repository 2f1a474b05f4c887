"""The taxonomy as rows of the log, so that the log can be read without this program."""

from app.failures.taxonomy import taxonomy
from retrieval.sqlite import Database

_PUT = """
INSERT INTO labels (code, parent, title, meaning) VALUES (:code, :parent, :title, :meaning)
ON CONFLICT (code) DO UPDATE SET
parent = excluded.parent, title = excluded.title, meaning = excluded.meaning
WHERE (parent, title, meaning) IS NOT (excluded.parent, excluded.title, excluded.meaning)
"""


def renew(db: Database) -> None:
    """Adds new labels and rewords changed ones; one that is gone from the list stays."""
    names = ("code", "parent", "title", "meaning")
    with db.atomic():
        for label in taxonomy().labels.values():
            db.execute(_PUT, {name: getattr(label, name) for name in names})
