"""SQL of the fifth step of the log: what browsing, the dashboard and similar cases need.

Everything here repeats, in narrow rows kept by triggers, what other tables say: one pass over such
a table takes milliseconds where one over turns or neighbours would take seconds.
"""

TABLES = """
CREATE TABLE batches (                      -- a day and a model: replies are counted by it
  id INTEGER PRIMARY KEY,
  day TEXT NOT NULL,                        -- UTC, YYYY-MM-DD
  model_id TEXT NOT NULL REFERENCES models (id)
) STRICT;
CREATE UNIQUE INDEX batches_each ON batches (day, model_id);

CREATE TABLE ways (                         -- a model with settings that it was asked with
  id INTEGER PRIMARY KEY,
  model_id TEXT NOT NULL REFERENCES models (id),
  retrieve INTEGER NOT NULL,
  k INTEGER NOT NULL,
  temperature REAL NOT NULL                 -- -1 where it is not known
) STRICT;
CREATE UNIQUE INDEX ways_each ON ways (model_id, retrieve, k, temperature);

CREATE TABLE replies (                      -- one a turn
  n INTEGER PRIMARY KEY,                    -- as turns.n
  batch_id INTEGER NOT NULL,                -- as batches.id
  way_id INTEGER NOT NULL,                  -- as ways.id
  complete INTEGER NOT NULL,                -- 0 while it is being written
  findings INTEGER NOT NULL,
  gain REAL                                 -- as attributions.gain
) STRICT;
CREATE INDEX replies_day ON replies (batch_id, complete);
CREATE INDEX replies_gain ON replies (gain, findings, batch_id, complete) WHERE gain IS NOT NULL;

CREATE TABLE cases (                        -- findings, and annotations that stand
  id TEXT PRIMARY KEY,                      -- f or a, then the id of the finding or annotation
  n INTEGER NOT NULL,                       -- as turns.n
  place INTEGER NOT NULL,                   -- start in the reply, code points
  batch_id INTEGER NOT NULL,                -- as batches.id
  way_id INTEGER NOT NULL,                  -- as ways.id
  source TEXT NOT NULL,                     -- machine or person
  kind TEXT NOT NULL,                       -- kind of the finding or label of the annotation
  severity INTEGER NOT NULL,                -- 1 to 3; info, warn and alert of a finding
  status TEXT NOT NULL,                     -- of the finding; marked for an annotation
  annotator TEXT NOT NULL                   -- empty for a finding
) STRICT, WITHOUT ROWID;
CREATE INDEX cases_written ON cases (n, place, id);
CREATE INDEX cases_day ON cases (batch_id, source, severity);
CREATE INDEX cases_kind ON cases (kind, source, status, way_id, batch_id);

CREATE TABLE shown_documents (              -- numbers for what neighbours.source and title name
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  title TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX shown_documents_each ON shown_documents (source, title);

CREATE TABLE showings (                     -- one a neighbour of a reply that is complete
  neighbour_id INTEGER PRIMARY KEY REFERENCES neighbours (id) ON DELETE CASCADE,
  document_id INTEGER NOT NULL,             -- as shown_documents.id
  batch_id INTEGER NOT NULL,                -- as batches.id
  n INTEGER NOT NULL,                       -- as turns.n
  behind INTEGER NOT NULL                   -- 1: a finding lies in the chunk it was shown for
) STRICT;
CREATE INDEX showings_document ON showings (document_id, batch_id, behind, n);

CREATE TABLE run_counts (                   -- of detector_runs
  batch_id INTEGER NOT NULL,                -- as batches.id
  detector TEXT NOT NULL,
  status TEXT NOT NULL,
  runs INTEGER NOT NULL,
  PRIMARY KEY (batch_id, detector, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE case_keys (                    -- where a case's sentence lies for an encoder
  case_id TEXT NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  embedder TEXT NOT NULL,                   -- fingerprint
  key BLOB NOT NULL,                        -- float16, little-endian
  PRIMARY KEY (case_id, embedder)
) STRICT;
"""

# What the row of a turn becomes a part of.
_KNOWN = """
  INSERT INTO batches (day, model_id) VALUES (substr(new.created, 1, 10), new.model_id)
  ON CONFLICT DO NOTHING;
  INSERT INTO ways (model_id, retrieve, k, temperature)
  VALUES (new.model_id, new.retrieve, new.k, coalesce(new.temperature, -1)) ON CONFLICT DO NOTHING;
"""
_BATCH = "b.day = substr({t}.created, 1, 10) AND b.model_id = {t}.model_id"
_WAY = """
(w.model_id, w.retrieve, w.k, w.temperature)
= ({t}.model_id, {t}.retrieve, {t}.k, coalesce({t}.temperature, -1))
"""
_FINDING = """
SELECT 'f' || f.id, t.n, f."start", r.batch_id, r.way_id, 'machine', f.kind,
  CASE f.severity WHEN 'info' THEN 1 WHEN 'warn' THEN 2 ELSE 3 END, f.status, ''
FROM findings f JOIN turns t ON t.id = f.turn_id JOIN replies r ON r.n = t.n
"""
_ANNOTATION = """
SELECT 'a' || a.id, t.n, a."start", r.batch_id, r.way_id, 'person', a.label, a.severity, 'marked',
  a.annotator
FROM annotations a JOIN turns t ON t.id = a.turn_id JOIN replies r ON r.n = t.n
WHERE a.withdrawn IS NULL
"""
_SHOWING = """
SELECT nb.id, d.id, r.batch_id, r.n, 0
FROM neighbours nb JOIN chunks c ON c.id = nb.chunk_id JOIN turns t ON t.id = c.turn_id
JOIN replies r ON r.n = t.n AND r.complete
JOIN shown_documents d ON d.source = nb.source AND d.title = nb.title
"""
# Neighbours of the chunks that a finding lies in.
_BEHIND = """
SELECT nb.id FROM chunks c JOIN neighbours nb ON nb.chunk_id = c.id
WHERE c.turn_id = {f}.turn_id AND c."start" < {f}."end" AND c."end" > {f}."start"
"""

FILLING = f"""
INSERT INTO batches (day, model_id) SELECT DISTINCT substr(created, 1, 10), model_id FROM turns;
INSERT INTO ways (model_id, retrieve, k, temperature)
SELECT DISTINCT model_id, retrieve, k, coalesce(temperature, -1) FROM turns;
INSERT INTO replies (n, batch_id, way_id, complete, findings, gain)
SELECT t.n, b.id, w.id, t.finish <> 'running',
  (SELECT count(*) FROM findings f WHERE f.turn_id = t.id), a.gain
FROM turns t JOIN batches b ON {_BATCH.format(t="t")} JOIN ways w ON {_WAY.format(t="t")}
LEFT JOIN attributions a ON a.turn_id = t.id;
INSERT INTO cases {_FINDING};
INSERT INTO cases {_ANNOTATION};
INSERT INTO shown_documents (source, title) SELECT source, title FROM neighbours GROUP BY 1, 2;
INSERT INTO showings {_SHOWING};
UPDATE showings SET behind = 1 WHERE neighbour_id IN (
  SELECT nb.id FROM findings f
  JOIN chunks c ON c.turn_id = f.turn_id AND c."start" < f."end" AND c."end" > f."start"
  JOIN neighbours nb ON nb.chunk_id = c.id);
INSERT INTO run_counts
SELECT r.batch_id, d.detector, d.status, count(*)
FROM detector_runs d JOIN turns t ON t.id = d.turn_id JOIN replies r ON r.n = t.n
GROUP BY 1, 2, 3;
"""

TRIGGERS = f"""
CREATE TRIGGER replies_insert AFTER INSERT ON turns BEGIN
  {_KNOWN}
  INSERT INTO replies (n, batch_id, way_id, complete, findings)
  SELECT new.n, b.id, w.id, new.finish <> 'running', 0 FROM batches b, ways w
  WHERE {_BATCH.format(t="new")} AND {_WAY.format(t="new")};
END;
CREATE TRIGGER replies_complete AFTER UPDATE OF finish ON turns
WHEN (old.finish = 'running') <> (new.finish = 'running') BEGIN
  UPDATE replies SET complete = new.finish <> 'running' WHERE n = new.n;
END;
-- A turn that is saved gets its neighbours after this; one that a crash cut off has them.
CREATE TRIGGER replies_crash AFTER UPDATE OF finish ON turns
WHEN old.finish = 'running' AND new.finish = 'crashed' BEGIN
  UPDATE replies SET complete = 1 WHERE n = new.n;
  INSERT INTO showings {_SHOWING} WHERE t.id = new.id ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER replies_restart AFTER UPDATE OF finish ON turns
WHEN old.finish <> 'running' AND new.finish = 'running' BEGIN
  DELETE FROM showings WHERE neighbour_id IN (
    SELECT nb.id FROM chunks c JOIN neighbours nb ON nb.chunk_id = c.id WHERE c.turn_id = new.id);
END;
CREATE TRIGGER replies_move AFTER UPDATE OF created, model_id, retrieve, k, temperature ON turns
WHEN (substr(old.created, 1, 10), old.model_id, old.retrieve, old.k, old.temperature)
IS NOT (substr(new.created, 1, 10), new.model_id, new.retrieve, new.k, new.temperature) BEGIN
  {_KNOWN}
  UPDATE run_counts SET runs = runs - 1
  WHERE batch_id = (SELECT batch_id FROM replies WHERE n = new.n)
  AND (detector, status) IN (SELECT detector, status FROM detector_runs WHERE turn_id = new.id);
  UPDATE replies SET
    batch_id = (SELECT b.id FROM batches b WHERE {_BATCH.format(t="new")}),
    way_id = (SELECT w.id FROM ways w WHERE {_WAY.format(t="new")})
  WHERE n = new.n;
  INSERT INTO run_counts
  SELECT r.batch_id, d.detector, d.status, 1 FROM detector_runs d, replies r
  WHERE d.turn_id = new.id AND r.n = new.n
  ON CONFLICT DO UPDATE SET runs = runs + 1;
  UPDATE cases SET (batch_id, way_id) = (SELECT batch_id, way_id FROM replies WHERE n = new.n)
  WHERE n = new.n;
  UPDATE showings SET batch_id = (SELECT batch_id FROM replies WHERE n = new.n)
  WHERE neighbour_id IN (
    SELECT nb.id FROM chunks c JOIN neighbours nb ON nb.chunk_id = c.id WHERE c.turn_id = new.id);
END;
-- While its row is there, what is counted by it can be counted back.
CREATE TRIGGER replies_delete BEFORE DELETE ON turns BEGIN
  DELETE FROM detector_runs WHERE turn_id = old.id;
  DELETE FROM replies WHERE n = old.n;
END;

CREATE TRIGGER cases_found AFTER INSERT ON findings BEGIN
  INSERT INTO cases {_FINDING} WHERE f.id = new.id;
  UPDATE replies SET findings = findings + 1
  WHERE n = (SELECT n FROM turns WHERE id = new.turn_id);
  UPDATE showings SET behind = 1 WHERE behind = 0 AND neighbour_id IN (
    {_BEHIND.format(f="new")});
END;
CREATE TRIGGER cases_ruled AFTER UPDATE OF kind, severity, status ON findings BEGIN
  UPDATE cases SET kind = new.kind, status = new.status,
    severity = CASE new.severity WHEN 'info' THEN 1 WHEN 'warn' THEN 2 ELSE 3 END
  WHERE id = 'f' || new.id;
END;
CREATE TRIGGER cases_lost AFTER DELETE ON findings BEGIN
  DELETE FROM cases WHERE id = 'f' || old.id;
  UPDATE replies SET findings = findings - 1
  WHERE n = (SELECT n FROM turns WHERE id = old.turn_id);
  UPDATE showings SET behind = EXISTS (
    SELECT 1 FROM neighbours nb JOIN chunks c ON c.id = nb.chunk_id
    JOIN findings f ON f.turn_id = c.turn_id AND c."start" < f."end" AND c."end" > f."start"
    WHERE nb.id = showings.neighbour_id)
  WHERE behind AND neighbour_id IN ({_BEHIND.format(f="old")});
END;
CREATE TRIGGER cases_marked AFTER INSERT ON annotations BEGIN
  INSERT INTO cases {_ANNOTATION} AND a.id = new.id;
END;
CREATE TRIGGER cases_changed AFTER UPDATE ON annotations BEGIN
  DELETE FROM cases WHERE id = 'a' || old.id;
  INSERT INTO cases {_ANNOTATION} AND a.id = new.id;
END;
CREATE TRIGGER cases_unmarked AFTER DELETE ON annotations BEGIN
  DELETE FROM cases WHERE id = 'a' || old.id;
END;

CREATE TRIGGER showings_insert AFTER INSERT ON neighbours
WHEN (
  SELECT finish FROM turns WHERE id = (SELECT turn_id FROM chunks WHERE id = new.chunk_id)
) <> 'running' BEGIN
  INSERT INTO shown_documents (source, title) VALUES (new.source, new.title) ON CONFLICT DO NOTHING;
  INSERT INTO showings {_SHOWING} WHERE nb.id = new.id;
END;

CREATE TRIGGER run_counts_insert AFTER INSERT ON detector_runs BEGIN
  INSERT INTO run_counts
  SELECT r.batch_id, new.detector, new.status, 1 FROM turns t JOIN replies r ON r.n = t.n
  WHERE t.id = new.turn_id
  ON CONFLICT DO UPDATE SET runs = runs + 1;
END;
CREATE TRIGGER run_counts_delete AFTER DELETE ON detector_runs BEGIN
  UPDATE run_counts SET runs = runs - 1
  WHERE batch_id = (SELECT r.batch_id FROM turns t JOIN replies r ON r.n = t.n
    WHERE t.id = old.turn_id)
  AND detector = old.detector AND status = old.status;
END;

CREATE TRIGGER gains_insert AFTER INSERT ON attributions BEGIN
  UPDATE replies SET gain = new.gain WHERE n = (SELECT n FROM turns WHERE id = new.turn_id);
END;
CREATE TRIGGER gains_update AFTER UPDATE OF gain ON attributions BEGIN
  UPDATE replies SET gain = new.gain WHERE n = (SELECT n FROM turns WHERE id = new.turn_id);
END;
CREATE TRIGGER gains_delete AFTER DELETE ON attributions BEGIN
  UPDATE replies SET gain = NULL WHERE n = (SELECT n FROM turns WHERE id = old.turn_id);
END;
"""

CASES = TABLES + FILLING + TRIGGERS
