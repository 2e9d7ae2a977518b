-- Each column has one type, whatever its row says.

-- `data` is always a JSON object, or NULL. Until now an event that told an iteration only had a number.
CREATE TABLE events_typed (
  seq         INTEGER PRIMARY KEY,
  at          INTEGER NOT NULL,
  code        INTEGER NOT NULL,         -- of the kinds that are written most, see store.transaction; or 0
  name        TEXT,                     -- of the kinds without a code
  actor       TEXT,                     -- JSON; NULL is the engine
  run_key     INTEGER,
  schedule_id TEXT,
  request_id  TEXT,
  workflow    TEXT,                     -- NULL if there is a run
  node_id     TEXT,
  data        TEXT,                     -- JSON object
  kind TEXT GENERATED ALWAYS AS (
    CASE code WHEN 0 THEN name WHEN 1 THEN 'node.completed' WHEN 2 THEN 'node.started' WHEN 3 THEN 'run.created'
    WHEN 4 THEN 'run.started' WHEN 5 THEN 'run.finished' WHEN 6 THEN 'fire.decided' END
  ) VIRTUAL
);
INSERT INTO events_typed (seq, at, code, name, actor, run_key, schedule_id, request_id, workflow, node_id, data)
  SELECT seq, at, code, name, actor, run_key, schedule_id, request_id, workflow, node_id, data
  FROM events ORDER BY seq;
DROP TABLE events;
ALTER TABLE events_typed RENAME TO events;
CREATE INDEX events_run ON events (run_key) WHERE run_key IS NOT NULL;
CREATE INDEX events_schedule ON events (schedule_id) WHERE schedule_id IS NOT NULL;
CREATE INDEX events_request ON events (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX events_time ON events (at) WHERE node_id IS NULL;

-- `onward` is always the JSON list of the nodes that are next. `counted` is a JSON object with how often nodes
-- within the step were done; NULL if there were none. Until now `onward` was one of three things.
ALTER TABLE attempts ADD COLUMN counted TEXT;
UPDATE attempts SET counted = json_extract(onward, '$.counts'), onward = json_extract(onward, '$.frontier')
  WHERE onward LIKE '{%';
UPDATE attempts SET onward = json_array(onward) WHERE onward NOT LIKE '[%';
