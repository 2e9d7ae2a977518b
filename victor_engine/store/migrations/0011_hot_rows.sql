-- What is written for each node, as small and with as few indexes as the questions asked of it allow.

-- Events. `code` stands for the kinds that are written most, see store.transaction; the others have 0, and
-- their names in `name`. `detail` is a JSON object, or a number where all that is said is the iteration.
-- An event of a run has its workflow from its run. Events are never deleted, so that the greatest `seq` is
-- the last one that was given.
CREATE TABLE events_lean (
  seq         INTEGER PRIMARY KEY,
  at          INTEGER NOT NULL,
  code        INTEGER NOT NULL,
  name        TEXT,
  actor       TEXT,                     -- JSON; NULL is the engine
  run_key     INTEGER,
  schedule_id TEXT,
  request_id  TEXT,
  workflow    TEXT,                     -- NULL if there is a run
  node_id     TEXT,
  detail,
  kind TEXT GENERATED ALWAYS AS (
    CASE code WHEN 0 THEN name WHEN 1 THEN 'node.completed' WHEN 2 THEN 'node.started' WHEN 3 THEN 'run.created'
    WHEN 4 THEN 'run.started' WHEN 5 THEN 'run.finished' WHEN 6 THEN 'fire.decided' END
  ) VIRTUAL,
  data TEXT GENERATED ALWAYS AS (
    CASE typeof(detail) WHEN 'integer' THEN '{"iteration":' || detail || '}' ELSE detail END
  ) VIRTUAL
);
INSERT INTO events_lean (seq, at, code, name, actor, run_key, schedule_id, request_id, workflow, node_id, detail)
  SELECT seq, at, 0, kind, actor, run_key, schedule_id, request_id, workflow, node_id, data FROM events ORDER BY seq;
DROP TABLE events;
ALTER TABLE events_lean RENAME TO events;
CREATE INDEX events_run ON events (run_key, seq) WHERE run_key IS NOT NULL;
CREATE INDEX events_schedule ON events (schedule_id, seq) WHERE schedule_id IS NOT NULL;
CREATE INDEX events_request ON events (request_id, seq) WHERE request_id IS NOT NULL;
-- Not of those of nodes: where a time begins in the log is known from the others.
CREATE INDEX events_time ON events (at, seq) WHERE node_id IS NULL;

-- One index for what is not over, in words that cost little with each attempt that is over as it begins: a
-- list of more than two is built anew for each row that is written.
DROP INDEX attempts_live;
DROP INDEX attempts_live_run;
CREATE INDEX attempts_live ON attempts (run_key, id)
  WHERE status = 'running' OR status = 'waiting' OR status = 'retrying';
-- `runs_status` answers what it answered.
DROP INDEX runs_active;
