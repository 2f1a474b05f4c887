"""SQL of the fourth step of the log: probes."""

# A result belongs to a model and a database, so nothing here refers to a turn.
PROBES = """
CREATE TABLE probe_runs (
  id TEXT PRIMARY KEY,
  created TEXT NOT NULL,
  finished TEXT,                            -- NULL while under way, and after it was cut off
  model_id TEXT NOT NULL REFERENCES models (id),
  database_fingerprint TEXT NOT NULL,       -- of the passages, '' without any
  seed INTEGER NOT NULL,
  config TEXT NOT NULL CHECK (json_valid(config))
) STRICT;
CREATE INDEX probe_runs_model ON probe_runs (model_id, created);

CREATE TABLE probes (                       -- one family in one mode, of a run
  run_id TEXT NOT NULL REFERENCES probe_runs (id) ON DELETE CASCADE,
  family TEXT NOT NULL,
  mode TEXT NOT NULL CHECK (mode IN ('frozen', 'live', 'off')),
  version TEXT NOT NULL,                    -- of the templates and terms, or the file
  created TEXT NOT NULL,
  seconds REAL NOT NULL,
  result TEXT NOT NULL CHECK (json_valid(result)),
  scores TEXT NOT NULL CHECK (json_valid(scores)),
  PRIMARY KEY (run_id, family, mode)
) STRICT, WITHOUT ROWID;

CREATE VIEW probed_effects AS               -- p is that of each test alone, see app/probe
SELECT
  m.preset AS model, p.family, p.mode, e.value ->> 'list' AS list, e.value ->> 'term' AS term,
  e.value ->> 'against' AS against, round(e.value ->> 'effect', 3) AS effect,
  round(e.value ->> 'low', 3) AS low, round(e.value ->> 'high', 3) AS high,
  e.value ->> 'p' AS p, e.value ->> 'n' AS templates, p.version,
  r.database_fingerprint, r.created, r.id AS run_id
FROM probes p
JOIN probe_runs r ON r.id = p.run_id
JOIN models m ON m.id = r.model_id
JOIN json_each(p.result, '$.effects') e;
"""
