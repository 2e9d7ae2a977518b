-- Removal of versions, aliases and what they chose, and runs that moved to another version.

ALTER TABLE definitions ADD COLUMN removal_at INTEGER;  -- planned
ALTER TABLE definitions ADD COLUMN removed_at INTEGER;  -- nothing new starts on it since then
ALTER TABLE definitions ADD COLUMN removed TEXT;        -- what whoever wants to start on it is told
ALTER TABLE definitions ADD COLUMN removed_by TEXT;     -- JSON actor

-- Where an alias points now is its last row; earlier rows are its history. `other` takes `weight`
-- percent of what starts. `version` NULL: the alias was removed.
CREATE TABLE pointings (
  id       INTEGER PRIMARY KEY,
  workflow TEXT NOT NULL,
  alias    TEXT NOT NULL,
  version  TEXT,
  other    TEXT,
  weight   INTEGER NOT NULL DEFAULT 0,
  action   TEXT NOT NULL,               -- set, promote, roll_back, remove
  at       INTEGER NOT NULL,
  actor    TEXT,                        -- JSON; NULL is the engine
  note     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX pointings_alias ON pointings (workflow, alias, id);
CREATE TABLE aliases (
  workflow    TEXT NOT NULL,
  alias       TEXT NOT NULL,
  pointing_id INTEGER NOT NULL REFERENCES pointings (id),
  PRIMARY KEY (workflow, alias)
) WITHOUT ROWID;

-- Which side of an alias each run was started on.
CREATE TABLE run_choices (
  run_key     INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
  pointing_id INTEGER NOT NULL,
  version     TEXT NOT NULL
);
CREATE INDEX run_choices_side ON run_choices (pointing_id, version, run_key);

-- Runs that were moved to another version, with what is needed to go back.
CREATE TABLE run_migrations (
  id            INTEGER PRIMARY KEY,
  run_key       INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
  workflow      TEXT NOT NULL,
  from_version  TEXT NOT NULL,
  to_version    TEXT NOT NULL,
  path          TEXT NOT NULL,          -- JSON list of migration ids
  checksums     TEXT NOT NULL,          -- JSON list, one a migration
  digest_before TEXT NOT NULL,          -- of the state
  digest_after  TEXT NOT NULL,
  moved         TEXT NOT NULL,          -- plain words: what became of where the run stood
  snapshot      TEXT NOT NULL,          -- JSON, see runtime.moving.applying.Snapshot
  at            INTEGER NOT NULL,
  actor         TEXT,
  note          TEXT NOT NULL DEFAULT '',
  undone_at     INTEGER,
  undone_by     TEXT
);
CREATE INDEX run_migrations_run ON run_migrations (run_key, id);
CREATE INDEX run_migrations_workflow ON run_migrations (workflow, id);
