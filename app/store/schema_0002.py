"""SQL of the second step of the log: measured effects, comparisons, judgements and presets."""

# `effects` repeats a part of `data` as rows, so that it can be sorted, joined and averaged.
EFFECTS = """
CREATE TABLE attributions (
  turn_id TEXT PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE,
  gain REAL,                                -- nats, what all passages changed in the reply
  seconds REAL NOT NULL,                    -- spent measuring
  created TEXT NOT NULL,
  data TEXT NOT NULL                        -- JSON: engine.attribution.Attribution
) STRICT;

CREATE TABLE effects (                      -- one a passage and chunk of a measured reply
  turn_id TEXT NOT NULL REFERENCES attributions (turn_id) ON DELETE CASCADE,
  chunk INTEGER NOT NULL,                   -- as chunks.ord
  rank INTEGER NOT NULL,                    -- as neighbours.rank
  shapley REAL,                             -- nats
  left_out REAL,                            -- nats
  attention REAL,                           -- share of the cross-attention
  title TEXT NOT NULL,
  source TEXT NOT NULL,
  PRIMARY KEY (turn_id, chunk, rank)
) STRICT, WITHOUT ROWID;

-- with these, figures of documents are made without reading any passage
CREATE INDEX effects_source ON effects (source, title, shapley);
CREATE INDEX neighbours_source ON neighbours (source, title);
"""

OPINIONS = """
CREATE TABLE comparisons (
  id TEXT PRIMARY KEY,
  a_turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
  b_turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
  change TEXT NOT NULL,                     -- what b did differently, in words
  vote TEXT CHECK (vote IN ('a', 'b', 'tie')),
  created TEXT NOT NULL,
  voted TEXT
) STRICT;
CREATE UNIQUE INDEX comparisons_pair ON comparisons (a_turn_id, b_turn_id, change);
CREATE INDEX comparisons_b ON comparisons (b_turn_id);

-- A judgement is of a place in a turn, because the rows of chunks and neighbours are written anew
-- with every save; it keeps the passage, and is dropped when the place shows another one.
CREATE TABLE judgements (
  id INTEGER PRIMARY KEY,
  turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
  chunk INTEGER NOT NULL,                   -- as chunks.ord
  rank INTEGER NOT NULL,                    -- as neighbours.rank
  verdict TEXT NOT NULL CHECK (verdict IN ('useful', 'not', 'misleading')),
  annotator TEXT NOT NULL,
  title TEXT NOT NULL,
  source TEXT NOT NULL,
  passage TEXT NOT NULL,
  created TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX judgements_place ON judgements (turn_id, chunk, rank, annotator);
CREATE INDEX judgements_source ON judgements (source, title);

CREATE TABLE presets (
  name TEXT PRIMARY KEY,
  settings TEXT NOT NULL,                   -- JSON
  is_default INTEGER NOT NULL CHECK (is_default IN (0, 1)),
  created TEXT NOT NULL,
  updated TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX presets_default ON presets (is_default) WHERE is_default;  -- one at most
"""

VIEWS = """
DROP VIEW shown_passages;
CREATE VIEW shown_passages AS
SELECT
  c.turn_id, c.ord AS chunk, n.rank, n.title,
  round(n.distance, 3) AS distance, round(n.overlap, 3) AS overlap,
  round(e.shapley, 3) AS effect,            -- nats; empty where not measured
  substr(n.text, 1, 160) AS passage,
  substr(t.reply, c."start" + 1, min(c."end" - c."start", 160)) AS written, n.source
FROM neighbours n
JOIN chunks c ON c.id = n.chunk_id
JOIN turns t ON t.id = c.turn_id
LEFT JOIN effects e ON e.turn_id = c.turn_id AND e.chunk = c.ord AND e.rank = n.rank;

CREATE VIEW retrieved_documents AS
WITH
shown AS (SELECT source, title, count(*) AS times FROM neighbours GROUP BY source, title),
measured AS (
  SELECT source, title, count(*) AS times, avg(shapley) AS gain
  FROM effects GROUP BY source, title
)
SELECT
  s.title, s.source, s.times AS times_shown, coalesce(m.times, 0) AS times_measured,
  round(m.gain, 3) AS mean_gain             -- nats a chunk
FROM shown s
LEFT JOIN measured m ON m.source = s.source AND m.title = s.title;

CREATE VIEW compared_replies AS
SELECT
  x.id AS comparison_id, x.change, x.vote, substr(a.message, 1, 120) AS message,
  substr(a.reply, 1, 240) AS reply_a, substr(b.reply, 1, 240) AS reply_b,
  x.created, x.voted, x.a_turn_id, x.b_turn_id
FROM comparisons x
JOIN turns a ON a.id = x.a_turn_id
JOIN turns b ON b.id = x.b_turn_id;
"""
