-- Instants are integer microseconds since 1970 UTC. JSON columns hold compact UTF-8 text.

CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE definitions (
  id            INTEGER PRIMARY KEY,
  workflow      TEXT NOT NULL,
  version       TEXT NOT NULL,          -- normalised semver
  checksum      TEXT NOT NULL,          -- of the canonical content without schedule, migrations, deprecation
  content       TEXT NOT NULL,          -- JSON: the plain dialect mapping after $ref inclusion
  text          TEXT NOT NULL,          -- YAML as shown to people
  path          TEXT,
  registered_at INTEGER NOT NULL,
  unversioned   INTEGER NOT NULL DEFAULT 0,
  deprecated    TEXT,                   -- message
  deprecated_at INTEGER,
  deprecated_by TEXT,                   -- JSON actor
  successor     TEXT,
  UNIQUE (workflow, version)
);

CREATE TABLE state_migrations (
  id            INTEGER PRIMARY KEY,
  workflow      TEXT NOT NULL,
  from_version  TEXT NOT NULL,
  to_version    TEXT NOT NULL,
  content       TEXT NOT NULL,          -- JSON: steps, description, breaking
  checksum      TEXT NOT NULL,
  registered_at INTEGER NOT NULL,
  UNIQUE (workflow, from_version, to_version)
);

CREATE TABLE schedules (
  id           TEXT PRIMARY KEY,
  workflow     TEXT NOT NULL,
  spec         TEXT NOT NULL,           -- JSON ScheduleSpec in force
  file_spec    TEXT,                    -- JSON ScheduleSpec that a file declares
  origin       TEXT NOT NULL,           -- file, console, cli, python
  path         TEXT,
  cursor       INTEGER NOT NULL,        -- every fire up to and including this instant is accounted for
  next_fire    INTEGER,                 -- the next instant that is due; NULL: none
  skip_next    INTEGER NOT NULL DEFAULT 0,
  paused       TEXT,                    -- JSON PauseInfo
  pause_until  INTEGER,
  problem      TEXT,
  runs_started INTEGER NOT NULL DEFAULT 0,
  failures     INTEGER NOT NULL DEFAULT 0,  -- consecutive
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  revision     INTEGER NOT NULL DEFAULT 0,
  removed_at   INTEGER
) WITHOUT ROWID;
CREATE INDEX schedules_due ON schedules (next_fire) WHERE next_fire IS NOT NULL AND removed_at IS NULL;

CREATE TABLE fires (
  id          INTEGER PRIMARY KEY,
  schedule_id TEXT NOT NULL,
  workflow    TEXT NOT NULL,
  local       TEXT NOT NULL,            -- nominal wall time in the schedule's zone
  fold        INTEGER NOT NULL,
  nominal     INTEGER NOT NULL,
  outcome     TEXT NOT NULL,
  reason      TEXT NOT NULL,
  actor       TEXT,                     -- JSON; NULL is the engine
  decided_at  INTEGER NOT NULL,
  run_key     INTEGER,
  UNIQUE (schedule_id, local, fold)     -- a fire happens once, whoever asks
);
CREATE INDEX fires_run ON fires (run_key) WHERE run_key IS NOT NULL;
CREATE INDEX fires_time ON fires (schedule_id, id);

CREATE TABLE runs (
  key           INTEGER PRIMARY KEY,
  id            TEXT NOT NULL UNIQUE,
  workflow      TEXT NOT NULL,
  definition_id INTEGER NOT NULL REFERENCES definitions (id),
  status        TEXT NOT NULL,
  revision      INTEGER NOT NULL DEFAULT 0,
  trigger       TEXT NOT NULL,
  actor         TEXT,                   -- JSON: who started it; NULL is the engine
  schedule_id   TEXT,
  nominal       INTEGER,
  parent_key    INTEGER,
  priority      INTEGER NOT NULL DEFAULT 0,
  note          TEXT NOT NULL DEFAULT '',
  created_at    INTEGER NOT NULL,
  started_at    INTEGER,
  finished_at   INTEGER,
  input         TEXT NOT NULL,          -- JSON initial state
  position      TEXT NOT NULL,          -- JSON walk.Position: where the walk stands
  snapshot      TEXT,                   -- JSON state after attempt `snapshot_at`
  snapshot_at   INTEGER NOT NULL DEFAULT 0,
  spent         INTEGER NOT NULL DEFAULT 0,  -- microseconds at work, without waiting for people
  nodes_done    INTEGER NOT NULL DEFAULT 0,
  retries       INTEGER NOT NULL DEFAULT 0,
  reruns        INTEGER NOT NULL DEFAULT 0,  -- workflow-level retries used
  error         TEXT                    -- JSON ErrorInfo
);
CREATE INDEX runs_active ON runs (status, priority DESC, key)
  WHERE status IN ('queued', 'running', 'waiting', 'paused', 'cancelling');
CREATE INDEX runs_workflow ON runs (workflow, key);
CREATE INDEX runs_schedule ON runs (schedule_id, key) WHERE schedule_id IS NOT NULL;

CREATE TABLE attempts (
  id            INTEGER PRIMARY KEY,
  run_key       INTEGER NOT NULL REFERENCES runs (key),
  definition_id INTEGER NOT NULL,
  node_id       TEXT NOT NULL,
  node_type     TEXT NOT NULL,
  iteration     INTEGER NOT NULL,       -- how often the walk has come to this node, from 1
  number        INTEGER NOT NULL,       -- try of this iteration, from 1
  parent        TEXT,                   -- node id of the parallel or team it belongs to
  status        TEXT NOT NULL,
  started_at    INTEGER NOT NULL,
  finished_at   INTEGER,
  retry_at      INTEGER,
  binding       TEXT,                   -- plain words: "command ./build.sh"
  pid           INTEGER,
  pgid          INTEGER,
  proc_start    INTEGER,                -- start time in clock ticks since boot, from /proc/PID/stat
  patch         TEXT,                   -- JSON Patch
  branch        TEXT,                   -- where a condition or an answer led
  error         TEXT                    -- JSON ErrorInfo
);
CREATE INDEX attempts_run ON attempts (run_key, id);
CREATE INDEX attempts_live ON attempts (status, id) WHERE status IN ('running', 'waiting', 'retrying');

CREATE TABLE logs (
  id         INTEGER PRIMARY KEY,
  run_key    INTEGER NOT NULL,
  attempt_id INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  stream     TEXT NOT NULL,
  text       TEXT NOT NULL
);
CREATE INDEX logs_run ON logs (run_key, id);

CREATE TABLE requests (
  key         INTEGER PRIMARY KEY,
  id          TEXT NOT NULL UNIQUE,
  revision    INTEGER NOT NULL DEFAULT 1,
  run_key     INTEGER NOT NULL REFERENCES runs (key),
  attempt_id  INTEGER NOT NULL,
  workflow    TEXT NOT NULL,
  node_id     TEXT NOT NULL,
  iteration   INTEGER NOT NULL,
  kind        TEXT NOT NULL,
  status      TEXT NOT NULL,
  spec        TEXT NOT NULL,            -- JSON: exactly what was shown, see hitl.requests.Spec
  digest      TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  deadline    INTEGER,
  priority    INTEGER NOT NULL DEFAULT 0,
  claimed_by  TEXT,                     -- JSON actor
  outcome     TEXT,
  answer      TEXT,                     -- JSON
  comment     TEXT NOT NULL DEFAULT '',
  answered_by TEXT,                     -- JSON actor
  answered_at INTEGER
);
CREATE INDEX requests_open ON requests (deadline) WHERE status = 'open';
CREATE INDEX requests_run ON requests (run_key, key);
CREATE INDEX requests_done ON requests (answered_at) WHERE status <> 'open';

CREATE TABLE votes (
  id          INTEGER PRIMARY KEY,
  request_key INTEGER NOT NULL REFERENCES requests (key),
  revision    INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  actor       TEXT NOT NULL,            -- JSON
  uid         INTEGER NOT NULL,
  outcome     TEXT NOT NULL,
  value       TEXT,
  comment     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX votes_request ON votes (request_key);

CREATE TABLE events (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  at          INTEGER NOT NULL,
  kind        TEXT NOT NULL,
  actor       TEXT,                     -- JSON; NULL is the engine
  run_key     INTEGER,
  schedule_id TEXT,
  request_id  TEXT,
  workflow    TEXT,
  node_id     TEXT,
  data        TEXT                      -- JSON object
);
CREATE INDEX events_run ON events (run_key, seq) WHERE run_key IS NOT NULL;
CREATE INDEX events_schedule ON events (schedule_id, seq) WHERE schedule_id IS NOT NULL;
CREATE INDEX events_request ON events (request_id, seq) WHERE request_id IS NOT NULL;
