"""SQL of the sixth step of the log: what was masked in it, and where annotations came from."""

UPKEEP = """
CREATE TABLE redactions (                   -- personal data that was masked, by its hash alone
  turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
  place TEXT NOT NULL,                      -- table.column
  kind TEXT NOT NULL,                       -- as findings.kind
  hash TEXT NOT NULL,                       -- 12 digits of the SHA-256 of the value
  times INTEGER NOT NULL,
  created TEXT NOT NULL,
  PRIMARY KEY (turn_id, place, kind, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE imports (                      -- annotations that were made elsewhere
  annotation_id TEXT PRIMARY KEY REFERENCES annotations (id) ON DELETE CASCADE,
  source TEXT NOT NULL,                     -- name of the file
  format TEXT NOT NULL CHECK (format IN ('jsonl', 'labelstudio')),
  created TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""
