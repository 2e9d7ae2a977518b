-- What an attempt waits for, where it is not a person: JSON {text, since, due?, deadline?}.
ALTER TABLE attempts ADD COLUMN wait TEXT;
-- The run that an attempt has started, as a node of type workflow does.
ALTER TABLE attempts ADD COLUMN child_key INTEGER;
CREATE INDEX attempts_child ON attempts (child_key) WHERE child_key IS NOT NULL;

-- Circuit breakers: one for each node of a workflow that has failed, across its runs.
CREATE TABLE breakers (
  workflow  TEXT NOT NULL,
  node_id   TEXT NOT NULL,
  failures  INTEGER NOT NULL,           -- in a row
  opened_at INTEGER,                    -- NULL: closed
  retry_at  INTEGER,                    -- when one attempt is let through
  probe_key INTEGER,                    -- the run whose attempt that is
  error     TEXT NOT NULL,              -- JSON ErrorInfo of the last failure
  PRIMARY KEY (workflow, node_id)
) WITHOUT ROWID;
