-- Dead letters: runs that failed for good and that nobody has dealt with yet, grouped by cause. The
-- groups are counted as letters come and go, so that their list costs what there are causes,
-- however many runs there are. What failed before this step is history, not work that waits: nobody
-- can tell any more which of those failures somebody has looked at, so none of them is listed.

CREATE TABLE dead_causes (
  id          INTEGER PRIMARY KEY,
  fingerprint TEXT NOT NULL UNIQUE,     -- of what follows, see store.deadletters
  workflow    TEXT NOT NULL,
  node_id     TEXT,
  error_type  TEXT NOT NULL,
  pattern     TEXT NOT NULL,            -- the message without what differs from run to run
  runs        INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE dead_letters (
  run_key   INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
  cause_id  INTEGER NOT NULL REFERENCES dead_causes (id),
  failed_at INTEGER NOT NULL
);
CREATE INDEX dead_letters_cause ON dead_letters (cause_id, failed_at, run_key);

CREATE TRIGGER dead_letters_insert AFTER INSERT ON dead_letters BEGIN
  UPDATE dead_causes SET runs = runs + 1 WHERE id = NEW.cause_id;
END;
CREATE TRIGGER dead_letters_delete AFTER DELETE ON dead_letters BEGIN
  UPDATE dead_causes SET runs = runs - 1 WHERE id = OLD.cause_id;
  DELETE FROM dead_causes WHERE id = OLD.cause_id AND runs = 0;
END;

-- What an operator has set for single nodes of one run: JSON {node: NodeOverride}.
ALTER TABLE runs ADD COLUMN overrides TEXT;
