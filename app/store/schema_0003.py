"""SQL of the third step of the log: labels, annotations, rulings on findings, reviews."""

# Nothing that a person said is overwritten: a changed annotation is withdrawn and superseded.
ANNOTATIONS = """
CREATE TABLE labels (                       -- app/failures/taxonomy.json, renewed at every start
  code TEXT PRIMARY KEY,
  parent TEXT REFERENCES labels (code),
  title TEXT NOT NULL,
  meaning TEXT NOT NULL
) STRICT;

CREATE TABLE annotations (
  id TEXT PRIMARY KEY,
  turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
  annotator TEXT NOT NULL,
  label TEXT NOT NULL REFERENCES labels (code),
  severity INTEGER NOT NULL CHECK (severity BETWEEN 1 AND 3),
  quote TEXT NOT NULL,                      -- the reply from start to end
  note TEXT NOT NULL,
  "start" INTEGER NOT NULL,                 -- code points of the reply, end exclusive
  "end" INTEGER NOT NULL,
  blind INTEGER NOT NULL CHECK (blind IN (0, 1)),  -- 1: no finding was seen before
  version TEXT NOT NULL,                    -- of the taxonomy
  created TEXT NOT NULL,
  supersedes TEXT REFERENCES annotations (id) ON DELETE SET NULL,
  withdrawn TEXT                            -- when it was taken back or replaced
) STRICT;
CREATE INDEX annotations_turn ON annotations (turn_id) WHERE withdrawn IS NULL;
CREATE INDEX annotations_label ON annotations (label, created) WHERE withdrawn IS NULL;
CREATE INDEX annotations_supersedes ON annotations (supersedes);

CREATE TABLE rulings (                      -- what people say of findings
  finding_id INTEGER NOT NULL REFERENCES findings (id) ON DELETE CASCADE,
  annotator TEXT NOT NULL,
  ruling TEXT NOT NULL CHECK (ruling IN ('accepted', 'rejected')),
  created TEXT NOT NULL,
  PRIMARY KEY (finding_id, annotator)
) STRICT, WITHOUT ROWID;

CREATE TABLE reviews (                      -- readings of whole replies
  turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
  annotator TEXT NOT NULL,
  drawn TEXT NOT NULL CHECK (drawn IN ('flagged', 'sample', 'chosen')),
  blind INTEGER NOT NULL CHECK (blind IN (0, 1)),
  state TEXT NOT NULL CHECK (state IN ('open', 'done', 'skipped')),
  started TEXT NOT NULL,
  ended TEXT,
  PRIMARY KEY (turn_id, annotator)
) STRICT, WITHOUT ROWID;
CREATE INDEX reviews_annotator ON reviews (annotator, state);

-- The random part of an id orders turns at random, the same way for every annotator.
CREATE INDEX turns_shuffled ON turns (substr(id, 11));

-- findings.status follows the rulings: open, accepted, rejected, or disputed where they differ.
CREATE TRIGGER rulings_insert AFTER INSERT ON rulings BEGIN
  UPDATE findings SET status = (SELECT ruled FROM ruled_findings WHERE finding_id = new.finding_id)
  WHERE id = new.finding_id;
END;
CREATE TRIGGER rulings_update AFTER UPDATE ON rulings BEGIN
  UPDATE findings SET status = (SELECT ruled FROM ruled_findings WHERE finding_id = new.finding_id)
  WHERE id = new.finding_id;
END;
CREATE TRIGGER rulings_delete AFTER DELETE ON rulings BEGIN
  UPDATE findings SET status =
    coalesce((SELECT ruled FROM ruled_findings WHERE finding_id = old.finding_id), 'open')
  WHERE id = old.finding_id;
END;
"""

VIEWS = """
CREATE VIEW ruled_findings AS
SELECT
  finding_id, CASE count(DISTINCT ruling) WHEN 1 THEN min(ruling) ELSE 'disputed' END AS ruled,
  count(*) AS rulings
FROM rulings GROUP BY finding_id;

CREATE VIEW marked_failures AS
SELECT
  a.id AS annotation_id, a.turn_id, l.title AS label, a.severity, a.annotator,
  substr(a.quote, 1, 120) AS quote, a.note, m.preset AS model, a.created,
  substr(t.message, 1, 120) AS prompt, substr(t.reply, 1, 240) AS reply, a.label AS code
FROM annotations a
JOIN labels l ON l.code = a.label
JOIN turns t ON t.id = a.turn_id
JOIN models m ON m.id = t.model_id
WHERE a.withdrawn IS NULL;
"""
