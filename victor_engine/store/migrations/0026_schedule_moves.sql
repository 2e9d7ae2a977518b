-- The schedules that a migration of runs moved to another version, so that they can be moved back with the runs.
CREATE TABLE schedule_moves (
  id          INTEGER PRIMARY KEY,
  batch       TEXT NOT NULL,      -- the id that the moves of one command have in common
  schedule_id TEXT NOT NULL,
  workflow    TEXT NOT NULL,
  before      TEXT NOT NULL,      -- JSON: the spec before
  after       TEXT NOT NULL,      -- JSON: the spec after
  undone_at   INTEGER
);
CREATE INDEX schedule_moves_batch ON schedule_moves (batch);
