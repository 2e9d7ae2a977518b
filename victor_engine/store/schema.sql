-- The whole current schema. The migrations lead to it, which tests/store/test_schema.py checks.
-- After adding a migration, write it anew: python -m tests.store.write_schema

CREATE TABLE aliases (
  workflow    TEXT NOT NULL,
  alias       TEXT NOT NULL,
  pointing_id INTEGER NOT NULL REFERENCES pointings (id),
  PRIMARY KEY (workflow, alias)
) WITHOUT ROWID;

CREATE TABLE announcements (
  id         INTEGER PRIMARY KEY,
  event_seq  INTEGER NOT NULL,
  occasion   TEXT NOT NULL,             -- new, reminder, escalated, …
  rule       TEXT NOT NULL,             -- its name in the configuration
  target     TEXT NOT NULL,             -- digest of the address as it is written there
  request_id TEXT,
  run_key    INTEGER,
  workflow   TEXT,
  node_id    TEXT,
  title      TEXT NOT NULL,
  body       TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  attempts   INTEGER NOT NULL DEFAULT 0,
  due        INTEGER,                   -- NULL: given up
  failed_at  INTEGER,
  error      TEXT,
  UNIQUE (event_seq, rule, target)
);

CREATE TABLE arrivals (
  schedule_id TEXT NOT NULL,
  period      TEXT NOT NULL,            -- '' where periods do not count
  workflow    TEXT NOT NULL,
  run_key     INTEGER NOT NULL,
  status      TEXT NOT NULL,
  ended_at    INTEGER NOT NULL,
  PRIMARY KEY (schedule_id, period, workflow)
) WITHOUT ROWID;

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
, wait TEXT, child_key INTEGER, ordinal INTEGER, onward TEXT, counted TEXT);

CREATE TABLE audit (
  seq       INTEGER PRIMARY KEY,        -- from 1, without a gap
  at        INTEGER NOT NULL,
  event_seq INTEGER NOT NULL,           -- of the event that the record is about
  record    TEXT NOT NULL,              -- canonical JSON
  digest    TEXT NOT NULL               -- SHA-256 of the digest before it, a line break, and the record
);

CREATE TABLE audit_chain (
  key           INTEGER PRIMARY KEY,    -- 0: there is one chain
  seq           INTEGER NOT NULL,       -- of the last record
  digest        TEXT NOT NULL,          -- of the last record
  pruned_seq    INTEGER NOT NULL DEFAULT 0,   -- the checkpoint: the last record that was pruned
  pruned_event  INTEGER NOT NULL DEFAULT 0,
  pruned_digest TEXT NOT NULL DEFAULT ''
);

CREATE TABLE backfill_fires (
  backfill_id INTEGER NOT NULL,
  number      INTEGER NOT NULL,
  nominal     INTEGER NOT NULL,
  local       TEXT NOT NULL,
  fold        INTEGER NOT NULL,
  run_key     INTEGER,
  PRIMARY KEY (backfill_id, number)
) WITHOUT ROWID;

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
  successor     TEXT, removal_at INTEGER, removed_at INTEGER, removed TEXT, removed_by TEXT, in_force_since INTEGER, code TEXT,
  UNIQUE (workflow, version)
);

CREATE TABLE dependencies (
  upstream    TEXT NOT NULL,
  schedule_id TEXT NOT NULL,
  PRIMARY KEY (upstream, schedule_id)
) WITHOUT ROWID;

CREATE TABLE deployments (
  number    INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  actor     TEXT NOT NULL,          -- JSON actor
  how       TEXT NOT NULL,          -- start, reload, deploy or undo
  files     TEXT NOT NULL,          -- the digest of the files
  undoes    INTEGER REFERENCES deployments (number),
  lines     TEXT NOT NULL,          -- JSON: the changes as text
  replaced  TEXT NOT NULL           -- JSON: the versions and schedules that it replaced
);

CREATE TABLE "events" (
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

CREATE TABLE logs (
  id         INTEGER PRIMARY KEY,
  run_key    INTEGER NOT NULL,
  attempt_id INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  stream     TEXT NOT NULL,
  text       TEXT NOT NULL
);

CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

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

CREATE TABLE reminders (
  id          INTEGER PRIMARY KEY,
  request_key INTEGER NOT NULL REFERENCES requests (key),
  due         INTEGER NOT NULL,
  before      INTEGER,                 -- microseconds before the deadline; NULL: one of `every`
  every       INTEGER                  -- microseconds between two
);

CREATE TABLE request_messages (
  id          INTEGER PRIMARY KEY,
  request_key INTEGER NOT NULL REFERENCES requests (key),
  at          INTEGER NOT NULL,
  actor       TEXT NOT NULL,           -- JSON
  kind        TEXT NOT NULL,           -- question, reply
  text        TEXT NOT NULL
);

CREATE TABLE request_people (
  request_key INTEGER NOT NULL REFERENCES requests (key) ON DELETE CASCADE,
  name        TEXT NOT NULL,
  may         INTEGER NOT NULL,
  PRIMARY KEY (request_key, name, may)
) WITHOUT ROWID;

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
, settles_at INTEGER, held_since INTEGER, held_left INTEGER, back_to TEXT);

CREATE TABLE run_choices (
  run_key     INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
  pointing_id INTEGER NOT NULL,
  version     TEXT NOT NULL
);

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
, batch TEXT);

CREATE TABLE run_states (
  run_key       INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
  after_attempt INTEGER NOT NULL,       -- 0: before the first
  state         TEXT NOT NULL,          -- JSON
  PRIMARY KEY (run_key, after_attempt)
) WITHOUT ROWID;

CREATE TABLE run_totals (
  definition_id INTEGER PRIMARY KEY,
  runs          INTEGER NOT NULL
);

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
  position      TEXT NOT NULL,          -- JSON walk.Position: where the walk stands
  spent         INTEGER NOT NULL DEFAULT 0,  -- microseconds at work, without waiting for people
  nodes_done    INTEGER NOT NULL DEFAULT 0,
  retries       INTEGER NOT NULL DEFAULT 0,
  reruns        INTEGER NOT NULL DEFAULT 0,  -- workflow-level retries used
  error         TEXT                    -- JSON ErrorInfo
, backfill_id INTEGER, overrides TEXT, ending TEXT, idle INTEGER NOT NULL DEFAULT 0, concurrency TEXT, concurrency_held INTEGER NOT NULL DEFAULT 0);

CREATE TABLE schedule_moves (
  id          INTEGER PRIMARY KEY,
  batch       TEXT NOT NULL,      -- the id that the moves of one command have in common
  schedule_id TEXT NOT NULL,
  workflow    TEXT NOT NULL,
  before      TEXT NOT NULL,      -- JSON: the spec before
  after       TEXT NOT NULL,      -- JSON: the spec after
  undone_at   INTEGER
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
, vanished TEXT, skip_at INTEGER) WITHOUT ROWID;

CREATE TABLE secret_answers (
  run_key     INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
  node_id     TEXT NOT NULL,
  field       TEXT NOT NULL,
  request_key INTEGER NOT NULL REFERENCES requests (key),
  key_id      TEXT NOT NULL,            -- of the key that encrypted it
  sealed      BLOB NOT NULL,            -- nonce and ciphertext, see people.secret_answers
  PRIMARY KEY (run_key, node_id, field)
) WITHOUT ROWID;

CREATE TABLE start_keys (
  uid     INTEGER NOT NULL,             -- of the user or token that started the run
  key     TEXT NOT NULL,
  run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
  PRIMARY KEY (uid, key)
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

CREATE TABLE suspects (
  run_key        INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
  node_id        TEXT NOT NULL,          -- empty: between two nodes
  deaths         INTEGER NOT NULL,
  quarantined_at INTEGER                 -- NULL: not quarantined
);

CREATE TABLE usage (
  attempt_id    INTEGER PRIMARY KEY REFERENCES attempts (id) ON DELETE CASCADE,
  model         TEXT NOT NULL,
  input_tokens  INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  tool_calls    INTEGER NOT NULL,
  cost          REAL                    -- in the currency of the binding's prices; NULL where it has none
);

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
, stage INTEGER NOT NULL DEFAULT 0, undone_at INTEGER);

CREATE INDEX announcements_due ON announcements (due) WHERE due IS NOT NULL;

CREATE INDEX announcements_failed ON announcements (failed_at) WHERE failed_at IS NOT NULL;

CREATE INDEX attempts_child ON attempts (child_key) WHERE child_key IS NOT NULL;

CREATE INDEX attempts_live ON attempts (run_key)
  WHERE status = 'running' OR status = 'waiting' OR status = 'retrying';

CREATE INDEX attempts_run ON attempts (run_key);

CREATE INDEX backfill_fires_open ON backfill_fires (backfill_id, number) WHERE run_key IS NULL;

CREATE INDEX backfills_open ON backfills (id) WHERE status IN ('running', 'paused');

CREATE INDEX backfills_schedule ON backfills (schedule_id, id);

CREATE INDEX dead_letters_cause ON dead_letters (cause_id, failed_at, run_key);

CREATE UNIQUE INDEX definitions_in_force ON definitions (workflow) WHERE in_force_since IS NOT NULL;

CREATE INDEX definitions_known ON definitions (workflow, version, deprecated, removed);

CREATE INDEX dependencies_schedule ON dependencies (schedule_id);

CREATE INDEX events_request ON events (request_id) WHERE request_id IS NOT NULL;

CREATE INDEX events_run ON events (run_key) WHERE run_key IS NOT NULL;

CREATE INDEX events_schedule ON events (schedule_id) WHERE schedule_id IS NOT NULL;

CREATE INDEX events_time ON events (at) WHERE node_id IS NULL;

CREATE INDEX expectations_breached ON expectations (schedule_id, breached_at) WHERE breached_at IS NOT NULL;

CREATE INDEX expectations_due ON expectations (due) WHERE breached_at IS NULL;

CREATE INDEX expectations_recent ON expectations (breached_at) WHERE breached_at IS NOT NULL;

CREATE INDEX expectations_run ON expectations (run_key) WHERE breached_at IS NOT NULL;

CREATE INDEX fires_nominal ON fires (nominal, schedule_id);

CREATE INDEX fires_run ON fires (run_key) WHERE run_key IS NOT NULL;

CREATE INDEX fires_time ON fires (schedule_id, id);

CREATE INDEX fires_workflow ON fires (workflow, id);

CREATE INDEX logs_run ON logs (run_key, id);

CREATE INDEX pointings_alias ON pointings (workflow, alias, id);

CREATE INDEX reminders_due ON reminders (due);

CREATE INDEX reminders_request ON reminders (request_key);

CREATE INDEX request_messages_request ON request_messages (request_key, id);

CREATE INDEX requests_done ON requests (answered_at) WHERE status <> 'open';

CREATE INDEX requests_open ON requests (deadline) WHERE status = 'open';

CREATE INDEX requests_run ON requests (run_key, key);

CREATE INDEX requests_settling ON requests (settles_at) WHERE settles_at IS NOT NULL;

CREATE INDEX requests_urgent ON requests (deadline IS NULL, deadline, priority DESC, key) WHERE status = 'open';

CREATE INDEX requests_workflow ON requests (workflow, answered_at);

CREATE INDEX run_choices_side ON run_choices (pointing_id, version, run_key);

CREATE INDEX run_migrations_batch ON run_migrations (batch) WHERE batch IS NOT NULL;

CREATE INDEX run_migrations_run ON run_migrations (run_key, id);

CREATE INDEX run_migrations_workflow ON run_migrations (workflow, id);

CREATE INDEX runs_backfill ON runs (backfill_id, key) WHERE backfill_id IS NOT NULL;

CREATE INDEX runs_concurrency ON runs (workflow, concurrency) WHERE concurrency IS NOT NULL;

CREATE INDEX runs_created ON runs (created_at);

CREATE INDEX runs_failed ON runs (finished_at) WHERE status = 'failed';

CREATE INDEX runs_of_schedule ON runs (schedule_id, key)
  WHERE schedule_id IS NOT NULL AND status IN ('queued', 'running', 'waiting', 'pausing', 'paused', 'cancelling');

CREATE INDEX runs_schedule ON runs (schedule_id, key) WHERE schedule_id IS NOT NULL;

CREATE INDEX runs_status ON runs (status);

CREATE INDEX runs_workflow ON runs (workflow);

CREATE INDEX runs_workflow_status ON runs (workflow, status);

CREATE INDEX schedule_moves_batch ON schedule_moves (batch);

CREATE INDEX schedules_due ON schedules (next_fire) WHERE next_fire IS NOT NULL AND removed_at IS NULL;

CREATE INDEX start_keys_run ON start_keys (run_key);

CREATE INDEX votes_request ON votes (request_key);

CREATE TRIGGER dead_letters_delete AFTER DELETE ON dead_letters BEGIN
  UPDATE dead_causes SET runs = runs - 1 WHERE id = OLD.cause_id;
  DELETE FROM dead_causes WHERE id = OLD.cause_id AND runs = 0;
END;

CREATE TRIGGER dead_letters_insert AFTER INSERT ON dead_letters BEGIN
  UPDATE dead_causes SET runs = runs + 1 WHERE id = NEW.cause_id;
END;

CREATE TRIGGER run_totals_delete AFTER DELETE ON runs BEGIN
  UPDATE run_totals SET runs = runs - 1 WHERE definition_id = OLD.definition_id;
END;

CREATE TRIGGER run_totals_move AFTER UPDATE OF definition_id ON runs
  WHEN NEW.definition_id <> OLD.definition_id BEGIN
  UPDATE run_totals SET runs = runs - 1 WHERE definition_id = OLD.definition_id;
  INSERT INTO run_totals VALUES (NEW.definition_id, 1)
    ON CONFLICT (definition_id) DO UPDATE SET runs = runs + 1;
END;

CREATE TRIGGER secret_answers_end AFTER UPDATE OF status ON runs
  WHEN NEW.status IN ('succeeded', 'failed', 'rejected', 'cancelled') BEGIN
  DELETE FROM secret_answers WHERE run_key = NEW.key;
END;
