-- Answers that can still be taken back, deadlines that stand still, reminders, and words between people.

ALTER TABLE requests ADD COLUMN settles_at INTEGER;  -- answered, and to be taken back until then; NULL: it counts
ALTER TABLE requests ADD COLUMN held_since INTEGER;  -- the requester was asked something: the deadline stands still
ALTER TABLE requests ADD COLUMN held_left INTEGER;   -- microseconds that were left to the deadline then
ALTER TABLE requests ADD COLUMN back_to TEXT;        -- pushed back to this node
CREATE INDEX requests_settling ON requests (settles_at) WHERE settles_at IS NOT NULL;
CREATE INDEX requests_status ON requests (status, workflow, node_id);

ALTER TABLE votes ADD COLUMN stage INTEGER NOT NULL DEFAULT 0;  -- place in a serial chain, from 0
ALTER TABLE votes ADD COLUMN undone_at INTEGER;                 -- taken back by its author

-- What is still to be said; a reminder that was said is an event, and its row is gone.
CREATE TABLE reminders (
  id          INTEGER PRIMARY KEY,
  request_key INTEGER NOT NULL REFERENCES requests (key),
  due         INTEGER NOT NULL,
  before      INTEGER,                 -- microseconds before the deadline; NULL: one of `every`
  every       INTEGER                  -- microseconds between two
);
CREATE INDEX reminders_due ON reminders (due);
CREATE INDEX reminders_request ON reminders (request_key);

CREATE TABLE request_messages (
  id          INTEGER PRIMARY KEY,
  request_key INTEGER NOT NULL REFERENCES requests (key),
  at          INTEGER NOT NULL,
  actor       TEXT NOT NULL,           -- JSON
  kind        TEXT NOT NULL,           -- question, reply
  text        TEXT NOT NULL
);
CREATE INDEX request_messages_request ON request_messages (request_key, id);
