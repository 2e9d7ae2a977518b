-- Dependencies between workflows, promises, and backfills.

ALTER TABLE runs ADD COLUMN backfill_id INTEGER;
CREATE INDEX runs_backfill ON runs (backfill_id, key) WHERE backfill_id IS NOT NULL;

-- Which schedules come after which workflows; kept with the spec.
CREATE TABLE dependencies (
  upstream    TEXT NOT NULL,
  schedule_id TEXT NOT NULL,
  PRIMARY KEY (upstream, schedule_id)
) WITHOUT ROWID;
CREATE INDEX dependencies_schedule ON dependencies (schedule_id);

-- What a schedule that comes after others has seen of them since its last fire, by period.
CREATE TABLE arrivals (
  schedule_id TEXT NOT NULL,
  period      TEXT NOT NULL,            -- '' where periods do not count
  workflow    TEXT NOT NULL,
  run_key     INTEGER NOT NULL,
  status      TEXT NOT NULL,
  ended_at    INTEGER NOT NULL,
  PRIMARY KEY (schedule_id, period, workflow)
) WITHOUT ROWID;

-- Promises (`expect`) that are not settled yet, and those that were not kept.
CREATE TABLE expectations (
  id          INTEGER PRIMARY KEY,
  schedule_id TEXT NOT NULL,
  local       TEXT NOT NULL,
  fold        INTEGER NOT NULL,
  kind        TEXT NOT NULL,            -- start_within, finish_within, finish_by
  seconds     REAL,
  run_key     INTEGER,
  due         INTEGER NOT NULL,
  breached_at INTEGER,
  text        TEXT,
  UNIQUE (schedule_id, local, fold, kind)   -- told once
);
CREATE INDEX expectations_due ON expectations (due) WHERE breached_at IS NULL;
CREATE INDEX expectations_breached ON expectations (schedule_id, breached_at) WHERE breached_at IS NOT NULL;
CREATE INDEX expectations_recent ON expectations (breached_at) WHERE breached_at IS NOT NULL;
CREATE INDEX expectations_run ON expectations (run_key) WHERE breached_at IS NOT NULL;

CREATE TABLE backfills (
  id          INTEGER PRIMARY KEY,
  schedule_id TEXT NOT NULL,
  workflow    TEXT NOT NULL,
  spec        TEXT NOT NULL,            -- JSON BackfillSpec
  status      TEXT NOT NULL,            -- running, paused, cancelled, finished
  total       INTEGER NOT NULL,
  actor       TEXT,
  note        TEXT NOT NULL DEFAULT '',
  created_at  INTEGER NOT NULL,
  finished_at INTEGER,
  problem     TEXT
);
CREATE INDEX backfills_schedule ON backfills (schedule_id, id);
CREATE INDEX backfills_open ON backfills (id) WHERE status IN ('running', 'paused');

-- The fires of a backfill in the order in which they run; `run_key` once it has been started.
CREATE TABLE backfill_fires (
  backfill_id INTEGER NOT NULL,
  number      INTEGER NOT NULL,
  nominal     INTEGER NOT NULL,
  local       TEXT NOT NULL,
  fold        INTEGER NOT NULL,
  run_key     INTEGER,
  PRIMARY KEY (backfill_id, number)
) WITHOUT ROWID;
CREATE INDEX backfill_fires_open ON backfill_fires (backfill_id, number) WHERE run_key IS NULL;

CREATE INDEX fires_nominal ON fires (nominal, schedule_id);

-- The runtime counts what it creates, many at a time: a trigger for each row cost more than the row.
DROP TRIGGER run_totals_insert;

-- What runs of a schedule: its thousand runs that have ended are not looked at.
CREATE INDEX runs_of_schedule ON runs (schedule_id, key)
  WHERE schedule_id IS NOT NULL AND status IN ('queued', 'running', 'waiting', 'paused', 'cancelling');
