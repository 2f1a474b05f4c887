"""SQL of the first step of the log: turns, their search index, detector runs and findings."""

TURNS = """
CREATE TABLE models (
  id TEXT PRIMARY KEY,                      -- SHA-256 of the weights file
  preset TEXT NOT NULL,
  parameters INTEGER NOT NULL,
  tokenizer TEXT NOT NULL,                  -- SHA-256 of the tokenizer file
  context INTEGER NOT NULL,                 -- tokens
  note TEXT NOT NULL
) STRICT;

CREATE TABLE conversations (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  created TEXT NOT NULL,
  updated TEXT NOT NULL                     -- when its newest turn was created
) STRICT;
CREATE INDEX conversations_updated ON conversations (updated);

CREATE TABLE turns (
  id TEXT PRIMARY KEY,
  n INTEGER NOT NULL UNIQUE,                -- order of arrival: a parent's is below its child's
  conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
  parent_id TEXT REFERENCES turns (id),     -- retries and edits share a parent
  message TEXT NOT NULL,
  reply TEXT NOT NULL,
  finish TEXT NOT NULL,                     -- running until saved
  error TEXT NOT NULL,
  passage TEXT NOT NULL,                    -- the passage put into the prompt
  model_id TEXT NOT NULL REFERENCES models (id),
  database_fingerprint TEXT NOT NULL,       -- of the passages; empty without any
  retrieve INTEGER NOT NULL,
  k INTEGER NOT NULL,
  temperature REAL,
  top_k INTEGER NOT NULL,
  top_p REAL,
  max_tokens INTEGER NOT NULL,
  seed INTEGER NOT NULL,
  n_tokens INTEGER NOT NULL,                -- of the reply
  prompt_tokens INTEGER,
  first_token_ms REAL,
  total_ms REAL,
  mean_logprob REAL,                        -- nats per token
  created TEXT NOT NULL,
  app_version TEXT NOT NULL,
  done_reason TEXT,                         -- what the engine said at the end
  settings TEXT NOT NULL,                   -- JSON: everything the turn was asked for with
  model TEXT NOT NULL,                      -- JSON: the model as it described itself then
  timings TEXT                              -- JSON: seconds
) STRICT;
CREATE INDEX turns_conversation ON turns (conversation_id, n);
CREATE INDEX turns_parent ON turns (parent_id);
CREATE INDEX turns_created ON turns (created);
CREATE INDEX turns_running ON turns (finish) WHERE finish = 'running';

CREATE TABLE turn_tokens (                  -- JSON arrays with one entry a token
  turn_id TEXT PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE,
  ids TEXT NOT NULL,
  texts TEXT NOT NULL,
  logprobs TEXT NOT NULL,                   -- nats, before temperature and cuts
  top TEXT NOT NULL,                        -- [[text, logprob], ...], likeliest first
  chunks TEXT NOT NULL                      -- the chunk each token belongs to
) STRICT;

CREATE TABLE chunks (
  id TEXT PRIMARY KEY,                      -- turn id, dot, place
  turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
  ord INTEGER NOT NULL,
  query TEXT NOT NULL,
  "start" INTEGER NOT NULL,                 -- code points of the reply, end exclusive
  "end" INTEGER NOT NULL,
  first_token INTEGER NOT NULL,             -- tokens of the reply, last_token exclusive
  last_token INTEGER NOT NULL,
  seconds REAL,                             -- spent in retrieval
  error TEXT                                -- why there are no neighbours
) STRICT;
CREATE INDEX chunks_turn ON chunks (turn_id, ord);

CREATE TABLE neighbours (                   -- copies: the log stands alone if the database changes
  id INTEGER PRIMARY KEY,
  chunk_id TEXT NOT NULL REFERENCES chunks (id) ON DELETE CASCADE,
  rank INTEGER NOT NULL,                    -- 0 is the best
  title TEXT NOT NULL,
  distance REAL,                            -- squared L2; empty where not found by its key
  overlap REAL,
  text TEXT NOT NULL,
  continuation TEXT NOT NULL,
  source TEXT NOT NULL,
  database_document_id INTEGER NOT NULL,    -- ids in the passage database
  database_chunk_id INTEGER NOT NULL,
  position INTEGER NOT NULL,
  "start" INTEGER NOT NULL,                 -- code points of the document, end exclusive
  "end" INTEGER NOT NULL,
  tokens TEXT NOT NULL,                     -- JSON
  continuation_tokens TEXT NOT NULL         -- JSON
) STRICT;
CREATE UNIQUE INDEX neighbours_chunk ON neighbours (chunk_id, rank);
CREATE INDEX neighbours_document ON neighbours (database_document_id);
"""

# The search index keeps no copy of the text. It is tied to `n`, because VACUUM and a dump may give
# the rows of a table without an integer key other row ids.
SEARCH = """
CREATE VIRTUAL TABLE turns_fts USING fts5 (
  message, reply, content='turns', content_rowid='n', tokenize='porter unicode61'
);
CREATE TRIGGER turns_fts_insert AFTER INSERT ON turns BEGIN
  INSERT INTO turns_fts (rowid, message, reply) VALUES (new.n, new.message, new.reply);
END;
CREATE TRIGGER turns_fts_delete AFTER DELETE ON turns BEGIN
  INSERT INTO turns_fts (turns_fts, rowid, message, reply)
  VALUES ('delete', old.n, old.message, old.reply);
END;
CREATE TRIGGER turns_fts_update AFTER UPDATE OF n, message, reply ON turns BEGIN
  INSERT INTO turns_fts (turns_fts, rowid, message, reply)
  VALUES ('delete', old.n, old.message, old.reply);
  INSERT INTO turns_fts (rowid, message, reply) VALUES (new.n, new.message, new.reply);
END;
"""

FINDINGS = """
CREATE TABLE detector_runs (                -- one a detector, also where nothing was found
  id INTEGER PRIMARY KEY,
  turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
  detector TEXT NOT NULL,
  version TEXT NOT NULL,
  status TEXT NOT NULL,                     -- ok, found, skipped, error
  seconds REAL,
  message TEXT NOT NULL
) STRICT;
CREATE INDEX detector_runs_turn ON detector_runs (turn_id);
CREATE INDEX detector_runs_detector ON detector_runs (detector, status);

CREATE TABLE findings (
  id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES detector_runs (id) ON DELETE CASCADE,
  turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  severity TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'open',
  score REAL,
  threshold REAL,
  quote TEXT NOT NULL,                      -- the reply from start to end
  explanation TEXT NOT NULL,
  "start" INTEGER NOT NULL,                 -- code points of the reply, end exclusive
  "end" INTEGER NOT NULL,
  evidence TEXT NOT NULL,                   -- JSON
  created TEXT NOT NULL
) STRICT;
CREATE INDEX findings_turn ON findings (turn_id, "start");
CREATE INDEX findings_run ON findings (run_id);
CREATE INDEX findings_kind ON findings (kind, status);
"""

VIEWS = """
CREATE VIEW failure_cases AS
SELECT
  f.id AS finding_id, f.turn_id, f.kind, f.severity, f.status,
  round(f.score, 3) AS score, round(f.threshold, 3) AS threshold,
  substr(f.quote, 1, 120) AS quote, f.explanation,
  r.detector, r.version, m.preset AS model, f.created,
  substr(t.message, 1, 120) AS prompt, substr(t.reply, 1, 240) AS reply
FROM findings f
JOIN detector_runs r ON r.id = f.run_id
JOIN turns t ON t.id = f.turn_id
JOIN models m ON m.id = t.model_id;

CREATE VIEW shown_passages AS
SELECT
  c.turn_id, c.ord AS chunk, n.rank, n.title,
  round(n.distance, 3) AS distance, round(n.overlap, 3) AS overlap,
  substr(n.text, 1, 160) AS passage,
  substr(t.reply, c."start" + 1, min(c."end" - c."start", 160)) AS written, n.source
FROM neighbours n
JOIN chunks c ON c.id = n.chunk_id
JOIN turns t ON t.id = c.turn_id;
"""
