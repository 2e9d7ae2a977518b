-- What is to be announced outward, one row for each address until it has arrived. Where the announcing
-- has come to in the events is `meta['notify.cursor']`, written in the same transaction as the rows.

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
CREATE INDEX announcements_due ON announcements (due) WHERE due IS NOT NULL;
CREATE INDEX announcements_failed ON announcements (failed_at) WHERE failed_at IS NOT NULL;
