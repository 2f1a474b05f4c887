"""Personal data in the log overwritten by a mask of the same length, a conversation at a time.

All functions work inside the caller's transaction, and change nothing where nothing is found.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.failures.masking import MASK, Masker, Value
from app.records import Turn
from app.store.ids import now
from app.store.masked import passage, pinned, tokens
from app.store.queries import Reader
from app.store.rows import title_of, to_json
from retrieval.sqlite import Database

_PERSONAL = "personal."

_TURNS = "SELECT id FROM turns WHERE conversation_id = :id"
_ROWS = {  # of a conversation; the columns after the key are texts to mask
    "chunks": f"SELECT rowid AS rowid, query, error FROM chunks WHERE turn_id IN ({_TURNS})",
    "detector_runs": f"""SELECT rowid AS rowid, message FROM detector_runs
        WHERE turn_id IN ({_TURNS})""",
    "comparisons": f"""SELECT rowid AS rowid, change FROM comparisons
        WHERE a_turn_id IN ({_TURNS}) OR b_turn_id IN ({_TURNS})""",
    "judgements": f"""SELECT rowid AS rowid, title, source, passage FROM judgements
        WHERE turn_id IN ({_TURNS})""",
    "effects": f"""SELECT turn_id, chunk, rank, title, source FROM effects
        WHERE turn_id IN ({_TURNS})""",
}
_KEYS = {"effects": ("turn_id", "chunk", "rank")}  # rowid elsewhere
_OWNER = {"comparisons": "a_turn_id"}  # the column with the turn, turn_id elsewhere
_CUT = ("query", "message", "change")  # columns with texts that may be cut out of others
_NEIGHBOURS = f"""
SELECT n.id, n.title, n.source, n.text, n.continuation, n.tokens, n.continuation_tokens, c.turn_id
FROM neighbours n JOIN chunks c ON c.id = n.chunk_id WHERE c.turn_id IN ({_TURNS})
"""
_MINE = f"""SELECT n.id FROM neighbours n JOIN chunks c ON c.id = n.chunk_id
  WHERE c.turn_id IN ({_TURNS})"""
_DERIVED = (
    f"""INSERT INTO shown_documents (source, title) SELECT source, title FROM neighbours
        WHERE id IN ({_MINE}) ON CONFLICT DO NOTHING""",
    f"""UPDATE showings SET document_id = (SELECT d.id FROM neighbours n
          JOIN shown_documents d ON d.source = n.source AND d.title = n.title
          WHERE n.id = neighbour_id)
        WHERE neighbour_id IN ({_MINE})""",
    """DELETE FROM shown_documents AS d WHERE NOT EXISTS (
        SELECT 1 FROM neighbours n WHERE n.source = d.source AND n.title = d.title)""",
)
_KEYS_OF = """DELETE FROM case_keys WHERE case_id IN (
  SELECT c.id FROM cases c JOIN turns t ON t.n = c.n WHERE t.id = ?)"""


@dataclass(frozen=True)
class Masked:
    """A value that was masked so often in a place of a turn. The value itself is nowhere."""

    turn: str
    place: str  # table.column
    kind: str
    hash: str
    times: int


def redact(db: Database, conversation_id: str, *, dry: bool = False) -> tuple[Masked, ...]:
    """Masks a conversation for good and records what kinds of values were where.

    With `dry` nothing is written, and what would be masked is told.
    """
    work = _Work(db, conversation_id, dry)
    if work.masker.values and work.rows:
        work.turns()
        work.neighbours()
        for table, sql in _ROWS.items():
            work.texts(table, sql)
        work.findings()
        work.annotations()
        work.title()
        work.derived()
        work.record()
    return work.masked


def redacted(log: Reader, turn: Turn) -> str | None:
    """When something that the model read or wrote in a turn was masked: in the turn or in an
    earlier one that its prompt held. None if nothing was."""
    with log.reading(f"reading what was masked in turn {turn.id}") as db:
        ids, parent = [turn.id], turn.parent
        for _ in range(turn.settings.history):
            row = db.execute("SELECT id, parent_id FROM turns WHERE id = ?", [parent]).fetchone()
            if row is None:
                break
            ids.append(row[0])
            parent = row[1]
        marks = ", ".join("?" * len(ids))
        sql = f"SELECT max(created) FROM redactions WHERE turn_id IN ({marks})"
        return db.execute(sql, ids).fetchone()[0]


class _Work:
    """The masking of one conversation."""

    def __init__(self, db: Database, conversation_id: str, dry: bool) -> None:
        self._db, self._key, self._dry = db, {"id": conversation_id}, dry
        self._counts: Counter[tuple[str, str, str, str]] = Counter()
        self._replies: dict[str, tuple[str, list[tuple[int, int]]]] = {}  # masked, and where
        self.rows = list(db.query("SELECT * FROM turns WHERE conversation_id = :id", self._key))
        self.masker = Masker(self._all_texts(), self._known())

    @property
    def masked(self) -> tuple[Masked, ...]:
        return tuple(Masked(*where, times) for where, times in self._counts.items())

    def turns(self) -> None:
        for row in self.rows:
            key, columns = row["id"], ("message", "passage", "error")
            changed = self._masked(key, "turns", {name: row[name] for name in columns})
            places = [(start, end) for start, end, _ in self.masker.found(row["reply"])]
            self._replies[key] = self.masker.mask(row["reply"]), places
            changed |= self._masked(key, "turns", {"reply": row["reply"]})
            settings = json.loads(row["settings"])
            if (new := pinned(self.masker, settings)) != settings:
                changed["settings"] = to_json(new)
                self._count(key, "turns.settings", row["settings"])
            self._update("turns", {"id": key}, changed)
            if places:
                self._tokens(key)

    def neighbours(self) -> None:
        for row in list(self._db.query(_NEIGHBOURS, self._key)):
            turn, key = row.pop("turn_id"), {"id": row.pop("id")}
            changed = passage(self.masker, row)
            if "text" in changed and not self._dry:  # a judgement is of this very text
                sql = "UPDATE judgements SET passage = ? WHERE turn_id = ? AND passage = ?"
                self._db.execute(sql, [changed["text"], turn, row["text"]])
            for name in changed:
                if isinstance(changed[name], list):
                    changed[name] = to_json(changed[name])
                else:
                    self._count(turn, f"neighbours.{name}", row[name])
            self._update("neighbours", key, changed)

    def texts(self, table: str, sql: str) -> None:
        keys = _KEYS.get(table, ("rowid",))
        owner = _OWNER.get(table, "turn_id")
        for row in list(self._db.query(sql, self._key)):
            key = {name: row.pop(name) for name in keys}
            changed: dict[str, Any] = {}
            for name, text in row.items():
                mask = self.masker.mask_cut if name in _CUT else self.masker.mask
                if text is not None and (new := mask(text)) != text:
                    changed[name] = new
            if changed:
                where = " AND ".join(f'"{name}" = :{name}' for name in key)
                find = f"SELECT {owner} FROM {table} WHERE {where}"
                turn = self._db.execute(find, key).fetchone()[0]
                for name in changed:
                    self._count(turn, f"{table}.{name}", row[name])
                self._update(table, key, changed)

    def findings(self) -> None:
        """The quote is the masked reply's. A finding may also list numbers and names of passages,
        so that in a turn with values, parts of them are masked in what it says."""
        turns = {turn for turn, *_ in self._counts}
        sql = f"SELECT * FROM findings WHERE turn_id IN ({_TURNS})"
        for row in list(self._db.query(sql, self._key)):
            reply, places = self._replies[row["turn_id"]]
            touched = any(a < row["end"] and row["start"] < b for a, b in places)
            parts = row["turn_id"] in turns and not row["kind"].startswith(_PERSONAL)
            mask = self.masker.mask_parts if parts else self.masker.mask_cut
            evidence = self.masker.mask_json(json.loads(row["evidence"]), parts=parts)
            new = {
                "quote": reply[row["start"] : row["end"]] if touched else row["quote"],
                "explanation": mask(row["explanation"]),
                "evidence": to_json(evidence),
            }
            old = {**row, "evidence": to_json(json.loads(row["evidence"]))}
            self._said("findings", row, {n: v for n, v in new.items() if v != old[n]})

    def annotations(self) -> None:
        sql = f"SELECT * FROM annotations WHERE turn_id IN ({_TURNS})"
        for row in list(self._db.query(sql, self._key)):
            reply, places = self._replies[row["turn_id"]]
            touched = any(a < row["end"] and row["start"] < b for a, b in places)
            quote = reply[row["start"] : row["end"]] if touched else row["quote"]
            new = {"quote": quote, "note": self.masker.mask(row["note"])}
            self._said("annotations", row, {n: v for n, v in new.items() if v != row[n]})

    def title(self) -> None:
        """One that is the beginning of the first message is made anew, as it may cut a value."""
        sql = "SELECT title FROM conversations WHERE id = :id"
        title = self._db.execute(sql, self._key).fetchone()[0]
        first = min(self.rows, key=lambda row: row["n"])
        if title == title_of(first["message"]):
            new = title_of(self.masker.mask(first["message"]))
        else:
            new = self.masker.mask_cut(title)
        if new != title:
            self._count(first["id"], "conversations.title", title)
            self._update("conversations", self._key, {"title": new})

    def derived(self) -> None:
        """What browsing keeps of the texts: names of documents, and keys of sentences."""
        if self._dry:
            return
        for sql in _DERIVED:
            self._db.execute(sql, self._key)
        for turn in {turn for turn, *_ in self._counts}:
            self._db.execute(_KEYS_OF, [turn])

    def record(self) -> None:
        """What was masked now is added to what was masked before."""
        if self._dry:
            return
        created = now()
        for one in self.masked:
            self._db.execute(
                "INSERT INTO redactions (turn_id, place, kind, hash, times, created) "
                "VALUES (:turn, :place, :kind, :hash, :times, :created) "
                "ON CONFLICT DO UPDATE SET times = times + excluded.times, "
                "created = excluded.created",
                {**vars(one), "created": created},
            )

    def _tokens(self, turn_id: str) -> None:
        sql = "SELECT ids, texts, top FROM turn_tokens WHERE turn_id = ?"
        if (row := next(self._db.query(sql, [turn_id]), None)) is not None:
            self._update("turn_tokens", {"turn_id": turn_id}, tokens(self.masker, row))

    def _masked(self, turn: str, table: str, texts: Mapping[str, str]) -> dict[str, Any]:
        """The texts that change, masked; counts what is in them."""
        new = {name: self.masker.mask(text) for name, text in texts.items()}
        changed = {name: text for name, text in new.items() if text != texts[name]}
        for name in changed:
            self._count(turn, f"{table}.{name}", texts[name])
        return changed

    def _said(self, table: str, row: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
        for name in changed:
            self._count(row["turn_id"], f"{table}.{name}", row[name])
        self._update(table, {"id": row["id"]}, changed)

    def _count(self, turn: str, place: str, text: str) -> None:
        """Counts the values in a text; a piece of one, where a text was cut, has no hash."""
        found = [(value.kind, value.hash) for _, _, value in self.masker.found(text)]
        for kind, hash in found or [("personal", "")]:
            self._counts[turn, place, kind, hash] += 1

    def _update(self, table: str, key: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
        if self._dry or not changed:
            return
        new = ", ".join(f'"{name}" = :new_{name}' for name in changed)
        where = " AND ".join(f'"{name}" = :{name}' for name in key)
        values = {**key, **{f"new_{name}": value for name, value in changed.items()}}
        self._db.execute(f"UPDATE {table} SET {new} WHERE {where}", values)

    def _known(self) -> Sequence[Value]:
        """Values that a detector found, also if the forms have changed since."""
        sql = f"""SELECT kind, quote FROM findings
            WHERE kind LIKE '{_PERSONAL}%' AND turn_id IN ({_TURNS})"""
        rows = self._db.execute(sql, self._key)
        return [Value(kind, quote) for kind, quote in rows if quote.strip(MASK + " ")]

    def _all_texts(self) -> Iterable[str]:
        for row in self.rows:
            yield from (row["message"], row["reply"], row["passage"], row["error"])
            for shown in json.loads(row["settings"]).get("pinned", ()):
                yield shown["text"] + shown["continuation"]
        for row in self._db.query(_NEIGHBOURS, self._key):
            yield from (row["text"] + row["continuation"], row["title"], row["source"])
        sql = f"SELECT note FROM annotations WHERE turn_id IN ({_TURNS})"
        yield from (note for (note,) in self._db.execute(sql, self._key))
        title = "SELECT title FROM conversations WHERE id = :id"
        yield from (title for (title,) in self._db.execute(title, self._key))
        for sql in _ROWS.values():
            for row in self._db.query(sql, self._key):
                yield from (text for text in row.values() if isinstance(text, str))
