-- What a node costs does not depend on what its run has done before it, nor on the size of its state.

-- The step's place in its run, from 1, where the step is one of the walk and done; and what it changed
-- of the run's position, see store.progress.
ALTER TABLE attempts ADD COLUMN ordinal INTEGER;
ALTER TABLE attempts ADD COLUMN onward TEXT;
UPDATE runs SET position = json_set(position, '$.at', nodes_done) WHERE nodes_done > 0;

-- The state that a run began with, and its state after some attempts. Apart from `runs`, whose rows are
-- written again with each change of a status.
CREATE TABLE run_states (
  run_key       INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
  after_attempt INTEGER NOT NULL,       -- 0: before the first
  state         TEXT NOT NULL,          -- JSON
  PRIMARY KEY (run_key, after_attempt)
) WITHOUT ROWID;
INSERT INTO run_states SELECT key, 0, input FROM runs;
INSERT INTO run_states SELECT key, snapshot_at, snapshot FROM runs WHERE snapshot IS NOT NULL;
ALTER TABLE runs DROP COLUMN input;
ALTER TABLE runs DROP COLUMN snapshot;
ALTER TABLE runs DROP COLUMN snapshot_at;
