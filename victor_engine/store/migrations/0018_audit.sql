-- The chain of decisions, see store.audit_chain. The first record of an older store is written by
-- store.repositories.audit.begin in the transaction of this migration.
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
